-- What was heard, what counts of it, and what was measured. Text of posts is not kept here.
-- Whatever stands in a subject (communities, sources, departments, labels) is compared by bytes.

create table community (
  slug text collate "C" primary key,
  name text not null,
  time_zone text not null,
  is_known boolean not null,
  counted_at timestamptz not null default '-infinity', -- when its posts were counted last
  due_at timestamptz not null default '-infinity' -- when it may be measured again
);

-- Heard: written by the consumers, in any order, under a lock on each row alone.

create table post (
  post uuid primary key,
  community text collate "C" not null,
  source text collate "C" not null,
  counted_at timestamptz not null,
  sequence bigint not null,
  is_deleted boolean not null,
  author uuid, -- the 128 bits of the pseudonym
  is_automated boolean not null,
  is_answer boolean not null, -- says which post it answers
  thread uuid not null
);

create table flag (
  post uuid primary key,
  community text collate "C" not null,
  sequence bigint not null,
  flagged_at timestamptz not null,
  event uuid not null,
  labels text[] collate "C" not null -- the live ones
);

create table feedback_case (
  routed uuid primary key,
  community text collate "C" not null,
  post uuid not null,
  department text collate "C" not null,
  revision bigint, -- null while only its withdrawal was heard
  is_withdrawn boolean not null
);
create index feedback_case_post on feedback_case (post);

create table interaction (
  id uuid primary key,
  community text collate "C" not null,
  source text collate "C" not null,
  kind text collate "C" not null,
  counted_at timestamptz not null
);
create index interaction_moment on interaction (community, counted_at);

-- Touched since the last count. Rows are only inserted here, never updated, so that a batch waits
-- for no count, and a count sees a batch whole or not at all.

create table touched_post (
  community text collate "C" not null,
  post uuid not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
create index touched_post_community on touched_post (community);

create table touched_hour (
  community text collate "C" not null,
  hour timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
create index touched_hour_community on touched_hour (community);

-- Counted: derived from what was heard, under a lock on the community.

create table counted (
  post uuid primary key, -- of a post that stands; a deleted one has no row
  community text collate "C" not null,
  source text collate "C" not null,
  counted_at timestamptz not null,
  author uuid, -- null for a bot, and where nobody knows
  is_automated boolean not null,
  is_answer boolean not null,
  thread uuid not null,
  labels text[] collate "C" not null,
  departments text[] collate "C" not null, -- that have an open case of it
  opens boolean not null, -- opens its thread; any other post of the thread is a reply
  is_first boolean not null default false, -- the author's first in the community
  responded_at timestamptz -- where it opens: the first reply by another person
);
create index counted_moment on counted (community, counted_at);
create index counted_named on counted (community, counted_at)
  where labels <> '{}' or departments <> '{}';
create index counted_author on counted (community, author, counted_at) where author is not null;
create index counted_first on counted (community, author) where is_first;
create index counted_thread on counted (thread, counted_at);
create index counted_opening on counted (thread) where opens;

create table stale_day (
  community text collate "C" not null,
  day date not null,
  primary key (community, day)
);

-- Measured: the latest revision of each window.

create table definition (
  id integer generated always as identity primary key,
  metric text not null,
  unit text not null,
  formula text not null,
  unique (metric, unit, formula)
);

create table measurement (
  community text collate "C" not null,
  grain text collate "C" not null,
  window_start timestamptz not null,
  source text collate "C" not null, -- empty for the whole community
  metric text collate "C" not null,
  window_end timestamptz not null,
  time_zone text not null,
  value double precision, -- null where there was nothing to measure
  absolute jsonb not null,
  definition integer not null references definition (id),
  revision bigint not null,
  measured_at timestamptz not null,
  primary key (community, grain, window_start, source, metric)
);

create table total (
  community text collate "C" not null,
  metric text collate "C" not null,
  part text collate "C" not null, -- the name of an absolute number; empty for the value itself
  number bigint not null,
  primary key (community, metric, part)
);

create view published_community as
select
  slug as community,
  name,
  time_zone,
  is_known, -- whether klankbord.yaml lists it; one that is not counts in UTC
  not exists (select from touched_post where touched_post.community = slug)
    and not exists (select from touched_hour where touched_hour.community = slug)
    and not exists (select from stale_day where stale_day.community = slug)
    as is_settled -- whether everything that was heard is measured
from community;

create view published_measurement as
select
  measurement.community,
  measurement.metric,
  nullif(measurement.source, '') as source,
  measurement.grain,
  measurement.window_start,
  measurement.window_end,
  measurement.time_zone,
  measurement.value,
  measurement.absolute,
  definition.formula,
  definition.unit,
  measurement.revision,
  measurement.measured_at
from measurement
join definition on definition.id = measurement.definition
join community on community.slug = measurement.community
where measurement.time_zone = community.time_zone;

create view published_total as
select
  community.slug as community,
  coalesce(sum(number) filter (where metric = 'posts' and part = ''), 0)::bigint as posts,
  coalesce(sum(number) filter (where metric = 'replies' and part = ''), 0)::bigint as replies,
  coalesce(sum(number) filter (where metric = 'new-contributors' and part = ''), 0)::bigint
    as contributors,
  coalesce(sum(number) filter (where metric = 'interactions' and part = ''), 0)::bigint
    as interactions,
  coalesce(sum(number) filter (where metric = 'flagged-posts' and part = ''), 0)::bigint
    as flagged_posts,
  coalesce(sum(number) filter (where metric = 'open-cases' and part = ''), 0)::bigint
    as open_cases,
  coalesce(jsonb_object_agg(part, number) filter (
    where metric = 'interactions' and part <> '' and number <> 0), '{}') as interactions_by_kind,
  coalesce(jsonb_object_agg(part, number) filter (
    where metric = 'labels' and part <> '' and number <> 0), '{}') as flagged_posts_by_label,
  coalesce(jsonb_object_agg(part, number) filter (
    where metric = 'open-cases' and part <> '' and number <> 0), '{}') as open_cases_by_department
from community
left join total on total.community = community.slug
group by community.slug;

grant select on published_community, published_measurement, published_total to klankbord_reader;
