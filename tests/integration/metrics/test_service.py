"""The whole service, between a real bus and a real database."""

from functools import partial
from pathlib import Path

import asyncpg
from nats.js import JetStreamContext
from prometheus_client import generate_latest
from unit.metrics.history import Heard, did, flagged, routed, said
from world import Migrated, eventually, settings

from klankbord_metrics.app import create
from klankbord_metrics.settings import Settings
from klankbord_schemas import CommunityMeasured
from klankbord_standalone.servers import Installation

FILE = "communities: [{slug: acme, name: Acme, time_zone: Europe/Amsterdam, languages: [en]}]"


async def test_what_is_heard_is_measured_said_published_and_shown(
    installation: Installation, migrated: Migrated, tmp_path: Path
) -> None:
    await migrated("metrics")
    (tmp_path / "klankbord.yaml").write_text(FILE)
    service = create(settings(installation, "metrics", Settings, config_dir=tmp_path))
    posts = [said(f"post {number}", number % 10) for number in range(100)]
    flag, case = flagged(posts[0], ["spam"]), routed(posts[1], "product")
    heard: list[Heard] = [flag, case, *posts, did("x"), *posts[:10]]

    def shown() -> bool:
        return b'klankbord_community_posts{community="acme"} 100.0' in generate_latest(
            service.registry
        )

    async with service.running(), installation.client("provision") as client:
        stream = client.jetstream()
        for event in heard:
            await stream.publish(event.bus_subject, event.to_json())
        await eventually(shown)
        exposed = generate_latest(service.registry).decode()
        said_last = await eventually(partial(_said_once_counted, stream, 100))

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


async def _said_once_counted(stream: JetStreamContext, posts: int) -> dict[str, float | None]:
    """The day's values for the whole community, as the bus says them; none before so many posts."""
    last = (await stream.stream_info("METRICS")).state.last_seq
    events = [
        CommunityMeasured.from_json((await stream.get_msg("METRICS", number)).data or b"")
        for number in range(1, last + 1)
    ]
    values = {
        event.data.metric: event.data.value
        for event in events
        if (event.data.source, event.data.window.grain) == (None, "day")
    }
    return values if values.get("posts") == posts else {}
