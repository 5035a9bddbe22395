"""Routing: what goes to which department, how soon it has to be answered, what is taken back."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models import units
from scripts.dashboards.style import (
    BAD,
    WARN,
    SqlQuery,
    bars,
    board,
    community,
    figures,
    gauges,
    lines,
    on_alert,
    or_none,
    promql,
    rows,
    shown,
    sql,
    sql_over_time,
)

OPEN = """
from routing.published_case
where community in (${community:sqlstring}) and state = 'open'
"""


def open_by(column: str) -> SqlQuery:
    """How many cases are open, the most first."""
    return sql(
        f"""
        select {column}, count(*)::float8 as cases {OPEN}
        group by {column} order by cases desc, {column}"""
    )


def dashboard() -> Dashboard:
    """What routing does."""
    return board(
        "klankbord-routing",
        "Klankbord · Routing",
        "What waits at which department, and what is overdue? What do members ask for? "
        "Does routing keep up?",
        [
            [WAITING],
            [BY_DEPARTMENT, DUE],
            [BY_PRIORITY],
            [BY_INTENT, BY_SOURCE, BY_LANGUAGE],
            [BY_DAY, WITHDRAWN],
            [THROUGHPUT, TAKEN_BACK, LAG],
        ],
        since="now-30d",
        refresh="1m",
        variables=[community(several=True)],
    )


WAITING = figures(
    "Waiting now",
    "Open cases, those past their due time, those due within a day, and how long ago the oldest "
    "was written.",
    sql(
        f"""
        select count(*) as "Open",
          count(*) filter (where due_at < now()) as "Overdue",
          count(*) filter (where due_at between now() and now() + interval '1 day')
            as "Due within a day",
          coalesce(extract(epoch from now() - min(published)), 0)::float8 as "Oldest"
        {OPEN}"""
    ),
    unit=units.LocaleFormat,
).override_by_name("Overdue", shown(steps={1: WARN}))
WAITING.override_by_name("Oldest", shown(unit=units.Seconds))

BY_DEPARTMENT = gauges(
    "Open cases by department",
    "Posts that went to a department and were not withdrawn, as metrics counts them.",
    promql(
        'sum by (department) (klankbord_community_open_cases{community=~"$community"})',
        "{{department}}",
        now=True,
    ),
    unit=units.LocaleFormat,
    empty="Nobody waits.",
)

DUE = gauges(
    "When they are due",
    "Open cases by the time until they have to be answered. Imported history is overdue from the "
    "start, unless ignore_older_than in routing.yaml leaves it out.",
    sql(
        f"""
        select moment, count(*)::float8 as cases
        from (
          select due_at, case
            when due_at < now() - interval '7 days' then 'a week late'
            when due_at < now() then 'late'
            when due_at < now() + interval '1 day' then 'within a day'
            when due_at < now() + interval '7 days' then 'within a week'
            else 'later'
          end as moment
          {OPEN}
        ) as waiting
        group by moment order by min(due_at)"""
    ),
    unit=units.LocaleFormat,
    empty="Nobody waits.",
)

BY_PRIORITY = rows(
    "Departments and priorities",
    "Open cases of each department by priority, how many are overdue, and how long the oldest "
    "waits.",
    sql(
        f"""
        select department as "Department",
          count(*) filter (where priority = 'critical') as "Critical",
          count(*) filter (where priority = 'high') as "High",
          count(*) filter (where priority = 'medium') as "Medium",
          count(*) filter (where priority = 'low') as "Low",
          count(*) filter (where due_at < now()) as "Overdue",
          extract(epoch from now() - min(published))::float8 as "Oldest"
        {OPEN}
        group by department order by count(*) desc, department"""
    ),
    columns={
        "Critical": shown(width=80, steps={1: BAD}),
        "High": shown(width=70),
        "Medium": shown(width=80),
        "Low": shown(width=70),
        "Overdue": shown(width=90, steps={1: WARN}),
        "Oldest": shown(width=110, unit=units.Seconds),
    },
    empty="Nobody waits.",
)

BY_INTENT = gauges(
    "What members ask for",
    "Open cases by what routing read in them: a bug, an idea, a question, a complaint, a lead. It "
    "reads cue words, so irony escapes it.",
    open_by("intent"),
    unit=units.LocaleFormat,
    empty="Nobody waits.",
)

BY_SOURCE = gauges(
    "By source",
    "Where the open cases were written.",
    open_by("source"),
    unit=units.LocaleFormat,
    empty="Nobody waits.",
)

BY_LANGUAGE = gauges(
    "By language",
    "In which language the open cases are, and so who can answer them.",
    open_by("language"),
    unit=units.LocaleFormat,
    empty="Nobody waits.",
)

BY_DAY = bars(
    "What went where, by day",
    "Posts that were carried to a department, by the day that they were written on.",
    sql_over_time(
        """
        select date_trunc('day', published) as time, department as metric,
          count(*)::float8 as value
        from routing.published_case
        where community in (${community:sqlstring}) and $__timeFilter(published)
        group by 1, department order by 1, department"""
    ),
    unit=units.LocaleFormat,
)

WITHDRAWN = gauges(
    "What was taken back, and why",
    "Cases that were withdrawn in the chosen time: the post was deleted, edited, flagged gravely, "
    "or the rules changed.",
    sql(
        """
        select coalesce(withdrawn_because, 'nothing') as because,
          count(withdrawn_because)::float8 as cases
        from (values (1)) as always (one)
        left join routing.published_case on community in (${community:sqlstring})
          and state = 'withdrawn' and $__timeFilter(withdrawn_at)
        group by because order by cases desc, because"""
    ),
    unit=units.LocaleFormat,
)

THROUGHPUT = lines(
    "Carried per second, by department",
    "Posts that routing carries to each department right now, those that it carries once more "
    "after an edit too.",
    promql(
        or_none(
            "sum by (department) (rate(klankbord_routing_routed_total[$__rate_interval]))",
            "department",
        ),
        "{{department}}",
    ),
    unit=units.EventsPerSecond,
)

LAG = on_alert(
    lines(
        "Events that wait for routing",
        "Events on the bus that routing has not finished, by what it reads.",
        promql(
            "sum by (consumer) (klankbord_consumer_pending"
            '{consumer=~"routing-.+"} + klankbord_consumer_ack_pending)',
            "{{consumer}}",
        ),
        unit=units.LocaleFormat,
        steps={10_000: WARN},
    ),
    "LagGrows",
)

TAKEN_BACK = lines(
    "Taken back per second, by reason",
    "A rise means that rules or posts change much, or that moderation comes late.",
    promql(
        or_none(
            "sum by (because) (rate(klankbord_routing_withdrawn_total[$__rate_interval]))",
            "because",
        ),
        "{{because}}",
    ),
    unit=units.EventsPerSecond,
)
