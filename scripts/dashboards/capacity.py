"""Capacity: what is full when, and how far is it to the next machine?"""

import re
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models import units
from scripts.dashboards.style import (
    BAD,
    WARN,
    WELL,
    board,
    figures,
    gauges,
    lines,
    on_alert,
    promql,
    sql,
)

MEASURED = Path(__file__).parents[2] / "docs" / "capacity.md"
OUTBOX_LIMIT = 20 * 1024**3
TEN_YEARS = 315_576_000


def posts_a_day() -> int:
    """How many posts a day one node carries, as `make bench` measured it.

    Raises:
        ValueError: docs/capacity.md does not say it.
    """
    found = re.search(r"it carries ([\d.]+) million posts a day", MEASURED.read_text("utf-8"))
    if found is None:
        raise ValueError(f"{MEASURED} does not say what one node carries: make bench, bench --docs")
    return round(float(found[1]) * 1_000_000)


def dashboard() -> Dashboard:
    """What there is room for."""
    node = posts_a_day()
    said = f"{node / 1_000_000:.1f} million"
    load = "sum(rate(klankbord_moderation_posts_total[1h])) * 86400"
    return board(
        "klankbord-capacity",
        "Klankbord · Capacity",
        "Which stream or disk is full when? How much of what one node carries is used?",
        [
            [
                figures(
                    "Posts a day, at the pace of the last hour",
                    f"One node carries {said} posts a day, as docs/capacity.md measured it on a "
                    "small machine: measure yours with make bench.",
                    promql(load, "posts a day"),
                    unit=units.LocaleFormat,
                    steps={0.5 * node: WARN, 0.8 * node: BAD},
                    trend=True,
                ).decimals(0),
                figures(
                    "Of what one node carries",
                    f"The same as a share of {said} posts a day.",
                    promql(f"{load} / {node}", "of one node"),
                    unit=units.PercentUnit,
                    steps={0.5: WARN, 0.8: BAD},
                    trend=True,
                ).decimals(2),
                DATABASE,
            ],
            [FILL, FORECAST],
            [BYTES, AGE],
            [MEMORY, CPU],
            [OUTBOX, SCHEMAS],
            [DOORS, REPLICAS],
        ],
        since="now-24h",
        refresh="1m",
    )


DATABASE = figures(
    "Database",
    "What PostgreSQL keeps of Klankbord on its disk.",
    sql("select pg_database_size(current_database())::float8 as size"),
    unit=units.BytesIEC,
)

FILL = on_alert(
    gauges(
        "How full the streams are",
        "Bytes of each stream against the most that it may keep. A full one refuses, outboxes "
        "fill, and at last the door says 503.",
        promql(
            "max by (stream) (klankbord_stream_bytes / (klankbord_stream_max_bytes > 0))",
            "{{stream}}",
            now=True,
        ),
        unit=units.PercentUnit,
        steps={0.6: WARN, 0.8: BAD},
        highest=1,
    ),
    "StreamNearlyFull",
)

FORECAST = on_alert(
    figures(
        "Full in",
        "When each stream is full, if it goes on growing as in the last seven days. Ten years "
        "stand for never, as where a stream loses by age what it gains; in the first week it hopes "
        "too much.",
        promql(
            "clamp_max(max by (stream) ((klankbord_stream_max_bytes - klankbord_stream_bytes)"
            " / clamp_min((klankbord_stream_bytes - min_over_time(klankbord_stream_bytes[7d]))"
            f" / (7 * 86400), 1)), {TEN_YEARS})",
            "{{stream}}",
            now=True,
        ),
        unit=units.Seconds,
        steps={-1e9: BAD, 7 * 86_400: WARN, 30 * 86_400: WELL},
    ).height(8),
    "StreamNearlyFull",
)

BYTES = lines(
    "Bytes of the streams",
    "What each stream keeps on the disk of NATS, one copy.",
    promql("max by (stream) (klankbord_stream_bytes)", "{{stream}}"),
    unit=units.BytesIEC,
)

AGE = on_alert(
    lines(
        "How far back the streams go",
        "The age of the oldest event in each stream. A new reader starts there; the stream drops "
        "what is older than it keeps.",
        promql(
            "max by (stream) (time() - (klankbord_stream_oldest_timestamp_seconds > 0))",
            "{{stream}}",
        ),
        unit=units.Seconds,
    ),
    "EventsMissed",
)

MEMORY = lines(
    "Memory",
    "What each process holds in memory.",
    promql(
        'max by (job, instance) (process_resident_memory_bytes{job=~"klankbord-.+"})', "{{job}}"
    ),
    unit=units.BytesIEC,
)

CPU = lines(
    "Processor",
    "How many cores each process uses. One process uses one core at most, so at 0.8 it is time for "
    "a replica.",
    promql(
        "max by (job, instance) (rate(process_cpu_seconds_total"
        '{job=~"klankbord-.+"}[$__rate_interval]))',
        "{{job}}",
    ),
    unit=units.Short,
    steps={0.8: WARN},
)

OUTBOX = lines(
    "What the outboxes keep",
    "Bytes of events that are kept for a replay, by service. Beyond 20 GiB what was "
    "sent is dropped, the oldest first; if that is not enough, the doors push back.",
    promql("max by (job) (klankbord_outbox_bytes)", "{{job}}"),
    unit=units.BytesIEC,
    steps={0.8 * OUTBOX_LIMIT: WARN},
)

SCHEMAS = gauges(
    "Tables by service",
    "What each service keeps in PostgreSQL, with its indexes.",
    sql(
        """
        select nspname as service, sum(pg_total_relation_size(pg_class.oid))::float8 as size
        from pg_class join pg_namespace on pg_namespace.oid = relnamespace
        where relkind in ('r', 'm') and nspname in ('ingest', 'moderation', 'routing', 'metrics')
        group by nspname order by size desc, nspname"""
    ),
    unit=units.BytesIEC,
)

DOORS = lines(
    "What the doors hold",
    "Bytes of requests that are being read, or wait for the database. At its limit the door says "
    "503.",
    promql("sum by (instance) (klankbord_ingest_waiting_bytes)", "{{instance}}"),
    unit=units.BytesIEC,
)

REPLICAS = lines(
    "Copies of the streams",
    "How many copies of each stream are up to date: three in a cluster of three, one on one "
    "server.",
    promql("min by (stream) (klankbord_stream_replicas_current)", "{{stream}}"),
    unit=units.Short,
)
