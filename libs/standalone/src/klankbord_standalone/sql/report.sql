-- What the report and the demo read: published views alone, as the role klankbord_reader.

-- name: fetch_communities
select community.community, community.name, community.time_zone, community.is_settled,
    total.posts, total.replies, total.contributors, total.interactions, total.flagged_posts,
    total.open_cases, total.flagged_posts_by_label
from metrics.published_community as community
join metrics.published_total as total using (community)
order by community.community

-- name: fetch_weeks
-- The newest weeks of the whole community, each metric a row.
select metric, window_start, window_end, value, absolute, formula, unit
from metrics.published_measurement
where community = $1 and grain = 'week' and source is null and window_start in (
    select distinct window_start
    from metrics.published_measurement
    where community = $1 and grain = 'week' and source is null
    order by window_start desc
    limit $2
)
order by window_start, metric

-- name: fetch_sources
-- Posts by source: in one week, and since the beginning.
select source,
    sum(value)::bigint as posts,
    coalesce(sum(value) filter (where window_start = $2), 0)::bigint as posts_in_week
from metrics.published_measurement
where community = $1 and grain = 'week' and metric = 'posts' and source is not null
group by source
order by posts desc, source

-- name: fetch_flags
-- Which rules spoke, how often, and how often since a moment.
select label, rule, severity, mode, explanation,
    count(distinct post) as posts,
    count(distinct post) filter (where counted_at >= $2 and counted_at < $3) as posts_in_week
from moderation.published_flag
where community = $1
group by label, rule, severity, mode, explanation
order by mode, posts desc, label, rule

-- name: fetch_open_cases
select department, intent, priority, count(*) as cases,
    count(*) filter (where due_at < $2) as past_due
from routing.published_case
where community = $1 and state = 'open'
group by department, intent, priority
order by department, intent, priority

-- name: fetch_most_urgent_cases
select department, intent, priority, due_at, published, source, language, url
from routing.published_case
where community = $1 and state = 'open'
order by array_position(array['critical', 'high', 'medium', 'low'], priority), due_at desc, post
limit $2

-- name: fetch_languages_of_cases
select language, count(*) as cases
from routing.published_case
where community = $1 and state = 'open'
group by language
order by cases desc, language

-- name: fetch_source_health
select source, kind, healthy, reason, last_success
from ingest.published_source_health
order by healthy, source

-- name: fetch_is_settled
-- Whether everything that was heard of a community is measured.
select is_settled from metrics.published_community where community = $1

-- name: fetch_total
select * from metrics.published_total where community = $1

-- name: fetch_posts_by_week
-- Each week by its first day, where the community lives.
select (window_start at time zone time_zone)::date as monday, value as posts
from metrics.published_measurement
where community = $1 and metric = 'posts' and grain = 'week' and source is null
order by monday
