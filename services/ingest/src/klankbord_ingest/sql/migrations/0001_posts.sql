-- What ingest remembers, so that nothing is said twice.

-- One row per post, for as long as the post lives: see sequence.py for the meaning of each column.
create table post (
    post uuid primary key,
    attributed_to text,  -- whoever is forgotten is found by it
    numbers bigint[] not null,
    stated bigint[] not null,
    stated_deletes bigint[] not null,
    operation text not null,
    newest_live bigint not null,
    digest bytea not null,
    created bytea not null,
    said bytea[] not null,
    heard timestamptz not null default now()
);

-- Interactions have no versions: one id, one fact.
create table interaction (
    id uuid primary key,
    attributed_to text,
    heard timestamptz not null default now()
);

-- How each member looked when last seen; names themselves are on the bus alone.
create table member (
    community text not null,
    member text not null,
    appearance bytea not null,
    as_of timestamptz not null,
    primary key (community, member)
);

-- Webhook deliveries of the last days: one that is tried again says nothing new.
create table delivery (
    id uuid primary key,
    heard timestamptz not null
);
create index delivery_heard on delivery using brin (heard);
