-- name: insert_deliveries
insert into delivery (id, heard)
select id, $2 from unnest($1::uuid[]) as told (id) order by id
on conflict do nothing
returning id

-- name: delete_old_deliveries
delete from delivery where heard < $1

-- name: insert_posts
-- In the order of their ids, so that two replicas wait for each other but never in a circle.
insert into post (
    community, post, attributed_to, numbers, stated, stated_deletes, operation, newest_live, digest,
    created, said
)
select
    $2, new.post, new.attributed_to,
    new.numbers::bigint[], new.stated::bigint[], new.stated_deletes::bigint[],
    new.operation, new.newest_live, new.digest, new.created, new.said::bytea[]
from unnest($1::post_row[]) as new
order by new.post
on conflict do nothing
returning post

-- name: lock_posts
select
    post, numbers, stated, stated_deletes, operation, newest_live, digest, created, said, erased,
    attributed_to
from post
where post = any($1::uuid[])
order by post
for update

-- name: standing_versions
select post, newest_live as standing
from post
where post = any($1::uuid[]) and operation <> 'delete' and not erased

-- name: update_posts
update post set
    numbers = new.numbers::bigint[],
    stated = new.stated::bigint[],
    stated_deletes = new.stated_deletes::bigint[],
    operation = new.operation,
    newest_live = new.newest_live,
    digest = new.digest,
    created = new.created,
    said = new.said::bytea[],
    attributed_to = coalesce(post.attributed_to, new.attributed_to)
from unnest($1::post_row[]) as new
where post.post = new.post

-- name: insert_interactions
insert into interaction (community, id, attributed_to)
select $3, new.id, new.attributed_to
from unnest($1::uuid[], $2::text[]) as new (id, attributed_to)
order by new.id
on conflict do nothing
returning id

-- name: upsert_members
-- Returns those who were not seen before, or look otherwise now. How somebody looked last is kept
-- with its moment, so that what is older, as in an import, changes nobody's face. That moment may
-- lag by a day, so that not every post writes the row of its author, and waits for the next one's.
with new as (
    select * from unnest($1::text[], $2::text[], $3::bytea[], $4::timestamptz[])
        as new (community, member, appearance, as_of)
), before as (
    select community, member, member.appearance, member.as_of
    from member join new using (community, member)
), due as (
    select new.* from new left join before using (community, member)
    where before.appearance is distinct from new.appearance
        or before.as_of < new.as_of - interval '1 day'
), seen as (
    insert into member (community, member, appearance, as_of)
    select community, member, appearance, as_of from due order by community, member
    on conflict (community, member) do update
    set appearance = excluded.appearance, as_of = excluded.as_of
    where member.as_of < excluded.as_of
        or (member.as_of = excluded.as_of and member.appearance < excluded.appearance)
    returning community, member, appearance
)
select member from seen left join before using (community, member)
where before.appearance is distinct from seen.appearance

-- name: erase_member
-- A post keeps its identity and the numbers of its versions, so that none of them comes again.
with posts as (
    update post
    set attributed_to = null, erased = true, digest = '', created = '', said = '{}'
    where (community = $1 or community is null)
        and encode(sha256(convert_to(attributed_to, 'UTF8')), 'hex') = $2
    returning post
), interactions as (
    update interaction set attributed_to = null
    where (community = $1 or community is null)
        and encode(sha256(convert_to(attributed_to, 'UTF8')), 'hex') = $2
    returning 1
), looks as (
    delete from member
    where community = $1 and encode(sha256(convert_to(member, 'UTF8')), 'hex') = $2
    returning 1
)
select
    array(select post from posts) as posts,
    (select count(*) from interactions) as interactions,
    (select count(*) from looks) as looks

-- name: known_members
select member from member where community = $1 and member = any($2::text[])

-- name: note_heard
-- In the order of their names, so that two replicas wait for each other but never in a circle.
insert into source_heard (source, heard)
select source, heard from unnest($1::text[], $2::timestamptz[]) as noted (source, heard)
order by source
on conflict (source) do update set heard = greatest(source_heard.heard, excluded.heard)

-- name: source_states
select source, source_heard.heard, asked.failures, asked.rate_left
from source_heard full join (
    select source, max(failures) as failures, min(rate_left) as rate_left
    from listening group by source
) as asked using (source)

-- name: note_hours
-- In the order of their keys, so that two replicas wait for each other but never in a circle.
insert into source_hour (source, hour, heard, last)
select source, hour, heard, last
from unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::timestamptz[])
    as noted (source, hour, heard, last)
order by source, hour
on conflict (source, hour) do update
set heard = source_hour.heard + excluded.heard, last = greatest(source_hour.last, excluded.last)

-- name: note_listening
insert into listened_hour (hour) values ($1) on conflict do nothing

-- name: delete_old_hours
with hours as (delete from source_hour where hour < $1)
delete from listened_hour where hour < $1

-- name: quiet_sources
-- Those that are worth a closer look: quiet for a while, known for long, and not said to be silent.
select source, max(last) as last
from source_hour left join source_silence using (source)
where source = any($1::text[])
group by source, source_silence.since
having max(last) <= $2
    and max(last) - min(hour) >= $3::interval
    and (source_silence.since is null or source_silence.since < max(last))
order by source

-- name: hours_of_source
select hour, heard from source_hour where source = $1

-- name: listened_hours
select hour from listened_hour

-- name: note_silence
-- Gives the source, if no replica said so before.
insert into source_silence (source, since, expected, noticed) values ($1, $2, $3, $4)
on conflict (source) do update
set since = excluded.since, expected = excluded.expected, noticed = excluded.noticed
where source_silence.since < excluded.since
returning source

-- name: silences
select source, since, expected, noticed
from source_silence
where not exists (
    select from source_hour
    where source_hour.source = source_silence.source and last > source_silence.since
)
order by source
