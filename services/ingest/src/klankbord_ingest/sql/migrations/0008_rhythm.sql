-- What each source brings in each hour, so that one is missed that falls silent: see rhythm.py.
-- Written every few seconds, not with every post.
create table source_hour (
    source text not null,
    hour timestamptz not null,
    heard bigint not null,
    last timestamptz not null,           -- when something was heard last in that hour
    primary key (source, hour)
);

-- The hours in which somebody listened: what came in others nobody knows.
create table listened_hour (
    hour timestamptz primary key
);

-- The last silence that was said of each source: each is said once, whichever replica sees it.
create table source_silence (
    source text primary key,
    since timestamptz not null,          -- when it was last heard
    expected float8 not null,            -- how many should have come by then
    noticed timestamptz not null
);
