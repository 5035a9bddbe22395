"""Community: for the community manager. Does it grow, and who waits for whom?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models import units
from scripts.dashboards.style import (
    WARN,
    Event,
    bars,
    board,
    community,
    figures,
    lines,
    promql,
    rows,
    shown,
    sql,
    sql_over_time,
)

WEEK = """
with week as (
  select community, monday at time zone time_zone as begins
  from metrics.published_community,
    generate_series(
      date_trunc('week', $__timeFrom()::timestamptz at time zone time_zone) + interval '1 week',
      date_trunc('week', least($__timeTo()::timestamptz, now()) at time zone time_zone),
      interval '1 week'
    ) as monday
  where community in (${community:sqlstring})
)
"""
"""The weeks that begin in the chosen time: Mondays where the community lives, silent ones too."""

WHOLE_WEEK = WEEK.replace(
    "least($__timeTo()::timestamptz, now())",
    "(least($__timeTo()::timestamptz, now()) - interval '1 week')",
)
"""The same, up to the last one that is over."""

OF_THE_WEEK = """
left join metrics.published_measurement as measured on measured.community = week.community
  and measured.grain = 'week' and measured.source is null and measured.window_start = week.begins
"""

POINTS = "10 x contributors + 5 x replies + 3 x openings + reactions"


def dashboard() -> Dashboard:
    """How the community is doing."""
    return board(
        "klankbord-community",
        "Klankbord · Community",
        "Does the community grow, in absolute numbers? Who waits for an answer, what went to whom, "
        "what was flagged and why?",
        [
            [LAST_WEEK],
            [ALL_TIME, WAITING],
            [POSTS, PEOPLE, KEY_FIGURE],
            [INTERACTIONS, ANSWERS, ROUTED],
            [DEPARTMENTS, URGENT],
            [LABELS, REASONS],
        ],
        since="now-10w",
        refresh="5m",
        variables=[community(several=False)],
        events=[PEAKS, WAVES],
    )


def measured(metric: str) -> str:
    """The value of a metric in a week; 0 where there was none."""
    return f"coalesce(max(value) filter (where metric = '{metric}'), 0)"


def part(metric: str, name: str) -> str:
    """An absolute number that a metric of a week is made of; 0 where there was none."""
    return f"coalesce(max((absolute ->> '{name}')::float8) filter (where metric = '{metric}'), 0)"


LAST_WEEK = figures(
    "The last whole week",
    "Posts, people who wrote, those who wrote for the first time, what people did around posts "
    "(likes, shares, visits), and the key figure, in the last week that is over. Behind each "
    "number: the weeks before.",
    sql_over_time(
        f"""{WHOLE_WEEK}
        select week.begins as time,
          {measured("posts")} as "Posts",
          {measured("contributors")} as "People",
          {measured("new-contributors")} as "For the first time",
          {measured("interactions")} as "Interactions",
          {measured("activity")} as "Key figure"
        from week {OF_THE_WEEK}
        group by week.begins order by week.begins"""
    ),
    unit=units.LocaleFormat,
    trend=True,
)

ALL_TIME = figures(
    "Since the beginning",
    "What stands today, of all time: posts, people who wrote them, what people did around them.",
    promql('sum(klankbord_community_posts{community=~"$community"})', "Posts", now=True),
    promql('sum(klankbord_community_contributors{community=~"$community"})', "People", now=True),
    promql(
        'sum(klankbord_community_interactions{community=~"$community"})', "Interactions", now=True
    ),
    unit=units.LocaleFormat,
)

WAITING = figures(
    "Waiting for an answer",
    "Cases that went to a department and were not withdrawn: how many, how many of them are past "
    "their due time, and how long ago the oldest was written.",
    sql(
        """
        select count(*) as "Open", count(*) filter (where due_at < now()) as "Overdue",
          coalesce(extract(epoch from now() - min(published)), 0)::float8 as "Oldest"
        from routing.published_case
        where community in (${community:sqlstring}) and state = 'open'"""
    ),
    unit=units.LocaleFormat,
).override_by_name("Overdue", shown(steps={1: WARN}))
WAITING.override_by_name("Oldest", shown(unit=units.Seconds))

POSTS = bars(
    "Posts by week",
    "Posts by people in each week, from Monday where the community lives: those that open a thread "
    "and replies. The last bar is the running week, so it is not whole.",
    sql_over_time(
        f"""{WEEK}
        select week.begins as time,
          {part("activity", "openings")} as "Open a thread",
          {part("activity", "replies")} as "Replies"
        from week {OF_THE_WEEK}
        group by week.begins order by week.begins"""
    ),
    unit=units.LocaleFormat,
)

PEOPLE = bars(
    "People who wrote, by week",
    "Different people who wrote in each week: those who had written before, and those who wrote "
    "here for the first time. Bots do not count.",
    sql_over_time(
        f"""{WEEK}
        select week.begins as time,
          {measured("contributors")} - {measured("new-contributors")} as "Wrote before",
          {measured("new-contributors")} as "For the first time"
        from week {OF_THE_WEEK}
        group by week.begins order by week.begins"""
    ),
    unit=units.LocaleFormat,
)

KEY_FIGURE = bars(
    "Key figure by week, and what makes it",
    f"The key figure of the report: {POINTS}. Each part of a bar is one term of it; reactions are "
    "likes, shares and follows.",
    sql_over_time(
        f"""{WEEK}
        select week.begins as time,
          10 * {part("activity", "contributors")} as "10 × people",
          5 * {part("activity", "replies")} as "5 × replies",
          3 * {part("activity", "openings")} as "3 × openings",
          {part("activity", "reactions")} as "Reactions"
        from week {OF_THE_WEEK}
        group by week.begins order by week.begins"""
    ),
    unit=units.LocaleFormat,
)

INTERACTIONS = bars(
    "Interactions by week",
    "What people did around posts in each week, by kind. Klankbord knows what its sources tell it.",
    sql_over_time(
        f"""{WEEK}
        select week.begins as time, kind.key as metric, kind.value::float8 as value
        from week {OF_THE_WEEK} and measured.metric = 'interactions',
          jsonb_each_text(coalesce(measured.absolute, '{{}}')) as kind
        order by week.begins, kind.key"""
    ),
    unit=units.LocaleFormat,
)

ANSWERS = lines(
    "Time until the first answer",
    "Half of the people who opened a thread in that week, and were answered, had to wait no longer "
    "than this for another person's reply.",
    sql_over_time(
        f"""{WHOLE_WEEK}
        select week.begins as time, measured.value as "Median"
        from week {OF_THE_WEEK} and measured.metric = 'time-to-first-response'
        order by week.begins"""
    ),
    unit=units.Seconds,
)

ROUTED = bars(
    "What went where, by week",
    "Posts that were carried to a department, by the week that they were written in; those that "
    "were taken back do not count.",
    sql_over_time(
        f"""{WEEK}
        select week.begins as time, department as metric, count(*)::float8 as value
        from week
        join routing.published_case as carried on carried.community = week.community
          and carried.state = 'open' and carried.published >= week.begins
          and carried.published < week.begins + interval '1 week'
        group by week.begins, department
        order by week.begins, department"""
    ),
    unit=units.LocaleFormat,
)

DEPARTMENTS = rows(
    "Who waits for whom",
    "Open cases by department, how many of them are overdue, and since when the oldest waits.",
    sql(
        """
        select department as "Department", count(*) as "Open",
          count(*) filter (where due_at < now()) as "Overdue",
          extract(epoch from now() - min(published))::float8 as "Oldest"
        from routing.published_case
        where community in (${community:sqlstring}) and state = 'open'
        group by department order by count(*) desc, department"""
    ),
    columns={
        "Open": shown(width=70),
        "Overdue": shown(width=90, steps={1: WARN}),
        "Oldest": shown(width=110, unit=units.Seconds),
    },
    empty="Nobody waits.",
)

URGENT = rows(
    "Answer these first",
    "The most urgent open cases. What was said stands where it was said: a click opens it.",
    sql(
        """
        select department as "For", intent as "What", priority as "Priority",
          due_at as "Due", source as "Source", url as "Post"
        from routing.published_case
        where community in (${community:sqlstring}) and state = 'open'
        order by array_position(array['critical', 'high', 'medium', 'low'], priority),
          due_at desc, post
        limit 8"""
    ),
    columns={
        "Priority": shown(width=90),
        "Due": shown(width=120, unit=units.DateTimeFromNow),
        "Source": shown(width=90),
        "Post": shown(width=70, opens=True, absent="–"),
    },
    empty="Nobody waits.",
)

LABELS = bars(
    "What was flagged, by week",
    "Labels that rules in force gave to the posts of each week. A post may carry several.",
    sql_over_time(
        f"""{WEEK}
        select week.begins as time, label.key as metric, label.value::float8 as value
        from week {OF_THE_WEEK} and measured.metric = 'labels',
          jsonb_each_text(coalesce(measured.absolute, '{{}}')) as label
        order by week.begins, label.key"""
    ),
    unit=units.LocaleFormat,
)

REASONS = rows(
    "Why it was flagged",
    "Each rule in force that spoke about posts of the chosen time, in its own words, and of how "
    "many.",
    sql(
        """
        select label as "Label", explanation as "Because", count(distinct post) as "Posts"
        from moderation.published_flag
        where community in (${community:sqlstring}) and mode = 'live'
          and $__timeFilter(counted_at)
        group by label, explanation order by count(distinct post) desc, label, explanation"""
    ),
    columns={"Label": shown(width=110), "Posts": shown(width=70)},
    empty="Nothing was flagged.",
)

PEAKS = Event(
    "Many posts on one day",
    "blue",
    sql(
        """
        with day as (
          select window_start, value,
            avg(value) over before as usual, count(*) over before as days
          from metrics.published_measurement
          where community in (${community:sqlstring}) and metric = 'posts' and grain = 'day'
            and source is null
          window before as (order by window_start rows between 28 preceding and 1 preceding)
        )
        select window_start as time, format('%s posts on one day', value) as title,
          format('The mean of the days before is %s.', round(usual)) as text,
          'peak' as tags
        from day
        where days >= 7 and value >= 10 and value >= 1.7 * usual and $__timeFilter(window_start)
        order by window_start"""
    ),
)

WAVES = Event(
    "Many flags on one day",
    "red",
    sql(
        """
        select window_start as time, format('%s flagged posts on one day', value) as title,
          'Moderation says which rules spoke.' as text, 'flags' as tags
        from metrics.published_measurement
        where community in (${community:sqlstring}) and metric = 'flagged-posts' and grain = 'day'
          and source is null and value >= 5 and $__timeFilter(window_start)
        order by window_start"""
    ),
)
