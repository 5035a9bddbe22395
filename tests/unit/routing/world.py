"""Routing without its servers: the use cases over a store in memory."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib.resources import files
from typing import Any, cast
from uuid import UUID

from unit.routing.history import NOON, Heard, OpenCases, facts

from klankbord_routing.case import Case, Flag, Known
from klankbord_routing.intent import shipped_cues
from klankbord_routing.rules import Rules, parse_rules
from klankbord_routing.store import Store
from klankbord_routing.usecases import Routing
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.work import Work
from klankbord_schemas import FeedbackRouted, FeedbackWithdrawn, PostFlagged, PostReceived

CUES = shipped_cues()
SHIPPED = files("klankbord_routing").joinpath("routing.yaml").read_bytes()


class InForce:
    digest = "0" * 64
    value = parse_rules(SHIPPED)


class StoreInMemory(Store):
    """What the tables would hold."""

    def __init__(self) -> None:
        self.known: dict[UUID, Known] = {}
        self.open: OpenCases = {}

    async def add(self, connection: Any, newest: Sequence[PostReceived]) -> set[UUID]:
        new = [event for event in newest if event.data.post not in self.known]
        await self.write_versions(connection, new)
        return {event.data.post for event in new}

    async def lock(self, connection: Any, posts: Sequence[UUID]) -> dict[UUID, Known]:
        assert len(posts) == len(set(posts))
        return {post: self.known.get(post, Known()) for post in posts}

    async def write_versions(self, connection: Any, newest: Sequence[PostReceived]) -> None:
        for event in newest:
            known = self.known.get(event.data.post, Known())
            flags = {v: flag for v, flag in known.flags.items() if v >= event.version}
            self.known[event.data.post] = known._replace(sequence=event.version, flags=flags)

    async def write_flags(self, connection: Any, flags: Mapping[tuple[UUID, int], Flag]) -> None:
        for (post, version), flag in flags.items():
            known = self.known.get(post, Known())
            self.known[post] = known._replace(flags={**known.flags, version: flag})

    async def write_routed(self, connection: Any, routed: Sequence[FeedbackRouted]) -> None:
        for event in routed:
            one = event.data
            case = Case(one.department, one.case_revision, one.post_sequence, is_open=True)
            self._write(one.post, case)
            self.open[one.post, one.department] = facts(event)

    async def write_withdrawn(
        self, connection: Any, withdrawn: Sequence[FeedbackWithdrawn]
    ) -> None:
        for event in withdrawn:
            post, department = event.data.post, event.data.department
            self._write(post, self.known[post].cases[department]._replace(is_open=False))
            del self.open[post, department]

    def _write(self, post: UUID, case: Case) -> None:
        known = self.known[post]
        self.known[post] = known._replace(cases={**known.cases, case.department: case})


class World:
    def __init__(self) -> None:
        self.store = StoreInMemory()
        self.routing = Routing(self.store, CUES, cast(AcceptedFile[Rules], InForce()))
        self.said: list[Any] = []

    async def hear(self, *events: Heard) -> list[Any]:
        """One batch: of a consumer of posts, then of one of flags."""
        work = Work(cast(Any, None), NOON + timedelta(hours=1))
        if posts := [event for event in events if isinstance(event, PostReceived)]:
            await self.routing.hear_posts(posts, work)
        if flags := [event for event in events if isinstance(event, PostFlagged)]:
            await self.routing.hear_flags(flags, work)
        self.said += work.emitted
        return list(work.emitted)
