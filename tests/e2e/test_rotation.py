"""Keys and passwords are rotated while posts come in, and nothing is lost or doubled."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from nats.errors import Error as NatsError
from stage import Stage, stage, submission
from typing_in import klankbord

from klankbord_standalone.explained import UsageError
from klankbord_standalone.rotation import WITH_SEED, named

BUG = "The app crashes on start: error 500 every time."
BATCH = 10
PASSWORDS = ("ingest", "moderation", "routing", "metrics", "reader")


@asynccontextmanager
async def posts_coming_in(scene: Stage) -> AsyncIterator[list[int]]:
    """Posts while this lasts; gives the numbers of those that were acknowledged."""
    acknowledged: list[int] = []
    stop = asyncio.Event()

    async def send() -> None:
        while not stop.is_set():
            first = len(acknowledged)
            batch = range(first, first + BATCH)
            await scene.forum.send({"posts": [submission(n, f"{BUG} ({n})") for n in batch]})
            acknowledged.extend(batch)
            await asyncio.sleep(0.05)

    sending = asyncio.create_task(send())
    try:
        yield acknowledged
    finally:
        stop.set()
        await sending


@pytest.mark.trial
async def test_all_of_them_are_rotated_under_load_and_nothing_is_lost_or_doubled() -> None:
    async with stage() as scene:
        installation = scene.everything.installation
        credentials = installation.credentials
        old_seeds = {name: installation.seed_file(name).read_text() for name in WITH_SEED}
        old_urls = {role: installation.postgres_url(role) for role in PASSWORDS}
        token, pseudonym_key = credentials.operator_token(), credentials.pseudonym_key_file
        key = pseudonym_key.read_bytes()
        pids = [process.pid for process in scene.everything.processes]
        async with posts_coming_in(scene) as acknowledged:
            code, out, err = await klankbord(scene.home, "rotate", "all")
            assert code == 0, err
            # new connections to the database need the new password
            await drop_connections(scene)
            reached = len(acknowledged)
            while len(acknowledged) < reached + 5 * BATCH:
                await asyncio.sleep(0.05)
        await scene.settled()

        assert pids == [process.pid for process in scene.everything.processes], "none began anew"
        for stream in ("POSTS", "ROUTING"):
            said = [event["id"] for event in await scene.events(stream)]
            assert len(said) == len(set(said)) == len(acknowledged)
        (counted,) = await scene.fetch("metrics", "select count(*) from post")
        assert counted[0] == len(acknowledged)

        for name, seed in old_seeds.items():
            with pytest.raises(NatsError, match="Authorization Violation"):
                async with installation.client(name, seed=seed.strip()):
                    pass
            async with installation.client(name):
                pass
        for role, url in old_urls.items():
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(url)
            await (await asyncpg.connect(installation.postgres_url(role))).close()
        assert credentials.operator_token_file.read_text().split() == [credentials.operator_token()]
        assert credentials.operator_token() != token
        assert pseudonym_key.read_bytes() == key
        acts = [entry.act for entry in await installation.audit_log()]
        assert [act for act in acts if act.startswith("credentials.")] == [
            "credentials.rotated",
            "credentials.retired",
        ]
        await third_parties_come_and_go(scene)
        secrets = [*old_seeds.values(), *(installation.seed_file(n).read_text() for n in old_seeds)]
        assert not any(secret.strip() in out + err for secret in secrets)


async def third_parties_come_and_go(scene: Stage) -> None:
    """The commands do it, and it is written down."""
    subject = "klankbord.feedback.routed.v1.*.product"
    add = ("subscriber", "add", "product", "--subjects", subject, "--connections", "3")
    for command in (add, ("subscriber", "rotate", "product")):
        code, _, err = await klankbord(scene.home, *command)
        assert code == 0, err
    code, out, err = await klankbord(scene.home, "subscriber", "list", "--json")
    assert code == 0, err
    (told,) = json.loads(out)
    assert told["subscriber"]["quotas"]["connections"] == 3
    assert told["waiting"] == len(await scene.events("ROUTING"))
    code, _, err = await klankbord(scene.home, "subscriber", "remove", "product")
    assert code == 0, err
    acts = [entry.act for entry in await scene.everything.installation.audit_log(last=3)]
    assert acts == ["subscriber.added", "subscriber.rotated", "subscriber.removed"]


async def drop_connections(scene: Stage) -> None:
    """As a failover of the database would."""
    connection = await asyncpg.connect(scene.everything.installation.admin_url)
    try:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name like 'klankbord-%' and pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()


async def test_what_is_never_rotated_says_why() -> None:
    for name, why in (
        ("pseudonym", "becomes a stranger"),
        ("postgres", "alter role"),
        ("nobody", "is none of ingest"),
    ):
        with pytest.raises(UsageError, match=why):
            named(name)
