"""An installation of yesterday's build becomes today's under load, both running together.

As `docs/deploy.md` does it: provision and migrate with the new build, then one replica after the
other. Then one service is rolled back, on today's schema, and forward again.
"""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import httpx
from figures import Row
from stage import TODAY, Build, Staged, Understudy
from trust.chaos import Plan, play
from trust.crowd import Size
from trust.faults import Faults
from trust.part import Say
from trust.yesterday import NoYesterdayError, installed, revision

from klankbord_runtime.provision import Change
from klankbord_standalone import standalone
from klankbord_standalone.home import CONFIGS
from klankbord_standalone.servers import Servers
from klankbord_standalone.services import SERVICES

REPLICAS = 2
TOGETHER = 1.0
"""Seconds for which a replica of each build works, at least."""


class Provisioned(Servers):
    """Servers that yesterday's build provisions, with the files that it would have written."""

    def __init__(self, folder: Path, *, build: Build) -> None:
        """Nothing is started yet; `folder` is the installation's data folder."""
        super().__init__(folder)
        self._folder = folder
        self._build = build

    async def provision(self) -> list[Change]:
        for name, package in CONFIGS.items():
            if name != "klankbord.yaml":  # that one is the test's
                for shipped in self._build.tests.parent.glob(f"*/*/src/{package}/{name}"):
                    shutil.copy(shipped, self._folder.parent / "config" / name)
        here = self.installation
        command = await asyncio.create_subprocess_exec(
            self._build.python.with_name("klankbord"),
            "provision",
            *("--nats-url", here.nats_url),
            *("--nats-creds-dir", str(here.credentials.folder)),
            cwd=self._folder,
            env=os.environ | {"KLANKBORD_POSTGRES_URL": here.admin_url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await command.communicate()
        if command.returncode != 0:
            raise RuntimeError(f"yesterday's provision: {told.decode()[-500:]}")
        return []


class Rollout(Faults):
    """What is done to an installation that is upgraded; some replicas are killed meanwhile."""

    def __init__(
        self, scene: Staged, plan: Mapping[str, int], seed: int, say: Say, *, yesterday: Build
    ) -> None:
        super().__init__(scene, plan, seed, say)
        self._yesterday = yesterday
        self._waiting = list(scene.replicas)
        self._back = self._chance.choice(SERVICES)

    def acts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return super().acts() | {
            "provisioned": self._provision,
            "migrated": self._migrate,
            "rolled": self._roll,
            "rolled_back": self._roll_back,
            "rolled_forward": self._roll_forward,
        }

    def schedule(self, plan: Mapping[str, int]) -> list[str]:
        """In the plan's order, with the kills between any two steps of it."""
        order = [name for name, n in plan.items() for _ in range(n) if name != "worker_kills"]
        for _ in range(plan.get("worker_kills", 0)):
            order.insert(self._chance.randrange(1, len(order)), "worker_kills")
        return order

    async def _provision(self) -> None:
        changes = await self._scene.everything.installation.provision()
        self._say(f"today provisions: {len(changes)} changes")

    async def _migrate(self) -> None:
        before = await self._migrations()
        for process in self._of_each_service():
            await process.migrate()
        self._say(f"today migrates: {await self._migrations() - before} migrations more")

    async def _migrations(self) -> int:
        counts = [
            await self._scene.fetch(name, "select count(*) as n from migration")
            for name in SERVICES
        ]
        return sum(rows[0]["n"] for rows in counts)

    async def _roll(self) -> None:
        await self._replace(self._waiting.pop(0), TODAY)

    async def _roll_back(self) -> None:
        self._say(f"{self._back} goes back to yesterday's build, on today's schema")
        for process in self._replicas_of(self._back):
            await self._replace(process, self._yesterday)

    async def _roll_forward(self) -> None:
        for process in self._replicas_of(self._back):
            await self._replace(process, TODAY)

    async def _replace(self, process: Understudy, build: Build) -> None:
        """End one replica; its supervisor starts it again, and it is of that build."""
        process.become(build)
        await self.stop(process)
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
            while process.pid is None:
                await asyncio.sleep(0.05)
            await process.ready(http)
        await asyncio.sleep(TOGETHER)

    def _replicas_of(self, service: str) -> list[Understudy]:
        return [process for process in self._scene.replicas if process.name == service]

    def _of_each_service(self) -> list[Understudy]:
        """A process of today's build for each, to run its migrations as a job would."""
        scene, here = self._scene, self._scene.everything.installation
        return [
            Understudy(
                name,
                standalone.environment(scene.home, here, name),
                scene.home.logs / f"{name}-migrate.log",
                ["-m", "trust.understudy"],
            )
            for name in SERVICES
        ]


# written down once more: a plan that becomes smaller must not make the goals smaller
GOALS = {"rolled": 8, "rolled_back": 1, "rolled_forward": 1, "worker_kills": 4}
OWES = ("upgrade_lost", "upgrade_doubled", "upgrade_dead_letters_unexplained")


async def run(seed: int, say: Say) -> list[Row]:
    """The rollout, in some 70 s, after yesterday's build is installed."""
    try:
        commit = revision()
    except NoYesterdayError as none:
        return [Row(name, None, "", skipped=str(none)) for name in OWES]
    yesterday = await installed(commit, say)
    plan = Plan(
        Size(posts=1_500, hasty=2),
        {
            "provisioned": 1,
            "migrated": 1,
            "rolled": REPLICAS * len(SERVICES),
            "rolled_back": 1,
            "rolled_forward": 1,
            "worker_kills": 4,
        },
        replicas=REPLICAS,
        lasts=60,
        servers=partial(Provisioned, build=yesterday),
        acting=partial(Rollout, yesterday=yesterday),
        build=yesterday,
    )
    outcome = await play(plan, seed, say)
    found = outcome.audit
    told = f"from {commit[:12]}; " + "; ".join(found.findings[:3])
    return [
        Row("upgrade_lost", found.lost, "effects", "== 0", note=told),
        Row("upgrade_doubled", found.doubled + found.strange, "effects", "== 0"),
        Row("upgrade_dead_letters_unexplained", found.dead_unexplained, "events", "== 0"),
        Row("upgrade_forced_kills", outcome.forced_kills, "stops", "== 0"),
        Row("upgrade_posts", outcome.posts, "posts", ">= 1,500"),
        *(
            Row(f"upgrade_{name}", outcome.faults.get(name, 0), "times", f">= {goal}")
            for name, goal in GOALS.items()
        ),
    ]
