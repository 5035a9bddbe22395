-- Where each feed stands, so that a restart continues and two replicas do not ask one feed at once.

create table feed (
    source text primary key,
    listed_url text not null,            -- as klankbord.yaml has it; another one starts anew
    url text not null,                   -- where the feed is by now: a permanent redirect is followed
    etag text,
    last_modified text,
    body_digest bytea,                   -- of the last body: a server without ETag repeats itself
    next_poll timestamptz,               -- null: the feed is gone for good
    healthy boolean not null default true,
    reason text,                         -- why it is not healthy, or which entries were refused
    failures integer not null default 0, -- in a row
    last_success timestamptz
);
create index feed_next_poll on feed (next_poll);

create view published_source_health as
select source, 'feed'::text as kind, healthy, reason, last_success, next_poll
from feed;

grant select on published_source_health to klankbord_reader;
