"""One trial: waits for alerts, follows their pages, and writes down what was seen."""

import asyncio
import os
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from alarms.pages import Page
from alarms.scene import Scene
from alarms.watcher import Alert, firing

PATIENCE = 480.0
"""Seconds until an alert that does not fire, or does not clear, has failed: the longest window of
the trial has 360."""
COMMAND_PATIENCE = 90.0
UNWELL = (0, 1, 2)
"""What a command ends with that looks: `klankbord status` says 1 where something is not well."""


class AlarmFailedError(Exception):
    """An alert did not do what it should, or a page tells something that does not work."""


@dataclass
class Tried:
    """What was seen of one alert."""

    day: str
    alert: str
    labels: dict[str, str]
    forced: str
    """What was done to it."""
    summary: str = ""
    fired_after: float | None = None
    """Seconds from when it was begun to force it."""
    cleared_after: float | None = None
    """Seconds from then on."""
    typed: list[str] = field(default_factory=list)
    """The commands of its page that were run, in their order."""
    mended: str = ""
    """What else was done."""

    @property
    def case(self) -> tuple[str, str]:
        """Which alert, and which reason of it."""
        return self.alert, self.labels.get("reason", "")

    def told(self) -> str:
        """In a line."""
        typed = ", ".join(f"`{command}`" for command in self.typed)
        mended = f" {self.mended}." if self.mended else ""
        return (
            f"- {self.day}: {self.forced}. It fired {self.fired_after:.0f} s later: "
            f"“{self.summary}”. Typed: {typed}.{mended} "
            f"It was over after {self.cleared_after:.0f} s."
        )


class Trial:
    """Forces alarms on a scene."""

    def __init__(self, scene: Scene, say: Callable[[str], None]) -> None:
        self.scene = scene
        self.tried: list[Tried] = []
        self._say = say
        self._begun = time.monotonic()

    def begin(self) -> None:
        """Something is forced from now on."""
        self._begun = time.monotonic()

    async def fires(self, alert: str, forced: str, **labels: str) -> Tried:
        """Wait until it fires, and type what its page tells to look at."""
        tried = Tried(datetime.now(UTC).date().isoformat(), alert, labels, forced)
        self.tried.append(tried)
        found = await self._wait(tried, lambda found: found is not None)
        tried.fired_after = time.monotonic() - self._begun
        assert found is not None
        for name, text in found.annotations.items():
            if "<" in text or "{{" in text:  # `<no value>`, `<error expanding template…`
                raise AlarmFailedError(f"{alert}: its {name} reads {text!r}")
        tried.summary = found.annotations["summary"]
        self._say(f"{alert} fired after {tried.fired_after:.0f} s: {tried.summary}")
        looks = Page.of(alert).commands("Look")
        # at once, as they only look: that is all the same to them, and quicker
        await asyncio.gather(*(self.type(tried, look, may_end_with=UNWELL) for look in looks))
        return tried

    async def follow(self, tried: Tried, command: str, **put_in: str) -> str:
        """Do what the page of an alert says; gives what it printed.

        Args:
            tried: the alert.
            command: as it stands on the page.
            put_in: what stands there in capitals, and what is put there.
        """
        if command not in Page.of(tried.alert).commands("Do"):
            raise AlarmFailedError(f"{Page.of(tried.alert).path.name} does not tell `{command}`")
        for name, value in put_in.items():
            command = command.replace(name, value)
        return await self.type(tried, command)

    async def type(self, tried: Tried, command: str, may_end_with: tuple[int, ...] = (0,)) -> str:
        """Type a command where an operator would."""
        tried.typed.append(command)
        scripts = sysconfig.get_path("scripts")
        environment = {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"}
        process = await asyncio.create_subprocess_shell(
            command,
            cwd=self.scene.folder,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(COMMAND_PATIENCE):
            printed, _ = await process.communicate()
        output = printed.decode(errors="replace")
        if process.returncode not in may_end_with:
            raise AlarmFailedError(
                f"{tried.alert}: `{command}` ended with {process.returncode}:\n{output[-2000:]}"
            )
        return output

    async def clears(self, tried: Tried) -> None:
        """Wait until it does not fire any more."""
        await self._wait(tried, lambda found: found is None)
        assert tried.fired_after is not None
        tried.cleared_after = time.monotonic() - self._begun - tried.fired_after
        self._say(f"{tried.alert} cleared after {tried.cleared_after:.0f} s")

    async def _wait(self, tried: Tried, until: Callable[[Alert | None], bool]) -> Alert | None:
        begun = time.monotonic()
        wanted = {"alertname": tried.alert, **tried.labels}
        while time.monotonic() - begun < PATIENCE:
            now = await firing(self.scene.watcher)
            found = next((alert for alert in now if alert.is_like(wanted)), None)
            if until(found):
                return found
            await asyncio.sleep(0.5)
        others = sorted({alert.labels["alertname"] for alert in now})
        raise AlarmFailedError(
            f"{wanted}: nothing changed within {PATIENCE:.0f} s; what fires: {others}"
        )
