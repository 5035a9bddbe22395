-- name: take_turns
-- Whoever judges a text or link waits for whoever is judging the same one, and then sees it. The
-- locks are taken in order, so two replicas that share several cannot wait for each other; and they
-- are 1024 at most, because PostgreSQL's room for locks is shared by everybody.
select pg_advisory_xact_lock(hashtext('klankbord judge'), slot)
from (select distinct (key & 1023)::int as slot from unnest($1::bigint[]) as key order by slot) slots

-- name: hear
-- Keep each version that is higher than the one we have; say which those are, and which text was there
-- already, in another post than this. This statement begins when the turns are taken: whoever may have
-- written the same text has committed, and it sees that; it does not see what it writes itself.
insert into heard_post (post, sequence, community, author, counted_at, text_key, deleted)
select * from unnest(
    $1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[], $7::boolean[]
) as heard (post, sequence, community, author, counted_at, text_key, deleted)
order by post
on conflict (post) do update set
    sequence = excluded.sequence,
    community = excluded.community,
    author = case when not excluded.deleted  -- an edit may name nobody: it is still theirs
        then coalesce(excluded.author, heard_post.author) end,
    counted_at = excluded.counted_at,
    text_key = excluded.text_key,
    deleted = excluded.deleted
where heard_post.sequence < excluded.sequence
returning post, case when exists (
    select from heard_post as other
    where other.text_key = heard_post.text_key and other.post <> heard_post.post
) then text_key end as known_text

-- name: forget
-- What earlier versions of these posts said and linked to no longer stands.
with forgotten as (delete from heard_link where post = any($1::uuid[]))
delete from verdict where post = any($1::uuid[])

-- name: hear_links
insert into heard_link (link_key, post, author, counted_at)
select * from unnest($1::bigint[], $2::uuid[], $3::text[], $4::timestamptz[])

-- name: fetch_texts_seen
-- The newest posts with the same text, apart from those of this batch.
select seen.text_key as key, seen.author, seen.counted_at
from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) as sought (key, since, until)
cross join lateral (
    select text_key, author, counted_at
    from heard_post
    where text_key = sought.key
        and counted_at between sought.since and sought.until
        and post <> all($4::uuid[])
    order by counted_at desc
    limit $5
) as seen

-- name: fetch_links_seen
-- The newest posts of the same author with the same link, apart from those of this batch.
select seen.link_key as key, seen.author, seen.counted_at
from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) as sought (key, since, until)
cross join lateral (
    select link_key, author, counted_at
    from heard_link
    where link_key = sought.key
        and counted_at between sought.since and sought.until
        and post <> all($4::uuid[])
    order by counted_at desc
    limit $5
) as seen

-- name: write_verdicts
insert into verdict
    (judged_at, post, sequence, policy, community, source, language, counted_at, labels)
select $1, given.post, given.sequence, given.policy, given.community, given.source,
    given.language, given.counted_at, given.labels::jsonb
from unnest(
    $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[],
    $9::text[]
) as given (post, sequence, policy, community, source, language, counted_at, labels)

-- name: erase_member
-- Posts keep their identity and sequence, verdicts their label and rule: the counts stay. Who wrote
-- the post, what it was compared by and the words that were found in it go.
with posts as (
    update heard_post set author = null, text_key = null
    where community = $1 and encode(sha256(convert_to(author, 'UTF8')), 'hex') = $2
    returning post
), links as (
    delete from heard_link using posts where heard_link.post = posts.post
    returning 1
), verdicts as (
    update verdict
    set labels = (
        select jsonb_agg(label || '{"evidence": []}' order by position)
        from jsonb_array_elements(labels) with ordinality as found (label, position)
    )
    from posts
    where verdict.post = posts.post
    returning 1
)
select
    (select count(*) from posts) as posts,
    (select count(*) from links) as links,
    (select count(*) from verdicts) as verdicts
