"""The power goes: what was acknowledged before is there afterwards.

NATS and PostgreSQL keep their data on a file system of its own, in a file. While events are
published and posts are handed in, EXT4_IOC_SHUTDOWN drops whatever is not on that virtual disk yet,
as a power cut would; everything is killed, the journal is replayed, and the servers start again.
What a disk that lies about its flushes does is not tested by this.
"""

import asyncio
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Self
from unittest import mock
from uuid import UUID

import psutil
from figures import Row
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from stage import Staged, staged
from trust.auditor import Audit
from trust.beside import beside
from trust.crowd import Said
from trust.ledger import prepare
from trust.part import Say
from world import post

from klankbord_runtime.bus import Message, publish
from klankbord_standalone import nats_server
from klankbord_standalone.sender import NotHeardError

SIZE = "2G"
SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN, `_IOR('X', 125, __u32)` (Linux, fs/ext4/ext4.h)."""
NO_LOG_FLUSH = 2
"""EXT4_GOING_FLAGS_NOLOGFLUSH: not even the journal is written any more."""
RUNS_FOR = 8.0
"""Seconds of work before the cut: enough for thousands of events, and far from the two minutes
after which nats-server writes by itself."""
BATCHES = (1, 10, 100)
"""How many events each publisher says at once: as many sizes as the relay has."""
PUBLISHED_WITHIN = 20.0
OWES = ("powercut_lost", "powercut_acknowledged", "control_powercut_lost")


async def run(seed: int, say: Say) -> list[Row]:
    """Cut the power twice: with what is shipped, and with nats-server's own default."""
    problem = why_not()
    if problem:
        return [Row(name, None, "", skipped=problem) for name in OWES]
    shipped = await cut(say)
    say("once more, with nats-server's own sync_interval")
    with default_sync():
        unsafe = await cut(say)
    note = f"of {unsafe.acknowledged:,}, with nats-server's own sync_interval"
    lost = Row("control_powercut_lost", unsafe.audit.lost, "events", "> 0", note=note)
    return [*rows(shipped), lost]


def rows(outcome: "Outcome") -> list[Row]:
    """The figures of one cut."""
    found = outcome.audit
    return [
        Row("powercut_lost", found.lost, "events", "== 0", note="; ".join(found.findings)),
        Row("powercut_acknowledged", outcome.acknowledged, "events", ">= 1,000"),
    ]


@dataclass
class Outcome:
    """What was confirmed before the cut, and what of it is not there afterwards."""

    acknowledged: int
    audit: Audit


async def cut(say: Say) -> Outcome:
    """Work on a file system, cut the power, bring everything back, and compare."""
    with Disk() as disk:
        async with staged(
            ["-m", "trust.understudy"], replicas=1, prepare=prepare, folder=disk.folder
        ) as scene:
            crowd = [Said(number) for number in range(100_000)]
            accepted: list[Said] = []
            published: list[str] = []
            say(f"publishing and posting for {RUNS_FOR:.0f} s")
            async with beside(
                lambda: _post(scene, crowd, accepted),
                *(partial(_publish, scene, size, published) for size in BATCHES),
            ):
                await asyncio.sleep(RUNS_FOR)
                victims = _processes(scene)
                disk.cut()
                # at once: what is confirmed from here on is promised by nobody
                kept, confirmed = list(accepted), list(published)
                await _kill(scene, victims)
            say(f"cut after {len(confirmed)} events and {len(kept)} posts; the disk comes back")
            disk.replay()
            await scene.servers.nats.start()
            await scene.servers.postgres.start()
            for process in scene.replicas:
                await process.start()
            found = await _compare(scene, kept, confirmed)
    for finding in found.findings:
        say(finding)
    return Outcome(len(kept) + len(confirmed), found)


async def _post(scene: Staged, crowd: Sequence[Said], accepted: list[Said]) -> None:
    for begin in range(0, len(crowd), 20):
        posts = crowd[begin : begin + 20]
        try:
            await scene.forum.send({"posts": [said.submission() for said in posts]})
        except NotHeardError:
            return
        accepted += posts


async def _publish(scene: Staged, size: int, published: list[str]) -> None:
    """Publish as the relay does, and note what the server confirmed."""
    async with scene.everything.installation.client("ingest", reconnect=True) as client:
        for number in count():
            events = [post(f"{size}-{number}-{place}") for place in range(size)]
            messages = [Message(e.id, e.bus_subject, e.to_json()) for e in events]
            try:
                await publish(client, messages)
            except (NatsError, OSError):
                return
            published += [str(event.id) for event in events]


def _processes(scene: Staged) -> list[psutil.Process]:
    """Everything that runs on the disk."""
    pids = [scene.servers.nats.pid, scene.servers.postgres.pid]
    pids += [process.pid for process in scene.replicas if process.pid is not None]
    parents = [psutil.Process(pid) for pid in pids]
    return [*(child for p in parents for child in p.children(recursive=True)), *parents]


async def _kill(scene: Staged, victims: Sequence[psutil.Process]) -> None:
    for process in scene.replicas:
        await process.let_go()
    for victim in victims:
        with suppress(psutil.NoSuchProcess):  # PostgreSQL ends by itself without its disk
            victim.kill()
    while scene.servers.nats.running or scene.servers.postgres.running:
        await asyncio.sleep(0.02)
    for process in scene.replicas:
        await process.ended()


async def _compare(scene: Staged, kept: Sequence[Said], confirmed: Sequence[str]) -> Audit:
    """What was confirmed and is not there. More may be there: its answer was cut off."""
    with suppress(TimeoutError):  # what the outbox still holds then is not on the bus
        async with asyncio.timeout(PUBLISHED_WITHIN):
            while not await _outbox_is_empty(scene):
                await asyncio.sleep(0.2)
    try:
        on_the_bus = await scene.events("POSTS")
    except NotFoundError:  # the whole stream is lost
        on_the_bus = []
    ids = {event["id"] for event in on_the_bus}
    posts = {UUID(event["data"]["post"]) for event in on_the_bus}
    tables = {row["post"] for row in await scene.fetch("ingest", "select post from post")}
    accepted = {said.identity for said in kept}
    found = Audit()
    found.compare("events that NATS confirmed", set(confirmed), ids & set(confirmed))
    found.compare("posts that the door confirmed", accepted, tables & accepted)
    found.compare("these posts on the bus", accepted, posts & accepted)
    return found


async def _outbox_is_empty(scene: Staged) -> bool:
    (row,) = await scene.fetch("ingest", "select not exists (select from outbox_pending) as empty")
    return bool(row["empty"])


@contextmanager
def default_sync() -> Iterator[None]:
    """Start nats-server with its own default, which confirms what is only in memory."""
    shipped = nats_server.server_config

    def unsafe(port: int, monitor_port: int, store: Path) -> str:
        config = shipped(port, monitor_port, store)
        if "sync_interval: always" not in config:
            raise AssertionError("the shipped configuration does not say sync_interval: always")
        return config.replace("sync_interval: always", "")

    with mock.patch.object(nats_server, "server_config", unsafe):
        yield


class Disk:
    """An ext4 file system in a file, mounted in a folder of its own, that can lose its power."""

    def __init__(self) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="klankbord-powercut-"))
        self._place.chmod(0o755)  # PostgreSQL runs as another user
        self._image = self._place / "disk.img"
        self.folder = self._place / "disk"

    def __enter__(self) -> Self:
        self.folder.mkdir()
        try:
            _do("truncate", "--size", SIZE, str(self._image))
            _do("mkfs.ext4", "-q", "-F", str(self._image))
            self._mount()
        except BaseException:
            shutil.rmtree(self._place)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._unmount()
        shutil.rmtree(self._place)

    def cut(self) -> None:
        """Nothing reaches the disk any more, and what has not is lost."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def replay(self) -> None:
        """Mount it again, as after a power cut: the journal is replayed."""
        self._unmount()
        self._mount()

    def _mount(self) -> None:
        _do("mount", "-o", "loop", str(self._image), str(self.folder))

    def _unmount(self) -> None:
        _do("umount", str(self.folder))


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")


def why_not() -> str:
    """Why a file system cannot be had here; empty where it can."""
    if os.geteuid() != 0:
        return "needs root, to mount a file system"
    missing = [name for name in ("mkfs.ext4", "mount", "umount") if shutil.which(name) is None]
    if missing:
        return f"needs {', '.join(missing)} (Debian: e2fsprogs, mount)"
    try:
        with Disk():
            return ""
    except OSError as error:
        return f"no file system can be mounted here: {error}"
