"""Rows ↔ domain. Decides nothing; whoever writes holds the posts' rows (`lock`)."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from klankbord_routing.case import Case, Flag, Known
from klankbord_runtime.db import Connection, load_queries
from klankbord_runtime.erasure import PATIENCE
from klankbord_schemas import Person
from klankbord_schemas.feedback import FeedbackRouted, FeedbackWithdrawn
from klankbord_schemas.post import PostReceived

queries = load_queries("klankbord_routing")


class Store:
    """Posts, the flags on them, and what of them is at which department."""

    async def add(self, connection: Connection, newest: Sequence[PostReceived]) -> set[UUID]:
        """Write these versions of posts that were never heard of; gives which posts those are.

        What is written is locked until the transaction ends. Most posts are new, and nothing has to
        be read of those.
        """
        rows = await connection.fetch(queries.add_versions, *_versions(newest))
        return {row["post"] for row in rows}

    async def lock(self, connection: Connection, posts: Sequence[UUID]) -> dict[UUID, Known]:
        """Lock these posts until the transaction ends, heard of before or not, and read them."""
        if not posts:
            return {}
        await connection.execute(queries.add_posts, posts)
        locked = await connection.fetch(queries.lock_posts, posts)
        flags: dict[UUID, dict[int, Flag]] = {post: {} for post in posts}
        for row in await connection.fetch(queries.fetch_flags, posts):
            flags[row["post"]][row["version"]] = Flag(row["severity"], row["explanation"])
        cases: dict[UUID, dict[str, Case]] = {post: {} for post in posts}
        for row in await connection.fetch(queries.fetch_cases, posts):
            department = row["department"]
            cases[row["post"]][department] = Case(
                department, row["revision"], row["version"], row["is_open"]
            )
        return {
            row["post"]: Known(row["version"], flags[row["post"]], cases[row["post"]])
            for row in locked
        }

    async def write_versions(self, connection: Connection, newest: Sequence[PostReceived]) -> None:
        """These are the newest versions now; flags on older ones mean nothing any more."""
        if not newest:
            return
        posts, versions, authors = _versions(newest)
        await connection.execute(queries.write_versions, posts, versions, authors)
        await connection.execute(queries.forget_past_flags, posts, versions)

    async def write_flags(
        self, connection: Connection, flags: Mapping[tuple[UUID, int], Flag]
    ) -> None:
        """The gravest flag by post and version."""
        if not flags:
            return
        await connection.execute(
            queries.write_flags,
            [post for post, _ in flags],
            [version for _, version in flags],
            [flag.severity for flag in flags.values()],
            [flag.explanation for flag in flags.values()],
        )

    async def write_routed(self, connection: Connection, routed: Sequence[FeedbackRouted]) -> None:
        """These are open now."""
        if not routed:
            return
        feedback = [event.data for event in routed]
        await connection.execute(
            queries.write_routed,
            [one.post for one in feedback],
            [one.department for one in feedback],
            [one.case_revision for one in feedback],
            [one.post_sequence for one in feedback],
            [one.community for one in feedback],
            [one.source for one in feedback],
            [one.intent for one in feedback],
            [one.score for one in feedback],
            [one.priority for one in feedback],
            [one.due_at for one in feedback],
            [one.rules for one in feedback],
            [one.published for one in feedback],
            [one.url for one in feedback],
            [one.language for one in feedback],
            [event.recordedtime for event in routed],
        )

    async def write_withdrawn(
        self, connection: Connection, withdrawn: Sequence[FeedbackWithdrawn]
    ) -> None:
        """These are withdrawn now."""
        if not withdrawn:
            return
        await connection.execute(
            queries.write_withdrawn,
            [event.data.post for event in withdrawn],
            [event.data.department for event in withdrawn],
            [event.recordedtime for event in withdrawn],
            [event.data.because for event in withdrawn],
        )

    async def posts_of(self, connection: Connection, person: Person) -> list[UUID]:
        """The posts of a member, in ascending order."""
        rows = await connection.fetch(queries.fetch_posts_of, *person, timeout=PATIENCE)
        return [row["post"] for row in rows]

    async def erase(self, connection: Connection, posts: Sequence[UUID]) -> dict[str, int]:
        """Forget who wrote these posts and where they stood; how many rows that was."""
        row = await connection.fetchrow(queries.erase_posts, posts, timeout=PATIENCE)
        assert row is not None
        return dict(row)


def _versions(events: Sequence[PostReceived]) -> tuple[list[UUID], list[int], list[str | None]]:
    return (
        [event.data.post for event in events],
        [event.version for event in events],
        [event.data.attributed_to for event in events],
    )
