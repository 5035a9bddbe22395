-- name: insert_link
insert into link (code, community, source, url, target, post, made, changed)
select $1, $2, $3, $4, $5, $6, now(), now()
where (select count(*) from link) < $7
on conflict do nothing
returning *

-- name: fetch_link
select * from link where code = $1

-- name: disable_link
-- The first time counts.
update link set disabled = coalesce(disabled, now()), changed = now()
where code = $1
returning *

-- name: changed_links
-- Those that changed since; a minute more, because a transaction that began earlier may commit later.
select * from link where $1::timestamptz is null or changed > $1 - interval '1 minute'
order by changed

-- name: list_links
select * from link
where $1::text is null or community = $1
order by made desc, code
limit $2
