"""The whole service, between a real bus and a real database."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
from nats.js import JetStreamContext
from prometheus_client import generate_latest
from unit.metrics.history import Heard, did, flagged, routed, said
from world import eventually, settings

from klankbord_metrics.app import create
from klankbord_metrics.settings import Settings
from klankbord_schemas import CommunityMeasured
from klankbord_standalone.servers import Installation

FILE = "communities: [{slug: acme, name: Acme, time_zone: Europe/Amsterdam}]"


async def test_what_is_heard_is_measured_said_published_and_shown(
    installation: Installation, migrated: Callable[[str], Awaitable[str]], tmp_path: Path
) -> None:
    await migrated("metrics")
    (tmp_path / "klankbord.yaml").write_text(FILE)
    own = settings(installation, "metrics")
    service = create(
        Settings(nats=own.nats, postgres=own.postgres, http=own.http, config_dir=tmp_path)
    )
    client = await installation.connect("provision")
    stream = client.jetstream()
    posts = [said(f"post {number}", number % 10) for number in range(100)]
    flag, case = flagged(posts[0], ["spam"]), routed(posts[1], "product")
    heard: list[Heard] = [flag, case, *posts, did("x"), *posts[:10]]

    def shown() -> bool:
        return b'klankbord_community_posts{community="acme"} 100.0' in generate_latest(
            service.registry
        )

    async with service.running():
        for event in heard:
            await stream.publish(event.bus_subject, event.to_json())
        await eventually(shown)
        exposed = generate_latest(service.registry).decode()
        async with asyncio.timeout(20):
            while (said_last := await _said_last(stream)).get("posts") != 100:
                await asyncio.sleep(0.05)
    await client.close()

    for line in (
        'klankbord_community_contributors{community="acme"} 10.0',
        'klankbord_community_flagged_posts{community="acme"} 1.0',
        'klankbord_community_open_cases{community="acme",department="product"} 1.0',
        'klankbord_community_unknown{community="acme"} 0.0',
        "klankbord_metrics_counted_latency_seconds_count 101.0",
    ):
        assert line in exposed
    assert said_last["activity"] == 10 * 10 + 3 * 100 + 1
    reader = await asyncpg.connect(installation.postgres_url("reader"))
    assert await reader.fetchval("select posts from metrics.published_total") == 100
    assert await reader.fetchval("select count(*) from metrics.published_measurement") > 0
    assert await reader.fetchval("select name from metrics.published_community") == "Acme"
    await reader.close()


async def _said_last(stream: JetStreamContext) -> dict[str, float | None]:
    """The day's values for the whole community, as the bus says them."""
    last = (await stream.stream_info("METRICS")).state.last_seq
    events = [
        CommunityMeasured.from_json((await stream.get_msg("METRICS", number)).data or b"")
        for number in range(1, last + 1)
    ]
    return {
        event.data.metric: event.data.value
        for event in events
        if (event.data.source, event.data.window.grain) == (None, "day")
    }
