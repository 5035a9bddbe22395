"""Moderation on a real PostgreSQL and a real NATS."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from world import Migrated, settings

from klankbord_moderation.app import create
from klankbord_moderation.judge import Judge
from klankbord_moderation.settings import Settings
from klankbord_moderation.store import Store
from klankbord_moderation.usecases import Moderation
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.db import Database
from klankbord_runtime.work import Work
from klankbord_schemas import Post, PostFlagged, PostReceived, post_identity
from klankbord_standalone.servers import Installation

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = b"""
rules:
  - id: free-money
    label: scam
    severity: high
    mode: live
    explanation: Promises free money.
    terms: [free money]
  - id: shouting
    label: noise
    severity: low
    mode: shadow
    explanation: Holds three exclamation marks.
    patterns: ['!!!']
repeats:
  - id: again
    label: spam
    severity: medium
    mode: live
    explanation: Said three times.
    by: author
    count: 3
    window: 1h
    min_length: 10
  - id: chorus
    label: spam
    severity: medium
    mode: live
    explanation: Said by four.
    by: several-authors
    count: 4
    window: 1h
    min_length: 10
links:
  - id: same-site
    label: link-flood
    severity: medium
    mode: live
    explanation: Linked three times.
    same: domain
    count: 3
    window: 1h
"""


def said(
    name: str, content: str, version: int = 1, author: int = 1, minutes: int = 0, **more: Any
) -> PostReceived:
    moment = NOON + timedelta(minutes=minutes)
    post = {
        "community": "acme", "source": "forum", "platform": "forum", "native_id": name,
        "post": post_identity("acme", "forum", name), "operation": "create", "language": "en",
        "published": moment, "published_trust": "attested", "content": content,
        "attributed_to": f"p-{author:032x}",
    }  # fmt: skip
    return PostReceived.of(Post.model_validate({**post, **more}), version, moment)


def deleted(name: str, version: int) -> PostReceived:
    return said(name, "", version, operation="delete")


class Replicas:
    """Several replicas of the use case over one database."""

    def __init__(self, database: Database, policy: AcceptedFile[Judge]) -> None:
        self.database = database
        self.moderation = Moderation(Store(), policy)
        self._running = asyncio.Semaphore(6)
        self.flagged: list[PostFlagged] = []

    async def judge(self, *events: PostReceived) -> None:
        async with self._running, self.database.transaction() as connection:
            work = Work(connection, NOON)
            await self.moderation.judge(list(events), work)
            await asyncio.sleep(0.002)  # hold the locks a little, so that others meet them
        self.flagged += [event for event in work.emitted if isinstance(event, PostFlagged)]

    @property
    def broken(self) -> list[str]:
        """The rules of what was said, label by label."""
        return [label.rule for event in self.flagged for label in event.data.labels]

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.database.connection() as connection:
            return [tuple(row) for row in await connection.fetch(query)]


@pytest.fixture
async def replicas(migrated: Migrated) -> AsyncIterator[Replicas]:
    database = Database(await migrated("moderation"), "moderation")
    await database.connect()
    policy = AcceptedFile("policy", Judge.read)
    async with database.transaction() as connection:
        await policy.apply(connection, POLICY)
    async with database.connection() as connection:
        await policy.refresh(connection)
    yield Replicas(database, policy)
    await database.close()


FLAGS = (
    "select label, rule, severity, mode, counted_at, language, source "
    "from published_flag order by rule"
)


async def test_a_flag_says_which_version_which_rule_and_which_words(replicas: Replicas) -> None:
    event = said("1", "Get FR33 m0ney!!!", version=7)
    await replicas.judge(event, said("2", "Good morning"))
    (flag,) = replicas.flagged
    assert flag.id == PostFlagged.of(event, flag.data, NOON).id
    assert flag.causationid == event.id
    assert (flag.data.post, flag.data.post_sequence) == (event.data.post, 7)
    assert [(label.rule, label.evidence[0].text) for label in flag.data.labels] == [
        ("free-money", "FR33 m0ney"),
        ("shouting", "!!!"),
    ]
    assert await replicas.rows(FLAGS) == [
        ("scam", "free-money", "high", "live", event.counted_at, "en", "forum"),
        ("noise", "shouting", "low", "shadow", event.counted_at, "en", "forum"),
    ]


async def test_only_the_newest_version_counts_in_whatever_order_versions_come(
    replicas: Replicas,
) -> None:
    versions = [said("1", "free money", 1), said("1", "free money!!!", 2), said("1", "sorry", 3)]
    for event in versions:
        await replicas.judge(event)
    assert replicas.broken == ["free-money", "free-money", "shouting"]
    assert await replicas.rows(FLAGS) == []
    await replicas.judge(versions[1])
    await replicas.judge(*versions)
    assert len(replicas.flagged) == 2
    assert await replicas.rows(FLAGS) == []
    await replicas.judge(*(said("2", event.data.content, event.version) for event in versions))
    assert len(replicas.flagged) == 2


async def test_a_delete_forgets_what_was_said_also_when_it_comes_first(replicas: Replicas) -> None:
    text = "free money at https://shop.example"
    await replicas.judge(said("1", text, 1))
    await replicas.judge(deleted("1", 2))
    await replicas.judge(deleted("2", 2))
    await replicas.judge(said("2", text, 1))
    assert len(replicas.flagged) == 1
    assert await replicas.rows(FLAGS) == []
    assert await replicas.rows("select 1 from heard_link") == []
    assert await replicas.rows("select author, text_key, deleted from heard_post") == [
        (None, None, True),
        (None, None, True),
    ]


async def test_the_same_version_again_is_not_flagged_again(replicas: Replicas) -> None:
    event = said("1", "free money")
    await replicas.judge(event, event)
    await replicas.judge(event)
    assert replicas.broken == ["free-money"]


async def test_repeats_are_noticed_across_batches_and_within_one(replicas: Replicas) -> None:
    copies = [said(str(n), "Buy my lamps", minutes=n) for n in range(5)]
    await replicas.judge(copies[0])
    await replicas.judge(*copies[1:4])
    await replicas.judge(copies[4])
    assert [event.data.post for event in replicas.flagged] == [c.data.post for c in copies[2:]]


async def test_an_edited_or_deleted_copy_is_a_copy_no_more(replicas: Replicas) -> None:
    await replicas.judge(said("1", "Buy my lamps"), said("2", "Buy my lamps"))
    await replicas.judge(said("1", "Something else entirely", 2), deleted("2", 2))
    await replicas.judge(said("3", "Buy my lamps"))
    await replicas.judge(said("3", "Buy my lamps", 2), said("3", "Buy my lamps", 3))
    assert replicas.flagged == []


async def test_a_post_that_says_the_same_as_before_is_no_copy_of_itself(replicas: Replicas) -> None:
    await replicas.judge(said("1", "Buy my lamps"))
    await replicas.judge(said("1", "Buy my lamps", 2, minutes=2), said("2", "Buy my lamps"))
    assert replicas.flagged == []
    await replicas.judge(said("3", "Buy my lamps", minutes=61))  # an hour after the edited one
    assert replicas.flagged == []
    third = said("4", "Buy my lamps", minutes=3)
    await replicas.judge(third)
    assert [event.data.post for event in replicas.flagged] == [third.data.post]


async def test_links_to_one_site_are_counted_across_batches(replicas: Replicas) -> None:
    for n in range(4):
        await replicas.judge(said(str(n), f"No. {n}: https://shop.example/{n}", minutes=n))
    assert replicas.broken == ["same-site", "same-site"]
    await replicas.judge(said("0", "no link any more", 2), said("1", "nor here", 2))
    await replicas.judge(said("9", "https://shop.example/9", minutes=9, author=2))
    assert len(replicas.flagged) == 2


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_replicas_that_judge_copies_at_the_same_moment_miss_none(
    replicas: Replicas, seed: int
) -> None:
    """Of n copies all but the first two are noticed, whoever judges them, however batched."""
    draw = random.Random(seed)
    posts = [
        said(f"{text}-{n}", f"This is the text {text} https://{text}.example", author=text)
        for text in range(8)
        for n in range(7)
    ]
    posts += draw.sample(posts, 10)
    draw.shuffle(posts)
    await asyncio.gather(
        *(replicas.judge(*posts[start : start + 4]) for start in range(0, len(posts), 4))
    )
    assert sorted(replicas.broken) == ["again"] * 8 * 5 + ["same-site"] * 8 * 5
    assert len({event.id for event in replicas.flagged}) == 8 * 5


async def test_a_chorus_is_noticed_whoever_judges_it(replicas: Replicas) -> None:
    voices = [said(str(n), "Everyone buys these lamps", author=n) for n in range(10)]
    await asyncio.gather(*(replicas.judge(voice) for voice in voices))
    assert replicas.broken == ["chorus"] * 7


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_replicas_end_alike_in_any_order(replicas: Replicas, seed: int) -> None:
    draw = random.Random(seed)
    texts = ["free money", "good morning", "please!!!", "free money!!!"]
    events = [
        deleted(str(number), version)
        if draw.random() < 0.2
        else said(str(number), f"{number}: {draw.choice(texts)}", version)
        for number in range(30)
        for version in draw.sample(range(1, 6), draw.randint(1, 4))
    ]
    newest: dict[str, PostReceived] = {}
    for event in events:
        held = newest.get(event.data.native_id, event)
        newest[event.data.native_id] = max(held, event, key=lambda one: one.version)
    expected = sorted(
        (event.data.post, rule)
        for event in newest.values()
        for rule, sign in (("free-money", "free money"), ("shouting", "!!!"))
        if sign in event.data.content
    )
    events += draw.sample(events, 20)
    draw.shuffle(events)
    batches: list[Sequence[PostReceived]] = [
        events[start : start + 9] for start in range(0, len(events), 9)
    ]
    await asyncio.gather(*(replicas.judge(*batch) for batch in batches))
    found = await replicas.rows("select post, rule from published_flag order by post, rule")
    assert found == expected


async def test_a_post_goes_over_the_bus_and_its_flag_comes_back(
    installation: Installation, migrated: Migrated, tmp_path: Path
) -> None:
    await migrated("moderation")
    (tmp_path / "policy.yaml").write_bytes(POLICY)
    own = settings(installation, "moderation", Settings, config_dir=tmp_path)
    async with installation.client("provision") as client:
        stream = client.jetstream()
        flags = await stream.subscribe("klankbord.post.flagged.v1.acme.scam", ordered_consumer=True)
        service = create(own)
        async with service.running():
            for event in (said("1", "good morning"), said("2", "frее mоnеу here")):
                await stream.publish(event.bus_subject, event.to_json())
            flag = PostFlagged.from_json((await flags.next_msg(timeout=20)).data)
    assert flag.data.labels[0].evidence[0].text == "frее mоnеу"
    labels = {"label": "scam", "rule": "free-money", "severity": "high", "mode": "live"}
    counted = service.registry.get_sample_value("klankbord_moderation_labels_total", labels)
    assert counted == 1
    reader = await asyncpg.connect(installation.postgres_url("reader"))
    rows = await reader.fetch("select label, rule from moderation.published_flag")
    await reader.close()
    assert [tuple(row) for row in rows] == [("scam", "free-money")]
