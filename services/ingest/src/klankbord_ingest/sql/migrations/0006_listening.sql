-- How each source is listened to, so that a restart goes on where it stopped and two replicas do
-- not do the same. `feed` was the same for feeds alone; it stays for the build before this one.
create table listening (
    source text not null,
    way text not null check (way in ('pull', 'stream', 'backfill')),
    kind text not null,
    place text not null default '',      -- what the cursor belongs to; another one starts anew
    cursor jsonb not null default '{}',
    since timestamptz,                   -- of a backfill: how far back it goes; null: all
    next_try timestamptz,                -- null: it is gone for good, or a backfill that is done
    holder uuid,                         -- the process that listens until next_try
    healthy boolean not null default true,
    reason text,                         -- why it is not healthy, or what was refused
    failures integer not null default 0, -- in a row
    last_success timestamptz,
    rate_left integer,                   -- requests that the platform takes before its limit
    heard bigint not null default 0,     -- what it handed in, known or not
    primary key (source, way)
);
create index listening_next_try on listening (next_try);

-- Sources that nobody listens to for a while.
create table paused (
    source text primary key,
    since timestamptz not null
);

insert into listening (source, way, kind, place, cursor, next_try, healthy, reason, failures, last_success)
select
    source, 'pull', 'feed', listed_url,
    jsonb_build_object('url', url, 'etag', etag, 'dated', last_modified, 'digest', encode(body_digest, 'hex')),
    next_poll, healthy, reason, failures, last_success
from feed;

create or replace view published_source_health as
select
    listening.source, kind, healthy, reason, last_success, next_try as next_poll, way, rate_left,
    paused.since as paused_since
from listening left join paused using (source);
