"""Sources: who is heard, who has gone silent, what is turned away?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units
from scripts.dashboards.style import (
    BAD,
    WARN,
    bars,
    board,
    community,
    figures,
    lines,
    on_alert,
    or_none,
    promql,
    rows,
    shown,
    source,
    sql,
    sql_over_time,
)

COLUMNS = ("source", "kind", "community", "Value #B", "Value #C")
CHOSEN = '{source=~"$source"}'


def dashboard() -> Dashboard:
    """How the sources are."""
    return board(
        "klankbord-sources",
        "Klankbord · Sources",
        "Which sources are heard, which one has gone silent, and what is turned away, why?",
        [
            [CONFIGURED, FEEDS_FAILING, WITHOUT_SECRET],
            [LAST_HEARD],
            [POSTS],
            [OUTCOMES, REFUSED],
            [ANSWERS, ANSWER_TIME],
            [CLICKS],
            [HEALTH],
        ],
        since="now-24h",
        refresh="1m",
        variables=[community(several=True), source()],
    )


CONFIGURED = figures(
    "Sources",
    "How many sources klankbord.yaml lists for the chosen communities.",
    promql(
        'count(count by (source) (klankbord_ingest_source_info{community=~"$community"}))',
        "sources",
        now=True,
    ),
    unit=units.LocaleFormat,
)

FEEDS_FAILING = on_alert(
    figures(
        "Feeds that fail",
        "Feeds whose last poll failed. They are asked again, ever more slowly.",
        promql(
            f"count(max by (source) (klankbord_ingest_source_failures{CHOSEN}) > 0) or vector(0)",
            "failing",
            now=True,
        ),
        unit=units.LocaleFormat,
        steps={1: WARN},
    ),
    "SourceSilent",
)

WITHOUT_SECRET = figures(
    "Webhooks without a secret",
    "Sources that nobody can post to, because their secret is missing or is not a proper one.",
    promql("max(klankbord_ingest_disabled_sources)", "without secret", now=True),
    unit=units.LocaleFormat,
    steps={1: WARN},
)

LAST_HEARD = on_alert(
    rows(
        "When they were heard last",
        "Each source, its kind, how long ago it handed something in, and how many polls failed in "
        "a row if it is a feed. A source that never spoke has no time.",
        promql(
            "max by (source, community, kind) (klankbord_ingest_source_info"
            '{community=~"$community", source=~"$source"})',
            in_columns=True,
        ),
        promql(
            f"time() - max by (source) (klankbord_ingest_source_heard_timestamp_seconds{CHOSEN})",
            in_columns=True,
        ),
        promql(f"max by (source) (klankbord_ingest_source_failures{CHOSEN})", in_columns=True),
        columns={
            "Heard ago": shown(unit=units.Seconds, absent="never", steps={7 * 86_400: WARN}),
            "Failed polls": shown(absent="–", steps={1: WARN, 5: BAD}),
        },
    )
    .with_transformation(  # rows are one when they have everything in common, so not the moment
        model.DataTransformerConfig(
            id_val="filterFieldsByName", options={"exclude": {"names": ["Time"]}}
        )
    )
    .with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    .with_transformation(
        model.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Value #A": True},
                "indexByName": dict(zip(COLUMNS, range(5), strict=True)),
                "renameByName": {
                    "source": "Source",
                    "kind": "Kind",
                    "community": "Community",
                    "Value #B": "Heard ago",
                    "Value #C": "Failed polls",
                },
            },
        )
    ),
    "SourceSilent",
)

POSTS = bars(
    "Posts by source, by day",
    "Posts that stand, by the day that they were written on where the community lives, and by "
    "source. This is about what was written when, not about when Klankbord heard it.",
    sql_over_time(
        """
        select window_start as time, source as metric, sum(value)::float8 as value
        from metrics.published_measurement
        where community in (${community:sqlstring}) and source in (${source:sqlstring})
          and metric = 'posts' and grain = 'day'
          and $__timeFilter(window_start)
        group by window_start, source order by window_start, source"""
    ),
    unit=units.LocaleFormat,
).time_from("8w")

OUTCOMES = lines(
    "Handed in per second",
    "Posts and interactions that the sources handed in, by what became of them. A duplicate was "
    "known already; one by an erased member is not kept.",
    promql(
        or_none(
            "sum by (source, outcome) "
            f"(rate(klankbord_ingest_submissions_total{CHOSEN}[$__rate_interval]))",
            "source",
        ),
        "{{source}} {{outcome}}",
    ),
    unit=units.EventsPerSecond,
)

REFUSED = lines(
    "Turned away per second",
    "What a source handed in and Klankbord refused, by reason. The sender was told which field is "
    "wrong.",
    promql(
        or_none(
            "sum by (source, reason) "
            f"(rate(klankbord_ingest_refused_total{CHOSEN}[$__rate_interval]))",
            "source",
        ),
        "{{source}} {{reason}}",
    ),
    unit=units.EventsPerSecond,
)

ANSWERS = lines(
    "Requests per second, by answer",
    "What the doors answered. 401 is a wrong signature, 422 a wrong body, 429 and 503 tell the "
    "sender to wait and come again.",
    promql(
        "sum by (door, status) (rate(klankbord_ingest_requests_total[$__rate_interval]))",
        "{{door}} {{status}}",
    ),
    unit=units.RequestsPerSecond,
)

ANSWER_TIME = lines(
    "Time until the answer",
    "From the last byte of a request to its answer, for 95 of 100 requests. What is answered is on "
    "the disk; only whoever follows a short link (redirect) is answered before.",
    promql(
        "histogram_quantile(0.95, sum by (le, door) "
        "(rate(klankbord_ingest_request_seconds_bucket[$__rate_interval])))",
        "{{door}}",
    ),
    unit=units.Seconds,
    steps={1: WARN},
)

CLICKS = lines(
    "Short links followed per second",
    "What became of requests for short links: counted as a click, or led without being counted "
    "(programs, browsers that fetch ahead, HEAD, more at once than are counted), or not led "
    "(unknown, disabled). Lost are clicks that were led and could not be kept.",
    promql(
        "sum by (outcome) (rate(klankbord_ingest_clicks_total[$__rate_interval]))",
        "{{outcome}}",
    ),
    unit=units.EventsPerSecond,
)

HEALTH = on_alert(
    rows(
        "Feeds",
        "How each feed is, why one is not well, when it was last read, and when it is asked next.",
        sql(
            """
            select source as "Feed", case when healthy then 'well' else 'not well' end as "State",
              coalesce(reason, '') as "Because", last_success as "Read last",
              next_poll as "Asked next"
            from ingest.published_source_health
            where source in (${source:sqlstring})
            order by healthy, source"""
        ),
        columns={
            "State": shown(width=90),
            "Read last": shown(unit=units.DateTimeFromNow, width=140, absent="never"),
            "Asked next": shown(unit=units.DateTimeFromNow, width=140, absent="never"),
        },
        empty="klankbord.yaml lists no feed.",
    ),
    "SourceSilent",
)
