-- name: list_ways
-- What klankbord.yaml lists is known, and known anew in another place; the rest is forgotten.
with listed as (
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[])
        as listed (source, way, kind, place)
), forgotten as (
    delete from listening
    where (way <> 'backfill' and (source, way) not in (select source, way from listed))
        or source <> all($5::text[])
)
insert into listening (source, way, kind, place, next_try)
select source, way, kind, place, $6 from listed order by source, way
on conflict (source, way) do update
set kind = excluded.kind, place = excluded.place, cursor = '{}', next_try = excluded.next_try,
    holder = null, healthy = true, reason = null, failures = 0, last_success = null, rate_left = null
where (listening.kind, listening.place) <> (excluded.kind, excluded.place)

-- name: claim_way
-- What has waited longest, for one replica alone: it is due again at $2 should that one die.
update listening set next_try = $2, holder = $3
where (source, way) = (
    select source, way from listening
    where next_try <= $1 and source not in (select source from paused)
    order by next_try
    limit 1
    for update skip locked
)
returning source, way, cursor, since, failures

-- name: advance
-- Nothing where another replica has it by now: then this one's page is not committed.
update listening
set cursor = coalesce($4::jsonb, cursor), next_try = $5, holder = case when $6 then holder end,
    healthy = true, reason = $7, failures = case when $11 then 0 else failures end, last_success = $8,
    rate_left = coalesce($9, rate_left), heard = heard + $10
where source = $1 and way = $2 and holder = $3
returning 1

-- name: hold_on
-- Keeps what is held, unless it was paused or taken off the list.
update listening set next_try = $4, failures = case when $5 then 0 else failures end
where source = $1 and way = $2 and holder = $3 and source not in (select source from paused)
returning 1

-- name: fail
update listening
set next_try = $4, holder = null, healthy = $6, reason = $5, failures = failures + $7,
    rate_left = coalesce($8, rate_left)
where source = $1 and way = $2 and holder = $3

-- name: let_go
-- Whoever listens next begins at once.
update listening set next_try = $4, holder = null where source = $1 and way = $2 and holder = $3

-- name: begin_backfill
insert into listening (source, way, kind, since, next_try) values ($1, 'backfill', $2, $3, $4)
on conflict (source, way) do update
set cursor = '{}', since = excluded.since, next_try = excluded.next_try, holder = null,
    healthy = true, reason = null, failures = 0, last_success = null, heard = 0

-- name: pause
insert into paused (source, since) values ($1, $2) on conflict do nothing

-- name: resume
delete from paused where source = $1

-- name: wake
-- What is not held by anyone is due now.
update listening set next_try = $2 where source = $1 and way <> 'backfill' and holder is null

-- name: fetch_ways
select
    source, way, healthy, reason, failures, last_success, next_try, rate_left, heard, since,
    holder is not null as held
from listening order by source, way

-- name: fetch_paused
select source from paused
