"""What a doctor thinks of facts: each check has a sick case, and a well one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from klankbord_runtime.audit import BEGINNING, Entry, hash_of
from klankbord_schemas.topology import CONSUMERS, STREAMS
from klankbord_standalone.doctor import (
    bus_checks,
    database_checks,
    growth_checks,
    machine_checks,
    services_checks,
    show,
)
from klankbord_standalone.doctor.bus import BusFacts, ConsumerFacts, Monitoring, StreamFacts
from klankbord_standalone.doctor.database import (
    LAST_ENTRIES,
    DatabaseFacts,
    Feed,
    SchemaFacts,
)
from klankbord_standalone.doctor.finding import Finding, Unknown, judged, named, why
from klankbord_standalone.doctor.machine import (
    FILES,
    Disk,
    MachineFacts,
    Written,
    monitoring_addresses,
)
from klankbord_standalone.doctor.services import ServiceFacts, SourceFacts
from klankbord_standalone.doctor.words import length, size
from klankbord_standalone.home import CONFIGS
from klankbord_standalone.nats_server import server_config

DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
GIB = 1024**3


def stream(name: str, **sick: Any) -> StreamFacts:
    return replace(StreamFacts(name, [], 100, GIB, 20 * GIB, 30 * DAY, 1, 100), **sick)


def reader(name: str, stream: str, **sick: Any) -> ConsumerFacts:
    return replace(ConsumerFacts(name, stream, [], 0, 100, None, reads_whole=True), **sick)


BUS = BusFacts(
    version=(2, 12),
    ahead=0.1 * SECOND,
    streams={s.name: stream(s.name) for s in STREAMS},
    consumers={c.name: reader(c.name, c.stream) for c in CONSUMERS},
    dead={},
    refused={"ingest": [], "routing": []},
    monitoring=Monitoring(sync_always=True, max_store=1024 * GIB, reserved=160 * GIB),
)


def posts(**sick: Any) -> dict[str, Any]:
    return {"streams": BUS.streams | {"POSTS": stream("POSTS", **sick)}}


def routing(**sick: Any) -> dict[str, Any]:
    name = "routing-posts"
    return {"consumers": BUS.consumers | {name: reader(name, "POSTS", **sick)}}


@pytest.mark.parametrize("check", bus_checks.CHECKS)
def test_a_bus_that_is_well(check: str) -> None:
    assert bus_checks.CHECKS[check](BUS).verdict == "ok"


@pytest.mark.parametrize(
    ("check", "sick", "verdict", "told"),
    [
        ("NATS: version", {"version": (2, 11)}, "problem", "2.11 is too old"),
        ("NATS: clock", {"ahead": 6 * SECOND}, "problem", "6.0 s ahead of"),
        ("NATS: clock", {"ahead": -90 * SECOND}, "problem", "90.0 s behind"),
        ("NATS: clock", {"ahead": Unknown("gone")}, "not checked", "gone"),
        (
            "NATS: streams and consumers",
            {"streams": {"POSTS": None}},
            "problem",
            "POSTS is missing",
        ),
        (
            "NATS: streams and consumers",
            posts(drift=["max_age is 1 s, and should be 2 s"]),
            "problem",
            "stream POSTS: max_age is 1 s",
        ),
        (
            "NATS: streams and consumers",
            {"consumers": {"routing-flags": None}},
            "problem",
            "consumer routing-flags is missing",
        ),
        (
            "NATS: permissions",
            {"refused": {"routing": ["read x"]}},
            "problem",
            "routing may not read",
        ),
        ("streams: room", posts(bytes=17 * GIB), "warning", "POSTS 85%"),
        ("streams: room", posts(bytes=20 * GIB), "problem", "POSTS 100%"),
        ("streams: their end", posts(last_sequence=99), "problem", "POSTS ends at 99"),
        (
            "consumers: lag",
            routing(waiting=9, oldest_unread=HOUR),
            "warning",
            "1 h behind, 9 events",
        ),
        (
            "consumers: unread",
            routing(waiting=9, oldest_unread=16 * DAY),
            "problem",
            "16 d of 30 d",
        ),
        ("dead letters", {"dead": {"routing-posts": 3}}, "problem", "3 of routing-posts"),
        ("NATS: on the disk", {"monitoring": Unknown("why")}, "not checked", "why"),
        (
            "NATS: on the disk",
            {"monitoring": Monitoring(sync_always=False, max_store=2, reserved=1)},
            "problem",
            "power cut",
        ),
        ("NATS: what it may keep", {"monitoring": Unknown("why")}, "not checked", "why"),
        (
            "NATS: what it may keep",
            {"monitoring": Monitoring(sync_always=True, max_store=1, reserved=2)},
            "problem",
            "grow to 2 B",
        ),
    ],
)
def test_a_bus_that_is_not(check: str, sick: dict[str, Any], verdict: str, told: str) -> None:
    judgement = bus_checks.CHECKS[check](replace(BUS, **sick))
    assert judgement.verdict == verdict
    assert told in judgement.found
    assert bool(judgement.fix) is (verdict in ("warning", "problem"))


def test_what_went_before_it_was_read_is_counted() -> None:
    sick = posts(first_sequence=51) | routing(waiting=50, acknowledged=20)
    judgement = bus_checks.CHECKS["consumers: missed"](replace(BUS, **sick))
    assert judgement.verdict == "problem"
    assert "routing-posts (30)" in judgement.found


def test_who_has_read_everything_missed_nothing_when_it_ages_out() -> None:
    sick = posts(first_sequence=101) | routing(acknowledged=90, waiting=0)
    assert bus_checks.CHECKS["consumers: missed"](replace(BUS, **sick)).verdict == "ok"


SCHEMA = SchemaFacts([], [], [], 0, timedelta(), GIB, {}, [])


def chain(count: int) -> list[Entry]:
    entries: list[Entry] = []
    for number in range(1, count + 1):
        before = entries[-1].hash if entries else BEGINNING
        moment = datetime(2026, 11, 22, tzinfo=UTC)
        entry = Entry(number, moment, "postgres", "file.applied", "{}", before, "")
        entries.append(replace(entry, hash=hash_of(entry)))
    return entries


WHOLE = chain(3)
LONG = chain(LAST_ENTRIES + 5)[4:]
DATABASE = DatabaseFacts(
    version="16.1",
    major=16,
    ahead=timedelta(),
    durable={"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"},
    missing_roles=[],
    lacking=[],
    excess=[],
    schemas={"ingest": SCHEMA, "routing": SCHEMA},
    audit=WHOLE,
)


def ingest(**sick: Any) -> dict[str, Any]:
    return {"schemas": {"ingest": replace(SCHEMA, **sick)}}


@pytest.mark.parametrize("check", database_checks.CHECKS)
def test_a_database_that_is_well(check: str) -> None:
    assert database_checks.CHECKS[check](DATABASE).verdict == "ok"


@pytest.mark.parametrize(
    ("check", "sick", "verdict", "told"),
    [
        ("PostgreSQL: version", {"major": 14, "version": "14.9"}, "problem", "14.9 is too old"),
        ("PostgreSQL: clock", {"ahead": 60 * SECOND}, "problem", "60.0 s ahead of"),
        ("PostgreSQL: on the disk", {"durable": {"fsync": "off"}}, "problem", "fsync off"),
        (
            "PostgreSQL: on the disk",
            {"durable": {"synchronous_commit": "local"}},
            "warning",
            "synchronous_commit local",
        ),
        (
            "PostgreSQL: roles and grants",
            {"missing_roles": ["klankbord_x"]},
            "problem",
            "klankbord_x",
        ),
        ("PostgreSQL: roles and grants", {"lacking": ["a may not b"]}, "problem", "a may not b"),
        ("PostgreSQL: roles and grants", {"excess": ["a reaches b"]}, "problem", "a reaches b"),
        ("PostgreSQL: log in", {"schemas": {"routing": Unknown("no")}}, "problem", "routing: no"),
        ("PostgreSQL: log in", {"audit": Unknown("no")}, "problem", "reader: no"),
        ("schema", ingest(missing=["0009_x"]), "problem", "not applied: ingest 0009_x"),
        ("schema", ingest(changed=["0001_x"]), "problem", "changed after they were applied"),
        ("schema", ingest(newer=["0010_x"]), "warning", "newer build: ingest 0010_x"),
        ("outbox", ingest(pending=7, age=HOUR), "problem", "ingest: 7 events, the oldest for 1 h"),
        ("outbox", ingest(outbox_bytes=11 * GIB), "warning", "ingest 11.0 GiB"),
        ("audit log", {"audit": Unknown("no")}, "not checked", "no"),
        ("audit log", {"audit": WHOLE[1:]}, "problem", "entry 1 is missing"),
        ("audit log", {"audit": [*LONG[:7], *LONG[8:]]}, "problem", "entry 12 is missing"),
    ],
)
def test_a_database_that_is_not(check: str, sick: dict[str, Any], verdict: str, told: str) -> None:
    judgement = database_checks.CHECKS[check](replace(DATABASE, **sick))
    assert judgement.verdict == verdict
    assert told in judgement.found
    assert bool(judgement.fix) is (verdict in ("warning", "problem"))


def test_of_a_long_audit_log_the_end_is_verified() -> None:
    judgement = database_checks.CHECKS["audit log"](replace(DATABASE, audit=LONG))
    assert judgement.verdict == "ok"
    assert f"last {LAST_ENTRIES:,} entries" in judgement.found


def test_a_fresh_outbox_that_waits_a_moment_is_well() -> None:
    sick = replace(DATABASE, **ingest(pending=7, age=SECOND))
    assert database_checks.CHECKS["outbox"](sick).verdict == "ok"


MACHINE = MachineFacts(
    python="3.11.7",
    packages={"klankbord-runtime": "0.1.0", "klankbord-ingest": "0.1.0"},
    disks=[Disk("/data", 80, 100)],
    open_files=[],
    unusable="",
    secrets=15,
    files={"klankbord.yaml": Written("d1", 0), "policy.yaml": Written("d2", 0)},
    config="/config",
    stale_permissions=False,
    nats_conf="",
)


@pytest.mark.parametrize("check", machine_checks.CHECKS)
def test_a_machine_that_is_well(check: str) -> None:
    assert machine_checks.CHECKS[check](MACHINE).verdict == "ok"


@pytest.mark.parametrize(
    ("check", "sick", "verdict", "told"),
    [
        (
            "version",
            {"packages": {"klankbord-runtime": "0.1.0", "klankbord-ingest": "0.2.0"}},
            "problem",
            "klankbord-ingest 0.2.0",
        ),
        ("disk", {"disks": [Disk("/a", 80, 100), Disk("/b", 10, 100)]}, "warning", "at /b"),
        ("disk", {"disks": [Disk("/data", 4, 100)]}, "problem", "4 B of 100 B free"),
        ("disk", {"disks": []}, "not checked", "no data folder"),
        ("keys and passwords", {"open_files": ["/x.nk"]}, "problem", "/x.nk"),
        ("keys and passwords", {"unusable": "/x.nk is not there"}, "problem", "/x.nk is not there"),
        ("keys and passwords", {"secrets": 0}, "not checked", "none"),
        ("configuration", {"files": {"policy.yaml": Written("d", 2)}}, "problem", "(2 problems)"),
        ("configuration", {"files": {}}, "not checked", "/config"),
        ("NATS: users", {"stale_permissions": None}, "not checked", "no auth.conf"),
        ("NATS: users", {"stale_permissions": True}, "problem", "not what this build"),
    ],
)
def test_a_machine_that_is_not(check: str, sick: dict[str, Any], verdict: str, told: str) -> None:
    judgement = machine_checks.CHECKS[check](replace(MACHINE, **sick))
    assert judgement.verdict == verdict
    assert told in judgement.found


def test_streams_that_may_outgrow_the_disk_are_told() -> None:
    ((_, check),) = growth_checks.CHECKS.items()
    roomy = replace(MACHINE, disks=[Disk("/data", 1000 * GIB, 2000 * GIB)])
    assert check((roomy, BUS)).verdict == "ok"
    assert check((MACHINE, BUS)).verdict == "warning"
    assert check((replace(MACHINE, nats_conf=None), BUS)).verdict == "not checked"


def accepted(digest: str) -> SchemaFacts:
    return replace(SCHEMA, accepted={"klankbord": (digest, b"")})


@pytest.mark.parametrize(
    ("schemas", "verdict"),
    [
        ({"ingest": accepted("d1"), "metrics": accepted("d1")}, "ok"),
        ({"ingest": accepted("d1"), "metrics": accepted("d0")}, "problem"),
        ({"ingest": accepted("d0"), "metrics": accepted("d0")}, "warning"),
        ({"ingest": SCHEMA, "metrics": Unknown("no")}, "not checked"),
    ],
)
def test_what_is_in_force_is_compared_with_what_is_written(schemas: Any, verdict: str) -> None:
    ((_, check),) = services_checks.IN_FORCE.items()
    assert check((MACHINE, replace(DATABASE, schemas=schemas))).verdict == verdict


@pytest.mark.parametrize(
    ("check", "facts", "verdict"),
    [
        ("services: ready", {"ingest": ServiceFacts([], None)}, "ok"),
        ("services: ready", {"ingest": ServiceFacts(["starting"], None)}, "problem"),
        ("services: builds", {"ingest": ServiceFacts([], None)}, "not checked"),
        ("services: builds", {"ingest": ServiceFacts([], "0.1.0")}, "ok"),
        (
            "services: builds",
            {"ingest": ServiceFacts([], "0.1.0"), "routing": ServiceFacts([], "0.2.0")},
            "warning",
        ),
    ],
)
def test_services(check: str, facts: dict[str, ServiceFacts], verdict: str) -> None:
    assert services_checks.SERVICE_CHECKS[check](facts).verdict == verdict


FORUM = SourceFacts("forum", "webhook", HOUR, has_secret=True, feed=None)
BLOG = SourceFacts("blog", "feed", HOUR, has_secret=None, feed=Feed("blog", healthy=True))


@pytest.mark.parametrize(
    ("check", "sources", "verdict"),
    [
        ("sources: secrets", [FORUM, BLOG], "ok"),
        ("sources: secrets", [replace(FORUM, has_secret=False)], "warning"),
        ("sources: secrets", [replace(FORUM, has_secret=None)], "not checked"),
        ("sources: feeds", [FORUM, BLOG], "ok"),
        ("sources: feeds", [replace(BLOG, feed=Feed("blog", healthy=False))], "warning"),
        ("sources: silent", [FORUM, BLOG], "ok"),
        ("sources: silent", [replace(FORUM, silent_for=8 * DAY)], "warning"),
        ("sources: silent", [replace(FORUM, silent_for=None)], "warning"),
        ("sources: silent", [SourceFacts("old", "import", None, None, None)], "ok"),
    ],
)
def test_sources(check: str, sources: list[SourceFacts], verdict: str) -> None:
    assert services_checks.SOURCE_CHECKS[check](sources).verdict == verdict


def test_what_cannot_be_had_is_not_checked_and_says_why() -> None:
    findings = judged(bus_checks.CHECKS, Unknown("it is away"))
    assert {(f.verdict, f.found) for f in findings} == {("not checked", "it is away")}
    assert len(findings) == len(bus_checks.CHECKS)


def test_only_a_problem_is_not_well() -> None:
    warned = [Finding("a", "warning", "x", "y"), Finding("b", "not checked", "x", "")]
    assert show.is_well(warned)
    assert not show.is_well([*warned, Finding("c", "problem", "x", "y")])


def test_an_address_that_a_library_quotes_is_not_told() -> None:
    assert why(asyncpg.InterfaceError("postgresql://a:secret@b")) == "InterfaceError"
    assert why(OSError("no\nroute")) == "OSError: no route"
    assert why(TimeoutError()) == "TimeoutError"


def test_words() -> None:
    assert [size(n) for n in (5, 1536, 20 * GIB, 3000 * GIB)] == [
        "5 B",
        "1.5 KiB",
        "20.0 GiB",
        "2.9 TiB",
    ]
    assert [length(n * SECOND) for n in (2, 90, 7200, 200_000)] == [
        "2 s",
        "1.5 min",
        "2 h",
        "2.31 d",
    ]
    assert named("abcdef") == "a, b, c, d and 2 more"


def test_the_embedded_servers_monitoring_is_found(tmp_path: Path) -> None:
    assert monitoring_addresses(server_config(4222, 8222, tmp_path)) == ["http://127.0.0.1:8222"]
    assert monitoring_addresses(None) == []


def test_every_file_that_an_installation_has_is_looked_at() -> None:
    assert FILES.keys() == CONFIGS.keys()
