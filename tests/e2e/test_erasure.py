"""A member is erased from a whole installation."""

import asyncio
import json
import sys
from dataclasses import dataclass

from stage import Stage, stage, submission
from trust.erasure import erasure

COMMAND = [sys.executable, "-m", "klankbord_standalone"]
AUTHOR = "p-" + "7" * 32


@dataclass
class Ran:
    code: int
    out: str
    err: str


async def klankbord(scene: Stage, *words: str) -> Ran:
    """The command as the operator types it."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *words,
        "--data",
        str(scene.home.data),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(b"n\n"), 120)
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


async def test_of_an_erased_member_no_byte_is_left_and_none_comes_back() -> None:
    async with stage() as scene:
        assert await erasure(scene) == 0


async def test_the_operator_is_asked_told_who_is_awaited_and_can_go_on() -> None:
    erase = ("erase-member", "--community", "acme", "--author", AUTHOR)
    async with stage() as scene:
        posts = [submission(n, "Hello there") | {"attributedTo": {"id": AUTHOR}} for n in range(3)]
        await scene.forum.send({"posts": posts})
        await scene.settled()

        asked = await klankbord(scene, *erase)
        assert asked.code == 1
        assert "3 events of POSTS" in asked.err
        assert "Aborted" in asked.err

        metrics = next(one for one in scene.everything.processes if one.name == "metrics")
        await metrics.stop()
        waited = await klankbord(scene, *erase, "--yes", "--wait", "4")
        assert waited.code == 1
        assert "metrics did not answer within 4 s" in waited.err
        assert (await scene.forum.send({"posts": posts}))["erased"] == 3, "refused all the same"

        await metrics.start()
        done = await klankbord(scene, *erase, "--yes", "--json")
        assert done.code == 0, done.err
        told = json.loads(done.out)
        assert told["services"]["metrics"]["posts"] + told["services"]["metrics"]["counted"] in {
            0,  # it had heard the first request by then
            6,
        }
        assert (told["streams"], told["left"]) == ({"POSTS": 3}, 0)

        whole = await klankbord(scene, "audit", "verify", "--head", told["head"])
        assert whole.code == 0, whole.out
        listed = json.loads((await klankbord(scene, "audit", "list", "--last", "2", "--json")).out)
        assert [entry["act"] for entry in listed] == ["member.erased"] * 2
        assert AUTHOR not in json.dumps(listed)
        unknown = await klankbord(scene, "audit", "verify", "--head", "f" * 64)
        assert unknown.code == 1
        assert "no entry has the hash" in unknown.out
