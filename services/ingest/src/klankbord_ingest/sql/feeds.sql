-- name: list_feeds
-- What klankbord.yaml lists is known, and known anew under another address; the rest is forgotten.
with listed as (
    select * from unnest($1::text[], $2::text[]) as listed (source, url)
), forgotten as (
    delete from feed where source not in (select source from listed)
)
insert into feed (source, listed_url, url, next_poll)
select source, url, url, $3 from listed order by source
on conflict (source) do update
set listed_url = excluded.listed_url, url = excluded.url, etag = null, last_modified = null,
    body_digest = null, next_poll = excluded.next_poll, healthy = true, reason = null,
    failures = 0, last_success = null
where feed.listed_url <> excluded.listed_url

-- name: claim_feed
-- The feed that has waited longest, for one replica alone: it is due again at $2 should that one die.
update feed set next_poll = $2
where source = (
    select source from feed
    where next_poll <= $1
    order by next_poll
    limit 1
    for update skip locked
)
returning source, url, etag, last_modified, body_digest, failures

-- name: feed_answered
update feed
set url = $2, etag = $3, last_modified = $4, body_digest = $5, next_poll = $6,
    healthy = true, reason = $7, failures = 0, last_success = $8
where source = $1

-- name: feed_unchanged
update feed
set url = $2, next_poll = $3, healthy = true, failures = 0, last_success = $4
where source = $1

-- name: feed_failed
update feed
set next_poll = $2, healthy = false, reason = $3, failures = failures + 1
where source = $1
