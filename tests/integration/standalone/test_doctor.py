"""`klankbord doctor` on real servers that are well, and on ones that were made sick."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from world import Migrated

from klankbord_runtime.permissions import ACCOUNT
from klankbord_runtime.provision import apply
from klankbord_schemas.topology import CONSUMERS, SERVICES, STREAMS
from klankbord_standalone.child import LOOPBACK, free_port
from klankbord_standalone.command import Place
from klankbord_standalone.credentials import Credentials, new_seed
from klankbord_standalone.doctor import bus, show
from klankbord_standalone.doctor.examine import Asked, examine
from klankbord_standalone.doctor.finding import Finding
from klankbord_standalone.home import Home
from klankbord_standalone.nats_server import NatsServer
from klankbord_standalone.servers import Installation, Servers
from klankbord_standalone.standalone import Elsewhere

NEEDLE = "what-anna-said-in-confidence"


@pytest.fixture
def place(installation: Installation, tmp_path: Path) -> Place:
    """The installation as one whose servers are elsewhere, with credentials of its own to spoil."""
    credentials = tmp_path / "credentials"
    shutil.copytree(installation.credentials.folder, credentials)
    return Place(
        Home.at(tmp_path / "data", tmp_path / "config"),
        Elsewhere(installation.nats_url, credentials, installation.admin_url),
    )


async def examined(place: Place, *monitoring: str) -> Mapping[str, Finding]:
    return {f.check: f for f in await examine(place, Asked({}, monitoring, replicas=1))}


async def as_admin(installation: Installation, statement: str) -> None:
    connection = await asyncpg.connect(installation.admin_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def migrate_all(migrated: Migrated) -> None:
    for service in SERVICES:
        await migrated(service.name)


async def stored(installation: Installation) -> int:
    async with installation.client("operator") as client:
        infos = [await client.jetstream().stream_info(stream.name) for stream in STREAMS]
    return sum(info.state.messages for info in infos)


async def test_servers_that_are_well_have_no_problem_and_nothing_is_changed(
    place: Place, installation: Installation, migrated: Migrated, servers: Servers
) -> None:
    await migrate_all(migrated)
    head = await installation.audit_head()
    found = await examined(place, servers.nats.monitor_url)
    assert {f.check: f.found for f in found.values() if f.verdict in ("problem", "warning")} == {}
    for check in ("NATS: permissions", "NATS: on the disk", "PostgreSQL: roles and grants"):
        assert found[check].verdict == "ok"
    assert await stored(installation) == 0
    assert await installation.audit_head() == head
    assert not place.home.data.exists()


async def test_of_a_cluster_every_server_is_asked(place: Place, servers: Servers) -> None:
    silent = f"http://{LOOPBACK}:{free_port()}"
    found = (await examined(place, servers.nats.monitor_url, silent))["NATS: on the disk"]
    assert found.verdict == "not checked"
    assert silent in found.found


async def test_sick_streams_consumers_and_keys_are_found(
    place: Place, installation: Installation, migrated: Migrated
) -> None:
    await migrate_all(migrated)
    shorter = [replace(s, max_age=86_400) if s.name == "POSTS" else s for s in STREAMS]
    await installation.provision(streams=shorter)
    async with installation.client("provision") as client:
        await client.jetstream().delete_consumer("MODERATION", "routing-flags")
    dead = next(c for c in CONSUMERS if c.name == "routing-posts").dead_subject
    async with installation.client("routing") as client:
        await client.request(dead, json.dumps({"body": NEEDLE}).encode())
    async with installation.client("ingest") as client:
        await client.request("klankbord.post.received.v1.acme.forum", NEEDLE.encode())
    assert place.elsewhere is not None
    credentials = place.elsewhere.installation.credentials
    credentials.write_authorization()
    credentials.seed_file("metrics").write_text(new_seed())
    credentials.seed_file("routing").chmod(0o640)
    credentials.folder.chmod(0o750)  # while nobody else may enter the folder, it is well

    found = await examined(place)
    assert told(found, "NATS: streams and consumers") == (
        "problem",
        "consumer routing-flags is missing, stream POSTS: max_age is 1d, and should be 30d",
    )
    assert told(found, "dead letters") == ("problem", "dead letters: 1 of routing-posts")
    verdict, words = told(found, "NATS: permissions")
    assert (verdict, "metrics may not connect" in words) == ("problem", True)
    assert found["NATS: users"].verdict == "problem"  # it names another key of metrics
    assert told(found, "keys and passwords")[1].endswith("routing.nk")
    assert found["NATS: on the disk"].verdict == "not checked"
    assert "moderation-posts 1, routing-posts 1" in found["consumers: lag"].found
    assert await stored(installation) == 2
    assert_tells_no_secret(found, installation)


async def test_a_user_who_may_not_say_or_read_what_it_must_is_found(tmp_path: Path) -> None:
    credentials = Credentials.create(tmp_path / "credentials")
    accounts = json.loads(credentials.authorization().removeprefix("accounts: "))
    for user in accounts[ACCOUNT]["users"]:
        allowed = user["permissions"]["publish"]["allow"]
        user["permissions"]["publish"]["allow"] = [
            subject
            for subject in allowed
            if not subject.startswith("klankbord.feedback.routed.")
            and subject != "$JS.API.CONSUMER.INFO.POSTS.metrics-posts"
        ]
    server = NatsServer(tmp_path / "nats", f"accounts: {json.dumps(accounts)}")
    await server.start()
    try:
        here = Installation(server.url, "", credentials)
        async with here.client("provision") as client:
            await apply(client)
        found = await bus.gather(here, STREAMS, 1, server.monitor_url)
    finally:
        await server.stop()
    assert {user: whats for user, whats in found.refused.items() if whats} == {
        "routing": ["publish klankbord.feedback.routed.v1.doctor.doctor"],
        "metrics": ["read metrics-posts"],
    }


async def test_a_sick_database_is_found(
    place: Place, installation: Installation, migrated: Migrated
) -> None:
    for service in ("ingest", "moderation", "routing"):  # and not metrics
        await migrated(service)
    for sickness in (
        "revoke execute on function audit.append from klankbord_moderation",
        "revoke select on ingest.published_source_health from klankbord_reader",
        "grant usage on schema ingest to klankbord_routing",
        "insert into ingest.outbox_pending values (1, now() - interval '2 hours', 7)",
        (
            "insert into ingest.outbox values (1, 1, now(), gen_random_uuid(), 'x', "
            f"convert_to('{NEEDLE}', 'UTF8'))"
        ),
        "alter table audit.entry disable trigger all",
        "update audit.entry set act = 'nothing.happened' where number = 2",
        "alter role klankbord_routing password 'another'",
    ):
        await as_admin(installation, sickness)
    try:
        found = await examined(place)
    finally:  # roles are the server's, and others' too
        await installation.provision()
    roles = found["PostgreSQL: roles and grants"]
    assert roles.verdict == "problem"
    assert "klankbord_moderation may not write to the audit log" in roles.found
    assert "klankbord_reader may not read ingest.published_source_health" in roles.found
    assert told(found, "schema")[0] == "problem"
    assert "metrics 0001_inbox_outbox" in found["schema"].found
    assert told(found, "outbox")[1].endswith("ingest: 7 events, the oldest for 2 h")
    assert told(found, "audit log") == ("problem", "entry 2 was changed after it was written")
    assert "routing: InvalidPasswordError" in found["PostgreSQL: log in"].found
    assert_tells_no_secret(found, installation)


async def test_who_reaches_too_far_is_found(
    place: Place, installation: Installation, migrated: Migrated
) -> None:
    await migrate_all(migrated)
    await as_admin(installation, "grant usage on schema ingest to klankbord_routing")
    await as_admin(installation, "grant select on ingest.post to klankbord_reader")
    found = await examined(place)
    assert told(found, "PostgreSQL: roles and grants") == (
        "problem",
        "klankbord_routing reaches into ingest, klankbord_reader reads ingest.post",
    )


async def test_servers_that_are_away_are_told_and_nothing_is_raised(
    installation: Installation, tmp_path: Path
) -> None:
    gone = Elsewhere(
        "nats://127.0.0.1:1",
        installation.credentials.folder,
        "postgresql://admin:hush-hush@127.0.0.1:1/klankbord",
    )
    found = await examined(Place(Home.at(tmp_path, tmp_path), gone))
    assert found["NATS"].verdict == found["PostgreSQL"].verdict == "problem"
    assert found["NATS: clock"].verdict == found["schema"].verdict == "not checked"
    assert "hush-hush" not in json.dumps(show.as_json(list(found.values())))


async def test_an_installation_that_does_not_run_is_not_started(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "data", tmp_path / "config")
    found = await examined(Place(home, None))
    assert told(found, "installation") == ("problem", f"there is none in {home.data}")
    assert not home.data.exists()
    home.prepare()
    (home.config / "streams.yaml").write_text("POSTS: {max_age: 1s}")
    found = await examined(Place(home, None))
    assert told(found, "installation")[1].startswith("nothing runs on this data folder")
    assert told(found, "configuration") == ("problem", "refused: streams.yaml (1 problems)")
    assert {f.verdict for f in found.values()} == {"ok", "problem", "not checked"}


async def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home.at(tmp_path / "data", tmp_path / "config")
    home.prepare()
    full = psutil.disk_usage("/")._replace(total=1000, free=1)
    monkeypatch.setattr(psutil, "disk_usage", lambda path: full)
    found = await examined(Place(home, None))
    assert told(found, "disk") == ("problem", f"1 B of 1000 B free at {home.data}")


def told(found: Mapping[str, Finding], check: str) -> tuple[str, str]:
    return found[check].verdict, found[check].found


def assert_tells_no_secret(found: Mapping[str, Finding], installation: Installation) -> None:
    report: Any = json.dumps(show.as_json(list(found.values())))
    assert NEEDLE not in report
    for file in installation.credentials.folder.glob("*"):
        if file.name != "auth.conf":
            for secret in file.read_text().split():
                assert secret not in report, file.name


async def test_no_password_of_an_address_is_shown(place: Place) -> None:
    assert place.elsewhere is not None
    nowhere, credentials = "u:S3CRET@127.0.0.1:1", place.elsewhere.installation.credentials.folder
    away = Elsewhere(f"nats://{nowhere}", credentials, f"postgresql://{nowhere}/x")
    asked = Asked({"ingest": f"http://{nowhere}"}, f"http://{nowhere}", 1)
    findings = await examine(replace(place, elsewhere=away), asked)
    assert any("127.0.0.1:1" in finding.found for finding in findings)
    assert not any("S3CRET" in finding.found + finding.fix for finding in findings)
