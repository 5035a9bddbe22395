"""Erases a member from a whole installation, and looks for the member in every byte that is left.

The bytes are those on the disk: JetStream's files after NATS has stopped, PostgreSQL's after a
checkpoint, the logs, the files of imports. PostgreSQL's write-ahead log is left out: it is recycled
by and by, and docs/guarantees.md says so.
"""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from figures import Row
from rich.console import Console
from stage import BEGIN, Stage, stage, submission
from trust.part import Say

from klankbord_ingest.keys import read_pseudonym_key
from klankbord_ingest.pseudonym import pseudonym
from klankbord_runtime.bus import Message, publish
from klankbord_runtime.deadletter import DeadLetter
from klankbord_schemas import Interaction, InteractionReceived, post_identity
from klankbord_standalone import apply, erase, importing
from klankbord_standalone.command import Place
from klankbord_standalone.dlq import dead_letters

NATIVE_ID = "U-quetzalcoatl-4711"
POSTS = 6
OTHERS = 40
SAPLINGS = 5_000
"""The numbers of posts by others that the saved query finds begin here."""

NEEDLES = {
    "the native id": NATIVE_ID,
    "the handle": "xochipilli_handle",
    "the handle before": "tlaloc_handle",
    "the name": "Xochipilli Macuilxochitl",
    "the name before": "Tlaloc Tlamacazqui",
    "the avatar": "avatars/ehecatl.png",
    "the address of a post": "posts/huitzilopochtli",
    "words of a post": "cempasuchil",
    "words of an edit": "ahuehuete",
    "words that were flagged": "click here now, says mictlantecuhtli",
    "words that were routed": "axolotl crashes",
    "words of a post that was not read": "nopal",
}
"""What nobody else of the installation says."""


@dataclass(frozen=True)
class Planted:
    """The member, and everything of theirs that was handed in."""

    pseudonym: str
    posts: list[dict[str, Any]]
    interactions: list[dict[str, Any]]

    @property
    def needles(self) -> dict[str, bytes]:
        """What to look for, as it may stand in a file."""
        return {
            **{what: text.encode() for what, text in NEEDLES.items()},
            "the pseudonym": self.pseudonym.encode(),
            "the pseudonym as 128 bits": bytes.fromhex(self.pseudonym.removeprefix("p-")),
        }


OWES = ("erasure_bytes_found",)


async def run(seed: int, say: Say) -> list[Row]:
    """One member, erased from an installation of four services."""
    async with stage() as scene:
        say("plants a member, erases them, brings them again")
        found = await erasure(scene)
    note = f"{len(NEEDLES) + 2} things that nobody else says, in every file but the WAL"
    return [Row("erasure_bytes_found", found, "places", "== 0", note=note)]


async def erasure(scene: Stage) -> int:
    """Plant a member, erase them, bring them again; gives how often they are found on the disk.

    Raises:
        AssertionError: what was planted could not be found before, totals changed, or what came
            again was taken in.
    """
    await listen(scene)
    planted = await plant(scene)
    await scene.settled()
    before = await found_on_disk(scene, planted)
    unseen = {what for what in planted.needles if not before[what]}
    assert not unseen, f"the search cannot see {unseen}: it would prove nothing"
    counted = await measured(scene)
    cases = await open_cases(scene)

    place = Place(scene.home, None)
    result = await erase.run(
        place,
        "acme",
        (None, "forum", NATIVE_ID),
        wait=120,
        asks=False,
        rewrite=True,
        err=Console(quiet=True),
    )
    await scene.settled()
    assert result.services.keys() == {"ingest", "moderation", "routing", "metrics"}
    assert result.streams["QUERIES"] == POSTS - 2, "what a query found of theirs goes too"
    assert result.discarded == 1
    assert await measured(scene) == counted
    assert cases - await open_cases(scene) == 1

    await bring_again(scene, place, planted)
    await scene.settled()
    assert await measured(scene) == counted
    after = await found_on_disk(scene, planted)
    if after:
        print(f"found after the erasure: {dict(after)}")
    return after.total()


async def listen(scene: Stage) -> None:
    """Let a saved query find what the member says; somebody else says it first."""
    file = scene.home.data / "queries.yaml"
    file.write_text("queries: [{name: gardens, any: [grows here]}]\n", encoding="utf-8")
    await apply.apply(scene.home, scene.everything.installation, apply.QUERIES, file)
    for number in range(SAPLINGS, SAPLINGS + 100):
        await scene.forum.send({"posts": [submission(number, f"Grass grows here ({number})")]})
        await asyncio.sleep(0.5)
        if await scene.events("QUERIES"):
            return
    raise AssertionError("the query did not come into force")


async def plant(scene: Stage) -> Planted:
    """Let a member do all that a member does, among others."""
    said = [
        f"cempasuchil grows here, number {number}. Lovely weather at the office this morning."
        for number in range(POSTS - 2)
    ]
    said += [
        "The axolotl crashes when I open the settings page: error 500 every time.",
        "Free money!!! Earn $5000 a week from home, click here now, says mictlantecuhtli",
    ]
    looks = [
        {"preferredUsername": NEEDLES["the handle before"], "name": NEEDLES["the name before"]},
        {
            "preferredUsername": NEEDLES["the handle"],
            "name": NEEDLES["the name"],
            "icon": "https://forum.example/avatars/ehecatl.png",
        },
    ]
    posts = [
        submission(1000 + number, words)
        | {
            "attributedTo": {"id": NATIVE_ID, **looks[number > 1]},
            "url": f"https://forum.example/posts/huitzilopochtli/{number}",
        }
        for number, words in enumerate(said)
    ]
    edit = posts[0] | {
        "operation": "update",
        "updated": BEGIN.replace(hour=20).isoformat(),
        "content": "ahuehuete, I meant",
    }
    delete_by_nobody = {
        key: posts[1][key] for key in ("nativeId", "published", "url") if key in posts[1]
    } | {"operation": "delete"}
    likes = [
        {
            "kind": "like",
            "nativeId": f"like-{number}",
            "object": str(number),
            "published": BEGIN.isoformat(),
            "attributedTo": {"id": NATIVE_ID, **looks[1]},
        }
        for number in range(3)
    ]
    others = [submission(number, f"An ordinary remark, {number}") for number in range(OTHERS)]
    await scene.forum.send({"posts": others})
    await scene.forum.send({"posts": posts[:2]})
    await scene.forum.send({"posts": posts[2:]})
    await scene.forum.send({"posts": [edit, delete_by_nobody]})
    await scene.forum.send({"interactions": likes})
    installation = scene.everything.installation
    key = read_pseudonym_key(installation.credentials.pseudonym_key_file)
    planted = Planted(pseudonym(key, "forum", NATIVE_ID), [*posts, edit, delete_by_nobody], likes)
    await plant_dead_letters(scene, planted)
    return planted


async def plant_dead_letters(scene: Stage, planted: Planted) -> None:
    """One that nobody can read, one that a handler failed on, and one that was discarded."""
    unread = json.dumps({"nopal": planted.pseudonym, "id": NATIVE_ID}).encode()
    async with scene.everything.installation.client("ingest") as client:
        subject = "klankbord.post.received.v1.acme.forum"
        await publish(client, [Message("planted", subject, unread)])
    liked = Interaction(
        community="acme",
        source="forum",
        platform="forum",
        kind="like",
        native_id="like-that-failed",
        attributed_to=planted.pseudonym,
        post=post_identity("acme", "forum", "1"),
        published=BEGIN,
        published_trust="attested",
    )
    letter = DeadLetter.model_construct(
        stream="POSTS",
        stream_sequence=1,
        consumer="metrics-posts",
        subject="klankbord.interaction.received.v1.acme.forum",
        reason="bug",
        detail=f"it fell over {NATIVE_ID}",
        deliveries=5,
        died=datetime.now(UTC),
        body=InteractionReceived.of(liked, BEGIN).to_json(),
    )
    async with scene.everything.installation.client("metrics") as client:
        dead = "klankbord.dead.metrics.metrics-posts"
        body = letter.model_dump_json().encode()
        await publish(client, [Message(f"letter {n}", dead, body) for n in range(2)])
    async with dead_letters(scene.everything.installation) as queue:
        kept = await anext(letter async for letter in queue.all() if letter.letter.reason == "bug")
        await queue.discard(kept, "planted", scene.home.discarded)


async def bring_again(scene: Stage, place: Place, planted: Planted) -> None:
    """Hand everything in once more, at both doors; nothing of it may be taken in."""
    receipt = await scene.forum.send({"posts": planted.posts})
    assert receipt["received"] == 0, receipt
    receipt = await scene.forum.send({"interactions": planted.interactions})
    assert receipt == {"received": 0, "duplicate": 0, "erased": len(planted.interactions)}
    history = scene.home.config / "history.ndjson"
    rows = [json.dumps(post) for post in planted.posts]
    history.write_text("\n".join(rows) + "\n", encoding="utf-8")
    job = importing.Job(str(history), "acme", "forum", "forum", "ndjson", dry_run=False)
    result = await importing.run(place, job, Console(quiet=True))
    assert result.received == 0
    assert result.reasons.keys() <= {"erased"}


async def measured(scene: Stage) -> Counter[tuple[Any, ...]]:
    """Every figure that does not speak of what is open now."""
    rows = await scene.fetch(
        "reader",
        "select metric, source, grain, window_start, value from metrics.published_measurement"
        " where metric <> 'open-cases'"
        " union all select 'total posts', null, null, null, posts from metrics.published_total"
        " union all select 'total flagged', null, null, null, flagged_posts"
        " from metrics.published_total",
    )
    return Counter(tuple(row) for row in rows)


async def open_cases(scene: Stage) -> int:
    (row,) = await scene.fetch(
        "reader", "select count(*) as cases from routing.published_case where state = 'open'"
    )
    return int(row["cases"])


async def found_on_disk(scene: Stage, planted: Planted) -> Counter[str]:
    """How often each thing stands in a file of the installation."""
    connection = await asyncpg.connect(scene.servers.postgres.url)
    try:
        await connection.execute("checkpoint")
    finally:
        await connection.close()
    await scene.servers.nats.stop()
    try:
        return await asyncio.to_thread(search, files_of(scene), planted.needles)
    finally:
        await scene.servers.nats.start()


def files_of(scene: Stage) -> list[Path]:
    """Every file that the installation has written, but the write-ahead log and its keys."""
    folders = [
        scene.home.data / "nats",
        scene.home.data / "logs",
        scene.home.data / "imports",
        scene.servers.postgres.folder,
    ]
    return [
        file
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file() and "pg_wal" not in file.parts
    ]


def search(files: list[Path], needles: dict[str, bytes]) -> Counter[str]:
    found: Counter[str] = Counter()
    for file in files:
        held = file.read_bytes()
        for what, needle in needles.items():
            if count := held.count(needle):
                found[what] += count
    return found
