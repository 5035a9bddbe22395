"""Pipeline: do events flow, how soon are they counted, and does anything get stuck?"""

from pathlib import Path

import yaml
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models import units
from scripts.dashboards.style import (
    BAD,
    WARN,
    WELL,
    board,
    figures,
    if_any,
    lines,
    on_alert,
    promql,
)

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules" / "klankbord.yaml"
OBJECTIVE = 0.999
"""The share of posts that has to be counted within five seconds."""


def alerts() -> list[str]:
    """The names of all alerts that there are rules for."""
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return sorted({rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule})


def dashboard() -> Dashboard:
    """How the pipeline runs."""
    return board(
        "klankbord-pipeline",
        "Klankbord · Pipeline",
        "Is an accepted post counted within five seconds? Does anything wait, fail, repeat or get "
        "stuck?",
        [
            [COUNTED_IN_TIME, ALERTS, LOST, READY],
            [LATENCY, LAG],
            [UNREAD, THROUGHPUT],
            [OUTBOX_AGE, LOOP_LAG],
            [RETRIES, FAILURES, BATCHES],
        ],
        since="now-6h",
        refresh="30s",
    )


COUNTED_IN_TIME = on_alert(
    figures(
        "Counted within 5 seconds",
        "The share of accepted posts and interactions that metrics wrote down within five seconds, "
        "in the chosen time. The objective is 999 of 1,000.",
        promql(
            'sum(rate(klankbord_metrics_counted_latency_seconds_bucket{le="5.0"}[$__range]))'
            " / sum(rate(klankbord_metrics_counted_latency_seconds_count[$__range]))",
            "counted in time",
            now=True,
        ),
        unit=units.PercentUnit,
        steps={-1e9: BAD, OBJECTIVE: WELL},
        empty="nothing came in",
    ).decimals(2),
    "CountedTooLate",
    "CountedTooLateSlowly",
)

ALERTS = figures(
    "Alerts",
    "How many alerts of Klankbord's rules fire now. Each has a page that says what to do.",
    promql(
        f'count(ALERTS{{alertstate="firing", alertname=~"{"|".join(alerts())}"}}) or vector(0)',
        "firing",
        now=True,
    ),
    unit=units.LocaleFormat,
    steps={1: BAD},
)

LOST = on_alert(
    figures(
        "Not handled",
        "Dead letters are events that a consumer could not handle. They wait, and klankbord "
        "dlq list says why. Missed ones left a stream before they were read.",
        promql(
            'sum(klankbord_stream_messages{stream="DEAD"}) or vector(0)', "dead letters", now=True
        ),
        promql("sum(klankbord_consumer_missed) or vector(0)", "missed", now=True),
        unit=units.LocaleFormat,
        steps={1: BAD},
    ),
    "DeadLetters",
    "EventsMissed",
)

READY = on_alert(
    figures(
        "Ready",
        "How many processes of each service say that they are ready, and whether NATS answers.",
        promql("sum by (job) (klankbord_ready)", "{{job}}", now=True),
        promql("max(klankbord_nats_up)", "NATS", now=True),
        unit=units.LocaleFormat,
        steps={-1e9: BAD, 1: WELL},
        empty="none",
    ),
    "ServiceDown",
    "ServiceFrozen",
)

LATENCY = on_alert(
    lines(
        "From accepted to counted",
        "Seconds from when Klankbord saw a post until metrics wrote it down: for half, for 95 and "
        "for 99 of 100. A point leads to the trace of one post.",
        *(
            promql(
                f"histogram_quantile({quantile}, sum by (le) "
                "(rate(klankbord_metrics_counted_latency_seconds_bucket[$__rate_interval])))",
                name,
                traced=quantile == 0.99,
            )
            for quantile, name in ((0.5, "half"), (0.95, "95 of 100"), (0.99, "99 of 100"))
        ),
        unit=units.Seconds,
        steps={5: BAD},
    ),
    "CountedTooLate",
)

LAG = on_alert(
    lines(
        "Lag",
        "Events on the bus that a consumer has not finished: not given to it yet, or in hand. A "
        "hill after a burst is well, a slope is not.",
        promql(
            "sum by (consumer) (klankbord_consumer_pending + klankbord_consumer_ack_pending)",
            "{{consumer}}",
        ),
        unit=units.LocaleFormat,
        steps={10_000: WARN},
    ),
    "LagGrows",
)

UNREAD = on_alert(
    lines(
        "Oldest event that was not read",
        "How old the oldest event is that a consumer has not finished; 0 when it has all. What is "
        "older than the stream keeps is lost to it.",
        promql(
            "max by (consumer) (time() - klankbord_consumer_oldest_unread_timestamp_seconds > 0)"
            " or max by (consumer) (klankbord_consumer_pending * 0)",
            "{{consumer}}",
        ),
        unit=units.Seconds,
        steps={300: WARN, 15 * 86_400: BAD},
    ),
    "LagGrows",
    "UnreadTooLong",
    "EventsMissed",
)

THROUGHPUT = lines(
    "Events handled per second",
    "Events that each consumer handled for the first time.",
    promql(
        "sum by (consumer) (rate(klankbord_events_handled_total[$__rate_interval]))", "{{consumer}}"
    ),
    unit=units.EventsPerSecond,
)

OUTBOX_AGE = on_alert(
    lines(
        "Oldest event in an outbox",
        "How long the oldest event waits that a service has committed and not yet put on the bus. "
        "It grows while NATS is away, or refuses.",
        promql("max by (job) (klankbord_outbox_age_seconds)", "{{job}}"),
        unit=units.Seconds,
        steps={60: BAD},
    ),
    "OutboxWaits",
)

RETRIES = on_alert(
    lines(
        "Given back, and delivered again",
        "Deliveries per second that a consumer gave back because of a passing fault, and events "
        "that came again after they were handled. Neither counts twice.",
        promql(
            if_any("sum by (consumer) (rate(klankbord_events_retried_total[$__rate_interval]))"),
            "given back {{consumer}}",
        ),
        promql(
            if_any("sum by (consumer) (rate(klankbord_events_repeated_total[$__rate_interval]))"),
            "again {{consumer}}",
        ),
        unit=units.EventsPerSecond,
    ),
    "DatabaseErrors",
)

FAILURES = on_alert(
    lines(
        "Faults",
        "Per second: faults of the database that passed, periodic tasks that failed, rounds that "
        "NATS refused as a full stream does, and events that became dead letters.",
        promql(
            if_any("sum by (job) (rate(klankbord_database_errors_total[$__rate_interval]))"),
            "database {{job}}",
        ),
        promql(
            if_any("sum by (job, task) (rate(klankbord_tick_failures_total[$__rate_interval]))"),
            "task {{job}} {{task}}",
        ),
        promql(
            if_any("sum by (job) (rate(klankbord_outbox_refused_total[$__rate_interval]))"),
            "refused {{job}}",
        ),
        promql(
            if_any(
                "sum by (consumer, reason)"
                " (rate(klankbord_events_dead_lettered_total[$__rate_interval]))"
            ),
            "dead letter {{consumer}} {{reason}}",
        ),
        unit=units.EventsPerSecond,
    ),
    "DatabaseErrors",
    "DeadLetters",
    "StreamNearlyFull",
)

LOOP_LAG = on_alert(
    lines(
        "How late the event loops are",
        "A service does everything in one loop. One that is late does something long, or has no "
        "processor.",
        promql("max by (job) (klankbord_loop_lag_seconds)", "{{job}}"),
        unit=units.Seconds,
        steps={0.5: WARN, 5: BAD},
    ),
    "ServiceFrozen",
)

BATCHES = lines(
    "Time for a batch",
    "How long 95 of 100 batches take at most, from the beginning of their transaction to its "
    "commit.",
    promql(
        "histogram_quantile(0.95, sum by (le, consumer) "
        "(rate(klankbord_batch_seconds_bucket[$__rate_interval])))",
        "{{consumer}}",
    ),
    unit=units.Seconds,
)
