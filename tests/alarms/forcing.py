"""How each alert is forced, and mended as its page says. They are independent of each other."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from signal import SIGKILL, SIGSTOP

import psutil
from alarms.scene import FEED
from alarms.shortened import FACTORS, seconds
from alarms.trial import Trial

from klankbord_standalone.sample.post import COMMUNITY

BAD_EVENT = b'{"specversion": "1.0"}'
POSTS = f"klankbord.post.received.v1.{COMMUNITY}.forum"
FULL = 0.85
KEPT_FOR = 120
"""Seconds that POSTS keeps its events while they are to be missed."""
FROZEN = 12.0
"""Seconds for which metrics stands still: less than its watchdog lets it, and more than 5."""
SILENT_AFTER = seconds("2w") / FACTORS["klankbord-sources"]
"""Seconds from when on a source has a rhythm."""


async def dead_letters(trial: Trial) -> None:
    """An event that nobody can read."""
    async with trial.scene.everything.installation.client("ingest") as client:
        await client.jetstream().publish(POSTS, BAD_EVENT)
    tried = await trial.fires("DeadLetters", "An event without content was put on POSTS")
    letters = json.loads(await trial.type(tried, "klankbord dlq list --json"))
    numbers = [str(letter["number"]) for letter in letters]
    await trial.follow(tried, "klankbord dlq show NUMBER", NUMBER=numbers[0])
    discard = 'klankbord dlq discard NUMBER --reason "WHY"'
    for number in numbers:
        await trial.follow(tried, discard, NUMBER=number, WHY="a trial")
    await trial.clears(tried)


async def stream_nearly_full(trial: Trial) -> None:
    """A stream that may keep little more than it has."""
    state = await trial.scene.change("POSTS")
    await trial.scene.change("POSTS", max_bytes=int(state["bytes"] / FULL))
    tried = await trial.fires(
        "StreamNearlyFull", "POSTS was allowed little more than it held", stream="POSTS"
    )
    await trial.follow(tried, "klankbord provision")
    await trial.clears(tried)


async def outbox_waits(trial: Trial) -> None:
    """A stream that takes nothing."""
    state = await trial.scene.change("POSTS")
    await trial.scene.change("POSTS", max_bytes=state["bytes"])
    tried = await trial.fires(
        "OutboxWaits", "POSTS was made to take no more events", job="klankbord-ingest"
    )
    await trial.follow(tried, "klankbord provision")
    await trial.clears(tried)


async def service_gone(trial: Trial) -> None:
    """A service that does not run, until its consumer has missed events."""
    moderation = trial.scene.service("moderation")
    await moderation.stop()
    await trial.scene.change("POSTS", max_age=KEPT_FOR * 10**9)
    forced = "Moderation was stopped"
    down = await trial.fires("ServiceDown", forced, reason="gone", job="klankbord-moderation")
    behind = await trial.fires("LagGrows", forced, consumer="moderation-posts")
    forced += f", and POSTS made to keep events for {KEPT_FOR} s"
    unread = await trial.fires("UnreadTooLong", forced, consumer="moderation-posts")
    missed = await trial.fires("EventsMissed", forced, consumer="moderation-posts")
    await trial.follow(missed, "klankbord provision")
    await moderation.start()
    for tried in (down, behind, unread, missed):
        tried.mended = "Moderation was started"
        await trial.clears(tried)


async def service_not_ready(trial: Trial) -> None:
    """A consumer that somebody deleted."""
    await trial.scene.ask("CONSUMER.DELETE.MODERATION.routing-flags")
    tried = await trial.fires(
        "ServiceDown",
        "The consumer routing-flags was deleted",
        reason="not-ready",
        job="klankbord-routing",
    )
    await trial.follow(tried, "klankbord provision")
    await trial.clears(tried)


async def stream_missing(trial: Trial) -> None:
    """A stream that somebody deleted."""
    await trial.scene.ask("STREAM.DELETE.DEAD")
    tried = await trial.fires(
        "ServiceDown", "The stream DEAD was deleted", reason="stream", stream="DEAD"
    )
    await trial.follow(tried, "klankbord provision")
    await trial.clears(tried)


async def nats_away(trial: Trial) -> None:
    """A nats-server that was stopped."""
    nats = trial.scene.servers.nats
    await nats.stop()
    tried = await trial.fires("ServiceDown", "nats-server was stopped", reason="nats")
    await nats.start()
    tried.mended = "nats-server was started"
    await trial.clears(tried)


async def service_hangs(trial: Trial) -> None:
    """A process that is stopped, and its watchdog with it."""
    pid = trial.scene.service("routing").pid
    assert pid is not None
    os.kill(pid, SIGSTOP)
    tried = await trial.fires(
        "ServiceFrozen",
        "The process of routing was stopped (SIGSTOP)",
        reason="no-answer",
        job="klankbord-routing",
    )
    os.kill(pid, SIGKILL)
    tried.typed.append("kill -KILL PID")
    tried.mended = "`klankbord up` started another"
    await trial.clears(tried)


async def service_idles(trial: Trial) -> None:
    """A consumer that the server was told to deliver nothing to."""
    subject = "CONSUMER.PAUSE.POSTS.moderation-posts"
    await trial.scene.ask(subject, {"pause_until": "2099-01-01T00:00:00Z"})
    tried = await trial.fires(
        "ServiceFrozen",
        "NATS was told to pause the consumer moderation-posts",
        reason="no-batch",
        consumer="moderation-posts",
    )
    await trial.scene.ask(subject)
    tried.mended = "NATS was told to resume it"
    await trial.clears(tried)


async def counted_too_late(trial: Trial) -> None:
    """A metrics that stands still for a while. What looks back furthest clears last of all."""
    pid = trial.scene.service("metrics").pid
    metrics = psutil.Process(pid)
    metrics.suspend()
    await asyncio.sleep(FROZEN)
    metrics.resume()
    forced = f"The process of metrics stood still for {FROZEN:.0f} s"
    late = await trial.fires("CountedTooLate", forced)
    slowly = await trial.fires("CountedTooLateSlowly", forced)
    await trial.clears(late)
    await trial.clears(slowly)


async def feed_silent(trial: Trial) -> None:
    """A feed whose address does not exist, asked again at once instead of ever more rarely."""
    asking = asyncio.create_task(_ask_again(trial))
    try:
        tried = await trial.fires(
            "SourceSilent",
            "klankbord.yaml listed a feed at an address that does not exist",
            reason="feed",
            source=FEED,
        )
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    file = trial.scene.folder / "klankbord" / "klankbord.yaml"
    configuration = json.loads(file.read_text("utf-8"))
    configuration["sources"] = [s for s in configuration["sources"] if s["name"] != FEED]
    file.write_text(json.dumps(configuration), "utf-8")
    await trial.follow(tried, "klankbord config check klankbord/klankbord.yaml")
    await trial.follow(tried, "klankbord config apply klankbord/klankbord.yaml")
    await trial.clears(tried)


async def _ask_again(trial: Trial) -> None:
    while True:
        await trial.scene.execute("ingest", "update ingest.feed set next_poll = now()")
        await asyncio.sleep(1)


async def source_silent(trial: Trial) -> None:
    """Members who stop talking."""
    usual = "klankbord:source_usual_silence_seconds"
    begun = time.monotonic()
    while not await trial.scene.watcher.ask(f"{usual}{{source='forum'}}"):
        assert time.monotonic() - begun < SILENT_AFTER + 60, "the forum has no rhythm"
        await asyncio.sleep(1)
    trial.begin()
    trial.scene.talking.clear()
    tried = await trial.fires(
        "SourceSilent", "Nobody posted any more", reason="rhythm", source="forum"
    )
    trial.scene.talking.set()
    tried.mended = "Members posted again"
    await trial.clears(tried)


async def database_errors(trial: Trial) -> None:
    """A PostgreSQL that was stopped."""
    postgres = trial.scene.servers.postgres
    await postgres.stop()
    tried = await trial.fires("DatabaseErrors", "PostgreSQL was stopped", job="klankbord-metrics")
    await postgres.start()
    tried.mended = "PostgreSQL was started"
    await trial.clears(tried)


FORCING: tuple[Callable[[Trial], Awaitable[None]], ...] = (
    dead_letters,
    feed_silent,
    stream_nearly_full,
    outbox_waits,
    service_gone,
    service_not_ready,
    stream_missing,
    service_hangs,
    service_idles,
    source_silent,  # after the others: by now the forum has a rhythm
    nats_away,
    database_errors,
    counted_too_late,  # after all that makes posts late
)
