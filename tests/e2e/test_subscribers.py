"""Third parties read what is routed to them: each event once, also after they were away."""

import asyncio
import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from signal import SIGINT, SIGTERM

import pytest
from stage import Stage, stage, submission
from world import eventually

from klankbord_standalone.child import Child
from klankbord_standalone.subscribers import invite, wanted

EXAMPLES = Path(__file__).parents[2] / "examples"
SUBJECT = "klankbord.feedback.routed.v1.*.product"
BUG = "The app crashes on start: error 500 every time."
NODE = shutil.which("node")


def printed(log: Path) -> list[str]:
    """The ids of the events that a program has printed."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return [json.loads(line)["id"] for line in lines if line.startswith("{")]


async def post_bugs(scene: Stage, numbers: range) -> None:
    await scene.forum.send({"posts": [submission(n, f"{BUG} ({n})") for n in numbers]})


async def follows(scene: Stage, command: Sequence[str], log: Path) -> None:
    """Start the program, stop it, let events come meanwhile, start it again: each event once."""

    async def start() -> Child:
        return await Child.start("subscriber", command, log=log, dies_by=SIGTERM)

    already = len({e["id"] for e in await scene.events("ROUTING")})
    child = await start()
    await post_bugs(scene, range(already, already + 40))
    await printed_count(log, already + 40)
    assert await child.end(SIGINT, patience=10) == 0
    await post_bugs(scene, range(already + 40, already + 90))
    await scene.settled()
    child = await start()
    await printed_count(log, already + 90)
    await asyncio.sleep(1)  # were one to come twice, it would come now
    assert await child.end(SIGINT, patience=10) == 0
    routed = {event["id"] for event in await scene.events("ROUTING")}
    assert Counter(printed(log)) == dict.fromkeys(routed, 1)


async def printed_count(log: Path, count: int) -> None:
    await eventually(lambda: len(set(printed(log))) >= count, seconds=60)


async def invited(scene: Stage, name: str) -> list[str]:
    """A credential of its own; gives what the examples take: name, seed file, address."""
    installation = scene.everything.installation
    invitation = await invite(installation, wanted(name, (SUBJECT,)), None)
    return [name, invitation.seed_file, invitation.nats_url]


async def test_every_subscriber_gets_every_event_once(tmp_path: Path) -> None:
    async with stage() as scene:
        klankbord = [sys.executable, "-m", "klankbord_standalone", "tail", SUBJECT, "--json"]
        place = ["--data", str(scene.home.data), "--durable", "test"]
        await follows(scene, [*klankbord, *place], tmp_path / "tail.log")

        example = [sys.executable, str(EXAMPLES / "subscriber.py")]
        await follows(scene, [*example, *await invited(scene, "python")], tmp_path / "py.log")


@pytest.mark.system
@pytest.mark.skipif(
    NODE is None or not (EXAMPLES / "node_modules").exists(),
    reason="needs Node.js, and `make setup` with npm",
)
async def test_the_node_example_gets_every_event_once(tmp_path: Path) -> None:
    async with stage() as scene:
        command = [str(NODE), str(EXAMPLES / "subscriber.mjs"), *await invited(scene, "node")]
        await follows(scene, command, tmp_path / "node.log")


async def test_a_subscriber_may_read_its_own_subject_and_say_nothing(tmp_path: Path) -> None:
    async with stage() as scene:
        name, *_ = await invited(scene, "curious")
        async with scene.everything.installation.client(f"subscriber-{name}") as client:
            stream = client.jetstream(timeout=1)
            for forbidden in (
                stream.publish("klankbord.feedback.routed.v1.acme.product", b"{}"),
                stream.stream_info("MEMBERS"),
                stream.pull_subscribe("klankbord.member.>", stream="MEMBERS"),
            ):
                with pytest.raises(TimeoutError):
                    await forbidden
