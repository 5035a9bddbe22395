"""5,000 posts through all four services while they are killed and their servers restarted."""

import asyncio
import random
from collections import Counter

from stage import Stage, kill_at_random, stage, submission

POSTS = 5_000
BATCH = 50
SEED = 20261122
KILLS = 24
RESTARTS = 2

SAYINGS = {
    "bug": "The app crashes when I open the settings page: error 500 every time.",
    "lead": "We would like to buy 40 licences, who can send us a quote?",
    "flag": "Free money!!! Earn $5000 a week from home, click here now",
    "chat": "Lovely weather on the way to the office this morning.",
}


def saying(number: int) -> str:
    return list(SAYINGS)[number % len(SAYINGS)]


async def post_everything(scene: Stage) -> int:
    """Post them all, with 5 % sent again later; gives how many were sent again."""
    chance = random.Random(SEED)
    again: list[int] = []
    for begin in range(0, POSTS, BATCH):
        numbers = list(range(begin, begin + BATCH))
        repeated = chance.sample(range(begin + BATCH), k=BATCH // 20 + (begin // BATCH) % 2)
        again += repeated
        posts = [submission(n, f"{SAYINGS[saying(n)]} ({n})") for n in numbers + repeated]
        await scene.forum.send({"posts": posts})
        await asyncio.sleep(0.05)
    return len(again)


async def test_nothing_is_lost_and_nothing_counts_twice_under_kill_9() -> None:
    async with stage() as scene:
        _, faults = await asyncio.gather(
            post_everything(scene), kill_at_random(scene, SEED, KILLS, RESTARTS)
        )
        await scene.settled()
        assert sum(faults.kills.values()) >= 20
        assert (faults.nats_restarts, faults.postgres_restarts) == (RESTARTS, RESTARTS)

        # the bus may say a fact twice when it was killed while storing it; nobody counts it twice
        assert len({event["id"] for event in await scene.events("INGEST")}) == POSTS
        await every_service_counted_each_once(scene)
        assert (await scene.status()).dead_letters == 0


async def every_service_counted_each_once(scene: Stage) -> None:
    for service, consumer in (
        ("moderation", "moderation-posts"),
        ("routing", "routing-posts"),
        ("metrics", "metrics-ingest"),
    ):
        (row,) = await scene.fetch(
            service, "select count(*) as handled from inbox where consumer = $1", consumer
        )
        assert (consumer, row["handled"]) == (consumer, POSTS)

    per_kind = Counter(saying(number) for number in range(POSTS))
    flagged = {event["data"]["post"] for event in await scene.events("MODERATION")}
    assert len(flagged) == per_kind["flag"]

    cases = await scene.fetch(
        "reader",
        "select department, count(*) as cases from routing.published_case"
        " where state = 'open' group by department",
    )
    open_cases = {row["department"]: row["cases"] for row in cases}
    assert open_cases == {"product": per_kind["bug"], "sales": per_kind["lead"]}

    (total,) = await scene.fetch("reader", "select * from metrics.published_total")
    assert total["posts"] == POSTS
    assert total["contributors"] == 97
    assert total["flagged_posts"] == per_kind["flag"]
    assert total["open_cases"] == per_kind["bug"] + per_kind["lead"]
