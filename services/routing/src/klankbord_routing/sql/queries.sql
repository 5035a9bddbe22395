-- name: add_versions
-- In the order of their ids, so that two batches wait for each other but never in a circle.
insert into post (post, version, attributed_to)
select * from unnest($1::uuid[], $2::bigint[], $3::text[]) as heard (post, version, attributed_to)
order by post
on conflict do nothing
returning post

-- name: add_posts
insert into post (post)
select post from unnest($1::uuid[]) as heard (post)
order by post
on conflict do nothing

-- name: lock_posts
select post, version from post where post = any($1::uuid[]) order by post for update

-- name: fetch_flags
select post, version, severity, explanation from flag where post = any($1::uuid[])

-- name: fetch_cases
select post, department, revision, version, state = 'open' as is_open
from feedback
where post = any($1::uuid[])

-- name: write_versions
update post
set version = heard.version,
    attributed_to = coalesce(heard.attributed_to, post.attributed_to)  -- a tombstone names nobody
from unnest($1::uuid[], $2::bigint[], $3::text[]) as heard (post, version, attributed_to)
where post.post = heard.post

-- name: forget_past_flags
delete from flag
using unnest($1::uuid[], $2::bigint[]) as heard (post, version)
where flag.post = heard.post and flag.version < heard.version

-- name: write_flags
insert into flag (post, version, severity, explanation)
select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[])
on conflict (post, version) do update
set severity = excluded.severity, explanation = excluded.explanation

-- name: write_routed
insert into feedback (
    post, department, revision, version, state, community, source, intent, score, priority,
    due_at, rules, published, url, language, routed_at
)
select
    post, department, revision, version, 'open', community, source, intent, score, priority,
    due_at, rules, published, url, language, routed_at
from unnest(
    $1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[],
    $8::float8[], $9::text[], $10::timestamptz[], $11::text[], $12::timestamptz[], $13::text[],
    $14::text[], $15::timestamptz[]
) as routed (
    post, department, revision, version, community, source, intent, score, priority,
    due_at, rules, published, url, language, routed_at
)
on conflict (post, department) do update
set revision = excluded.revision,
    version = excluded.version,
    state = excluded.state,
    source = excluded.source,
    intent = excluded.intent,
    score = excluded.score,
    priority = excluded.priority,
    due_at = excluded.due_at,
    rules = excluded.rules,
    published = excluded.published,
    url = excluded.url,
    language = excluded.language,
    routed_at = excluded.routed_at,
    withdrawn_at = null,
    withdrawn_because = null

-- name: write_withdrawn
update feedback
set state = 'withdrawn',
    withdrawn_at = withdrawn.at,
    withdrawn_because = withdrawn.because
from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[])
    as withdrawn (post, department, at, because)
where feedback.post = withdrawn.post and feedback.department = withdrawn.department

-- name: fetch_posts_of
-- The posts of a member: not those that are known to be of another community.
select post from post
where encode(sha256(convert_to(attributed_to, 'UTF8')), 'hex') = $2
    and not exists (
        select from feedback where feedback.post = post.post and feedback.community <> $1
    )
order by post

-- name: erase_posts
with posts as (
    update post set attributed_to = null where post = any($1::uuid[])
    returning 1
), cases as (
    update feedback set url = null where post = any($1::uuid[])
    returning 1
)
select (select count(*) from posts) as posts, (select count(*) from cases) as cases
