-- Short links. None is ever taken away, so that no code leads elsewhere than it did: one that is
-- disabled leads nowhere. Of whoever follows them nothing is kept here.
create table link (
    code text primary key,
    community text not null,
    source text not null,
    url text not null,
    target text not null,                -- with the campaign's parameters: what is answered
    post text,                           -- the native id of the post that it stands in
    made timestamptz not null,
    changed timestamptz not null,
    disabled timestamptz
);
create index link_changed on link (changed);
