"""One post's way through everything, and services that do not wait for each other."""

import pytest
from stage import Stage, stage, submission
from world import eventually

BUG = "The app crashes on start: error 500 every time."
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_moderation_may_be_away_and_nobody_waits_for_it() -> None:
    async with stage() as scene:
        moderation = next(p for p in scene.everything.processes if p.name == "moderation")
        await moderation.stop()
        for begin in range(0, 500, 100):
            posts = [
                submission(n, f"Free money, click here now ({n})")
                for n in range(begin, begin + 100)
            ]
            await scene.forum.send({"posts": posts})

        async def the_others_are_done() -> bool:
            return (
                await handled(scene, "routing", "routing-posts") == 500
                and await handled(scene, "metrics", "metrics-posts") == 500
            )

        await eventually(the_others_are_done, seconds=30)
        assert await handled(scene, "moderation", "moderation-posts") == 0
        await moderation.start()
        await scene.settled()
        assert await handled(scene, "moderation", "moderation-posts") == 500


async def handled(scene: Stage, service: str, consumer: str) -> int:
    (row,) = await scene.fetch(
        service, "select count(*) as handled from inbox where consumer = $1", consumer
    )
    count: int = row["handled"]
    return count


async def test_one_trace_shows_a_post_in_every_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLANKBORD_TELEMETRY__TRACE_RATIO", "0")
    async with stage() as scene:
        traceparent = f"00-{TRACE}-00f067aa0ba902b7-01"
        await scene.forum.send({"posts": [submission(1, BUG)]}, traceparent=traceparent)
        await scene.forum.send({"posts": [submission(2, BUG)]})
        await scene.settled()
        traced = {
            service: [line for line in lines if line.get("trace_id") == TRACE]
            for service, lines in scene.logs().items()
        }
        (routed,) = [e for e in await scene.events("ROUTING") if e["traceparent"] == traceparent]
    assert set(traced) == {"ingest", "moderation", "routing", "metrics"}
    assert all(traced.values()), traced
    assert routed["data"]["intent"] == "bug"
