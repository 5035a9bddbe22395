"""Moderation: what it looks at, what it finds, and by which rules."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models import units
from scripts.dashboards.style import (
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

FLAGGED = """
from moderation.published_flag
where community in (${community:sqlstring}) and $__timeFilter(counted_at)
"""
"""The labels that posts of the chosen time carry now."""

OF_RULES = {"Label": shown(width=110), "Severity": shown(width=90), "Posts": shown(width=70)}


def spoken_by(mode: str) -> SqlQuery:
    """The rules in force (`live`) or in trial (`shadow`) that spoke, and how often."""
    return sql(
        f"""
        select rule as "Rule", label as "Label", severity as "Severity",
          count(distinct post) as "Posts", explanation as "Because"
        {FLAGGED} and mode = '{mode}'
        group by rule, label, severity, explanation
        order by count(distinct post) desc, rule"""
    )


def flagged_by(column: str) -> SqlQuery:
    """How many posts were flagged, the most first."""
    return sql(
        f"""
        select {column}, count(distinct post)::float8 as posts
        {FLAGGED} and mode = 'live'
        group by {column} order by posts desc, {column}"""
    )


def dashboard() -> Dashboard:
    """What moderation does."""
    return board(
        "klankbord-moderation",
        "Klankbord · Moderation",
        "What is flagged, by which rule, and why? What would the rules in trial do? "
        "Does moderation keep up?",
        [
            [FOUND, JUDGED],
            [BY_DAY, BY_LABEL],
            [BY_RULE],
            [TRIAL],
            [BY_SEVERITY, BY_SOURCE, BY_LANGUAGE],
            [THROUGHPUT, LABELLING],
            [LAG, BATCHES],
        ],
        since="now-30d",
        refresh="1m",
        variables=[community(several=True)],
    )


FOUND = figures(
    "Flagged in the chosen time",
    "Posts of the chosen time that a rule in force flagged, how many of them gravely, and those "
    "that a rule in trial (shadow) would flag.",
    sql(
        f"""
        select count(distinct post) filter (where mode = 'live') as "Flagged",
          count(distinct post) filter (where mode = 'live' and severity in ('high', 'critical'))
            as "Of them grave",
          count(distinct post) filter (where mode = 'shadow') as "By rules in trial"
        {FLAGGED}"""
    ),
    unit=units.LocaleFormat,
)

JUDGED = figures(
    "Judged in the chosen time",
    "Versions of posts that moderation judged, edits and imported history too, and those that got "
    "a label. Prometheus estimates it from what it scraped.",
    promql("sum(increase(klankbord_moderation_posts_total[$__range]))", "Judged", now=True),
    promql("sum(increase(klankbord_moderation_flagged_total[$__range]))", "Labelled", now=True),
    unit=units.LocaleFormat,
).decimals(0)

BY_DAY = bars(
    "Flagged posts by day",
    "Posts that a rule in force flagged, by the day that they were written on, and by how grave it "
    "is.",
    sql_over_time(
        f"""
        select date_trunc('day', counted_at) as time, severity as metric,
          count(distinct post)::float8 as value
        {FLAGGED} and mode = 'live'
        group by 1, severity order by 1, severity"""
    ),
    unit=units.LocaleFormat,
)

BY_LABEL = gauges(
    "Flagged posts by label",
    "What the posts of the chosen time were flagged as. A post may carry several labels.",
    flagged_by("label"),
    unit=units.LocaleFormat,
    empty="Nothing was flagged.",
)

BY_RULE = rows(
    "Which rules spoke, and why",
    "Each rule in force that flagged a post of the chosen time, in its own words. A rule that "
    "speaks much more than before is worth a look: klankbord policy check.",
    spoken_by("live"),
    columns=OF_RULES,
    empty="Nothing was flagged.",
)

TRIAL = rows(
    "What rules in trial would flag",
    "Rules in shadow mode change nothing. They show here what they would do, before you let them.",
    spoken_by("shadow"),
    columns=OF_RULES,
    empty="No rule is in trial, or none spoke.",
).height(6)

BY_SEVERITY = gauges(
    "By severity",
    "How grave it is what rules in force found, from low to critical.",
    sql(
        f"""
        select severity, count(distinct post)::float8 as posts
        {FLAGGED} and mode = 'live'
        group by severity
        order by array_position(array['critical', 'high', 'medium', 'low'], severity)"""
    ),
    unit=units.LocaleFormat,
    empty="Nothing was flagged.",
)

BY_SOURCE = gauges(
    "By source",
    "Where the flagged posts were written.",
    flagged_by("source"),
    unit=units.LocaleFormat,
    empty="Nothing was flagged.",
)

BY_LANGUAGE = gauges(
    "By language",
    "In which language the flagged posts are, as ingest found it out. The rules know some "
    "languages better than others.",
    flagged_by("language"),
    unit=units.LocaleFormat,
    empty="Nothing was flagged.",
)

THROUGHPUT = lines(
    "Posts judged per second",
    "How many versions of posts moderation judges, and how many get a label.",
    promql("sum(rate(klankbord_moderation_posts_total[$__rate_interval]))", "judged"),
    promql("sum(rate(klankbord_moderation_flagged_total[$__rate_interval]))", "labelled"),
    unit=units.EventsPerSecond,
)

LABELLING = lines(
    "Labels given per second, by label",
    "What moderation finds right now, rules in trial included. A step up is a raid, or a rule that "
    "is too broad.",
    promql(
        or_none(
            "sum by (label, mode) (rate(klankbord_moderation_labels_total[$__rate_interval]))",
            "label",
        ),
        "{{label}} {{mode}}",
    ),
    unit=units.EventsPerSecond,
)

LAG = on_alert(
    lines(
        "Posts that wait for moderation",
        "Events on the bus that moderation has not finished. Routing and metrics do not wait for "
        "it.",
        promql(
            "sum by (consumer) (klankbord_consumer_pending"
            '{consumer=~"moderation-.+"} + klankbord_consumer_ack_pending)',
            "{{consumer}}",
        ),
        unit=units.LocaleFormat,
        steps={10_000: WARN},
    ),
    "LagGrows",
)

BATCHES = lines(
    "Time for a batch",
    "How long 95 of 100 batches take at most, from the beginning of their transaction to its "
    "commit.",
    promql(
        "histogram_quantile(0.95, sum by (le, consumer) (rate(klankbord_batch_seconds_bucket"
        '{consumer=~"moderation-.+"}[$__rate_interval])))',
        "{{consumer}}",
    ),
    unit=units.Seconds,
)
