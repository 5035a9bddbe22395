"""A saved query in a whole installation: by the command, and read by a third party."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from stage import Stage, stage, submission

from klankbord_standalone.subscribers import invite, wanted
from klankbord_standalone.traces import Member, Search

QUERIES = """
queries:
  - name: outage
    any: [is down, outage*]
  - name: prices
    any: [price*]
"""


async def klankbord(scene: Stage, *words: str, code: int = 0) -> str:
    """What the command prints, as the operator types it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "klankbord_standalone", *words),
        env=os.environ | {"KLANKBORD_DATA": str(scene.home.data)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == code, err.decode()
    return out.decode()


async def test_a_query_is_checked_tried_applied_run_and_subscribed_to(tmp_path: Path) -> None:
    file = tmp_path / "queries.yaml"
    file.write_text(QUERIES)
    async with stage() as scene:
        said = ["The site is DOWN", "What a price", "All is well"]
        await scene.forum.send({"posts": [submission(n, text) for n, text in enumerate(said)]})
        assert "good queries file" in await klankbord(scene, "query", "check", str(file))
        tried = await klankbord(scene, "query", "test", "Outages again", "--file", str(file))
        assert tried == "outage: 'Outage'\n"
        await klankbord(scene, "query", "apply", str(file))
        listed = json.loads(await klankbord(scene, "query", "list", "--json"))
        assert [query["name"] for query in listed] == ["outage", "prices"]
        await scene.settled()

        ran: dict[str, Any] = json.loads(
            await klankbord(scene, "query", "run", "outage", "--since", "7d", "--json")
        )
        assert (ran["read"], ran["said"], ran["known"]) == (3, 1, 0)
        guest = wanted("press", ("klankbord.query.matched.v1.acme.outage",))
        installation = scene.everything.installation
        await invite(installation, guest, None)
        await scene.forum.send({"posts": [submission(3, "An outage!"), submission(4, "A price")]})
        await scene.settled()
        async with installation.client(guest.user) as client:
            reading = await client.jetstream().pull_subscribe_bind(guest.user, guest.stream)
            messages = await reading.fetch(2, timeout=5)
        events = [json.loads(message.data) for message in messages]
        assert [event["data"]["found"][0]["text"] for event in events] == ["is DOWN", "outage"]

        author = events[0]["data"]["attributedTo"]
        search = Search(Member("acme", author))
        kept = await scene.messages("QUERIES")
        for message in kept:
            search.hear("QUERIES", message.metadata.sequence.stream, message.data)
        assert len(kept) == 3
        assert search.finish().places == {"QUERIES": [1]}, "an erasure finds it"
