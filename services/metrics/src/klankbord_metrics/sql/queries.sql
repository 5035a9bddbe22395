-- Heard ------------------------------------------------------------------------------------------

-- name: write_posts
with written as (
  insert into post as known
    (post, community, source, counted_at, sequence, is_deleted, author, is_automated, is_answer,
     thread)
  select post, community, source, counted_at, sequence, is_deleted, author, is_automated, is_answer,
    thread
  from unnest($1::heard_post[])
  on conflict (post) do update set
    counted_at = least(known.counted_at, excluded.counted_at),
    (source, sequence, is_deleted, author, is_automated, is_answer, thread) = (
      select source, sequence, is_deleted, author, is_automated, is_answer, thread
      from (values
        (known.source, known.sequence, known.is_deleted, known.author, known.is_automated,
         known.is_answer, known.thread),
        (excluded.source, excluded.sequence, excluded.is_deleted, excluded.author,
         excluded.is_automated, excluded.is_answer, excluded.thread)
      ) as version (source, sequence, is_deleted, author, is_automated, is_answer, thread)
      order by sequence desc, is_deleted desc
      limit 1)
  where (excluded.sequence, excluded.is_deleted) > (known.sequence, known.is_deleted)
    or excluded.counted_at < known.counted_at
  returning community, post
)
insert into touched_post (community, post) select community, post from written

-- name: write_interactions
with written as (
  insert into interaction (id, community, source, kind, counted_at)
  select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
  on conflict (id) do nothing
  returning community, counted_at
)
insert into touched_hour (community, hour)
select distinct community, date_trunc('hour', counted_at, 'UTC') from written

-- name: write_flags
with written as (
  insert into flag as known (post, community, sequence, flagged_at, event, labels)
  select post, community, sequence, flagged_at, event, string_to_array(labels, ' ')
  from unnest(
    $1::uuid[], $2::text[], $3::bigint[], $4::timestamptz[], $5::uuid[], $6::text[]
  ) as heard (post, community, sequence, flagged_at, event, labels)
  on conflict (post) do update set
    sequence = excluded.sequence,
    flagged_at = excluded.flagged_at,
    event = excluded.event,
    labels = excluded.labels
  where (excluded.sequence, excluded.flagged_at, excluded.event)
    > (known.sequence, known.flagged_at, known.event)
  returning community, post
)
insert into touched_post (community, post) select community, post from written

-- name: write_cases
with written as (
  insert into feedback_case as known
    (routed, community, post, department, revision, is_withdrawn)
  select * from unnest(
    $1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::bigint[], $6::boolean[])
  on conflict (routed) do update set
    revision = coalesce(known.revision, excluded.revision),
    is_withdrawn = known.is_withdrawn or excluded.is_withdrawn
  where known.revision is null and excluded.revision is not null
    or excluded.is_withdrawn and not known.is_withdrawn
  returning community, post
)
insert into touched_post (community, post) select community, post from written

-- Communities ------------------------------------------------------------------------------------

-- name: fetch_communities
select slug, name, time_zone, is_known from community

-- name: fetch_heard_communities
select community from touched_post union select community from touched_hour

-- name: add_communities
insert into community (slug, name, time_zone, is_known)
select * from unnest($1::text[], $2::text[], $3::text[], $4::boolean[])
on conflict (slug) do nothing

-- name: lock_communities
select slug, name, time_zone, is_known from community
where slug = any ($1::text[])
order by slug
for update

-- name: write_community
update community
set name = $2, time_zone = $3, is_known = $4, due_at = '-infinity'
where slug = $1

-- name: forget_totals
delete from total where community = $1

-- name: forget_measurements
-- They are kept for their revisions, in no time zone, so that none stands until it is measured anew.
update measurement set time_zone = '' where community = $1

-- name: fetch_hours
select date_trunc('hour', counted_at, 'UTC') as hour from counted where community = $1
union
select date_trunc('hour', counted_at, 'UTC') from interaction where community = $1

-- Counting: the caller holds the communities -----------------------------------------------------

-- name: plan_look_ups
-- What follows looks up some thousands of rows in large tables. The planner, which does not know how
-- many, may take it for a scan of the whole and compile that; for this transaction it may not.
select
  set_config('jit', 'off', true),
  set_config('enable_seqscan', 'off', true),
  set_config('enable_hashjoin', 'off', true),
  set_config('enable_mergejoin', 'off', true)

-- name: lock_touched
-- Those that have waited longest come first, so that busy ones keep nobody from being counted.
with held as (
  select slug from community
  where exists (select from touched_post where touched_post.community = slug)
    or exists (select from touched_hour where touched_hour.community = slug)
  order by counted_at, slug
  limit $2
  for update skip locked
)
update community set counted_at = $1
from held
where community.slug = held.slug
returning community.slug, time_zone

-- name: take_touched_posts
delete from touched_post
where ctid = any (array(select ctid from touched_post where community = any ($1::text[]) limit $2))
returning post

-- name: take_touched_hours
delete from touched_hour where community = any ($1::text[]) returning community, hour

-- name: count_posts
-- For each post, before and after: the hour to measure anew; `author`, whose first post, and `thread`,
-- whose opening and first response may now be others; null where they cannot. They cannot
--   both:   where the post stays where it was (it was only flagged or routed);
--   author: where the post, as it now is, comes after the author's first;
--   thread: where a new post is alone in the thread that it opens.
-- `may_open` is false for a new answer: it may be a first response, and never an opening.
-- Insert and update are apart, since the caller holds the communities: no replica counts these posts.
with touched as (
  select distinct post from unnest($1::uuid[]) as taken (post)
), heard as (
  select
    post, said.community, said.source, said.counted_at, said.is_deleted,
    person.author, said.is_automated, said.is_answer, said.thread,
    coalesce(flag.labels, '{}') as labels,
    case when exists (select from feedback_case where feedback_case.post = said.post) then array(
      select department
      from (
        select distinct on (department) department, is_withdrawn
        from feedback_case
        where feedback_case.post = said.post and revision is not null
        order by department, revision desc
      ) as latest
      where not is_withdrawn
      order by department
    ) else '{}' end as departments,
    known.post is not null as is_known,
    known.counted_at as known_at, known.author as known_author, known.thread as known_thread,
    said.is_deleted or (said.counted_at, person.author, said.is_answer, said.thread)
      is distinct from (known.counted_at, known.author, known.is_answer, known.thread) as has_moved
  from touched
  join post as said using (post)
  cross join lateral (select case when not said.is_automated then said.author end) as person (author)
  left join counted as known using (post)
  left join flag using (post, sequence)
), gone as (
  delete from counted using heard
  where counted.post = heard.post and heard.is_known and heard.is_deleted
), kept as (
  update counted set
    source = heard.source,
    counted_at = heard.counted_at,
    author = heard.author,
    is_automated = heard.is_automated,
    is_answer = heard.is_answer,
    thread = heard.thread,
    labels = heard.labels,
    departments = heard.departments,
    opens = not heard.is_answer
      and (heard.thread = heard.post or counted.opens and counted.thread = heard.thread),
    is_first = counted.is_first and counted.author is not distinct from heard.author
  from heard
  where counted.post = heard.post and heard.is_known and not heard.is_deleted
), added as (
  insert into counted
    (post, community, source, counted_at, author, is_automated, is_answer, thread, labels,
     departments, opens)
  select
    post, community, source, counted_at, author, is_automated, is_answer, thread, labels,
    departments, thread = post and not is_answer
  from heard
  where not is_known and not is_deleted
)
select
  community, date_trunc('hour', known_at, 'UTC') as hour,
  case when has_moved then known_author end as author,
  case when has_moved then known_thread end as thread,
  has_moved as may_open
from heard
where is_known
union
select
  community, date_trunc('hour', counted_at, 'UTC'),
  case when has_moved and not exists (
    select from counted as first
    where first.community = heard.community and first.author = heard.author and first.is_first
      and (first.counted_at, first.post) < (heard.counted_at, heard.post)
  ) then author end,
  case when has_moved and (
    is_known or is_answer or thread <> post
    or exists (select from counted where counted.thread = heard.thread
               and counted.post <> heard.post)
  ) then thread end,
  has_moved and (is_known or not is_answer)
from heard
where not is_deleted

-- name: mark_first_posts
with moved as (
  select first.post as to_post, was.post as from_post
  from unnest($1::text[], $2::uuid[]) as named (community, author)
  left join lateral (
    select post from counted
    where counted.community = named.community and counted.author = named.author
    order by counted_at, post
    limit 1
  ) as first on true
  left join lateral (
    select post from counted
    where counted.community = named.community and counted.author = named.author and is_first
    limit 1
  ) as was on true
  where first.post is distinct from was.post
)
update counted set is_first = not is_first
from moved
where counted.post = any (array[moved.to_post, moved.from_post])
returning counted.community, date_trunc('hour', counted_at, 'UTC') as hour

-- name: mark_openings
-- A thread is opened by the post that it is named after, else by the earliest that answers nothing.
with chosen as (
  select thread, coalesce(
    (select post from counted
     where counted.post = touched.thread and counted.thread = touched.thread and not is_answer),
    (select post from counted
     where counted.thread = touched.thread and not is_answer
     order by counted_at, post
     limit 1)
  ) as opening
  from unnest($1::uuid[]) as touched (thread)
), turned as (
  select post from chosen join counted on post = opening where not opens
  union all
  select post from chosen join counted using (thread)
  where opens and thread <> post -- the one it is named after is found by its id
    and post <> opening
)
update counted set opens = not opens
from turned
where counted.post = turned.post
returning community, date_trunc('hour', counted_at, 'UTC') as hour

-- name: mark_first_responses
-- The posts of a thread share what it is called by, or at least say which post they answer.
with opened as (
  select opening.post, least(
    (select reply.counted_at from counted as reply
     where reply.thread = opening.thread
       and reply.author <> opening.author
       and reply.counted_at >= opening.counted_at
     order by reply.counted_at
     limit 1),
    (select reply.counted_at from counted as reply
     where reply.thread = opening.post
       and opening.post <> opening.thread
       and reply.author <> opening.author
       and reply.counted_at >= opening.counted_at
     order by reply.counted_at
     limit 1)
  ) as responded_at
  from (
    select post from unnest($1::uuid[]) as touched (thread) join counted using (thread)
    where opens and thread <> post -- the one it is named after is found by its id
    union
    select post from unnest($1::uuid[]) as touched (post) join counted using (post) where opens
  ) as affected
  join counted as opening using (post)
)
update counted set responded_at = opened.responded_at
from opened
where counted.post = opened.post and counted.responded_at is distinct from opened.responded_at
returning community, date_trunc('hour', counted_at, 'UTC') as hour

-- name: mark_stale
insert into stale_day (community, day)
select * from unnest($1::text[], $2::date[])
on conflict do nothing

-- Measuring: the caller holds the communities ----------------------------------------------------

-- name: lock_stale
select slug, time_zone from community
where due_at <= $1 and exists (select from stale_day where stale_day.community = slug)
order by due_at, slug
limit $2
for update skip locked

-- name: take_stale_days
delete from stale_day
where (community, day) in (
  select community, day from stale_day where community = any ($1::text[])
  order by day, community
  limit $2)
returning community, day

-- name: count_windows
select asked.ordinal, number.*
from unnest($1::text[], $2::timestamptz[], $3::timestamptz[])
  with ordinality as asked (community, starts, ends, ordinal)
cross join lateral (
  select
    source, -- null for the whole community
    count(*) filter (where not is_automated) as posts_by_people,
    count(*) filter (where is_automated) as posts_automated,
    count(*) filter (where not opens and not is_automated) as replies_by_people,
    count(*) filter (where not opens and is_automated) as replies_automated,
    count(distinct author) as contributors,
    count(*) filter (where is_first) as new_contributors,
    count(*) filter (where labels <> '{}') as flagged_posts,
    count(responded_at) filter (where opens) as answered,
    percentile_cont(0.5) within group (
      order by extract(epoch from responded_at - counted_at)::double precision
    ) filter (where opens) as response_seconds
  from counted
  where community = asked.community and counted_at >= asked.starts and counted_at < asked.ends
  group by grouping sets ((source), ())
) as number

-- name: count_names
select asked.ordinal, named.*
from unnest($1::text[], $2::timestamptz[], $3::timestamptz[])
  with ordinality as asked (community, starts, ends, ordinal)
cross join lateral (
  select 'labels' as kind, source, name, count(*) as number
  from counted cross join unnest(labels) as name
  where community = asked.community and counted_at >= asked.starts and counted_at < asked.ends
    and (labels <> '{}' or departments <> '{}')
  group by grouping sets ((source, name), (name))
  union all
  select 'open_cases', source, name, count(*)
  from counted cross join unnest(departments) as name
  where community = asked.community and counted_at >= asked.starts and counted_at < asked.ends
    and (labels <> '{}' or departments <> '{}')
  group by grouping sets ((source, name), (name))
  union all
  select 'interactions', source, kind, count(*)
  from interaction
  where community = asked.community and counted_at >= asked.starts and counted_at < asked.ends
  group by grouping sets ((source, kind), (kind))
) as named

-- name: fetch_measured
select asked.ordinal, source, metric, value, absolute, revision, time_zone
from unnest($1::text[], $2::text[], $3::timestamptz[])
  with ordinality as asked (community, grain, starts, ordinal)
join measurement on measurement.community = asked.community
  and measurement.grain = asked.grain
  and measurement.window_start = asked.starts

-- name: define
insert into definition (metric, unit, formula)
select metric, unit, formula
from unnest($1::text[], $2::text[], $3::text[]) as asked (metric, unit, formula)
where not exists (
  select from definition
  where (definition.metric, definition.unit, definition.formula)
    = (asked.metric, asked.unit, asked.formula))
on conflict do nothing

-- name: write_measurements
insert into measurement
  (community, grain, window_start, source, metric, window_end, time_zone, value, absolute,
   definition, revision, measured_at)
select
  community, grain, window_start, source, changed.metric, window_end, time_zone, value, absolute,
  definition.id, revision, $13
from unnest(
  $1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::timestamptz[],
  $7::text[], $8::double precision[], $9::jsonb[], $10::text[], $11::text[], $12::bigint[]
) as changed (community, grain, window_start, source, metric, window_end, time_zone, value,
  absolute, unit, formula, revision)
join definition on (definition.metric, definition.unit, definition.formula)
  = (changed.metric, changed.unit, changed.formula)
on conflict (community, grain, window_start, source, metric) do update set
  window_end = excluded.window_end,
  time_zone = excluded.time_zone,
  value = excluded.value,
  absolute = excluded.absolute,
  definition = excluded.definition,
  revision = excluded.revision,
  measured_at = excluded.measured_at

-- name: add_to_totals
insert into total as known (community, metric, part, number)
select community, metric, part, sum(number)
from unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
  as share (community, metric, part, number)
group by community, metric, part
on conflict (community, metric, part) do update set number = known.number + excluded.number

-- name: rest
update community set due_at = $2
where slug = any ($1::text[])
  and not exists (select from stale_day where stale_day.community = slug)

-- Shown ------------------------------------------------------------------------------------------

-- name: fetch_totals
select
  community, published_community.is_known, posts, contributors, interactions, flagged_posts,
  open_cases_by_department
from published_total
join published_community using (community)

-- name: count_uncounted
select count(*) from touched_post

-- Forgotten: the caller holds the community ------------------------------------------------------

-- name: erase_member
-- Somebody who never was stands in for the member in every row: what was counted stays as it was.
with stand_in as materialized (
  select gen_random_uuid() as author
), posts as (
  update post set author = stand_in.author
  from stand_in
  where community = $1
    and encode(sha256(convert_to('p-' || replace(post.author::text, '-', ''), 'UTF8')), 'hex') = $2
  returning 1
), counted as (
  update counted set author = stand_in.author
  from stand_in
  where community = $1
    and encode(sha256(convert_to('p-' || replace(counted.author::text, '-', ''), 'UTF8')), 'hex')
      = $2
  returning 1
)
select (select count(*) from posts) as posts, (select count(*) from counted) as counted
