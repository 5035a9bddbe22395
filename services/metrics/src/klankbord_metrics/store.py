"""Rows ↔ domain. What each statement does is said in `sql/queries.sql`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from klankbord_metrics.communities import CountedCommunity, Total
from klankbord_metrics.heard import HeardCase, HeardFlags, HeardInteraction, HeardPost
from klankbord_metrics.measures import Measured, Numbers, Series, Share
from klankbord_runtime.db import Connection, load_queries
from klankbord_runtime.erasure import PATIENCE
from klankbord_schemas import Measurement, Person, Window

queries = load_queries("klankbord_metrics")

Hours = set[tuple[str, datetime]]
"""Communities, and UTC hours in which something of theirs changed."""


class CommunityWindow(NamedTuple):
    """A window of a community."""

    community: str
    window: Window


class Counted(NamedTuple):
    """What the counting of posts changed, before and after."""

    hours: Hours
    authors: set[tuple[str, UUID]]
    """Communities, and people whose first post may be another one."""
    openings: set[UUID]
    """Threads that another post may open."""
    responses: set[UUID]
    """Threads whose first response may be another one: `openings`, and those only answered."""


class Store:
    """The tables of metrics. Every method is part of its caller's transaction."""

    # -- heard -----------------------------------------------------------------------------------

    async def write_posts(self, connection: Connection, posts: list[HeardPost]) -> None:
        """Keep the later of the known and heard version of each post; touch what changed."""
        await connection.execute(queries.write_posts, posts)

    async def write_interactions(
        self, connection: Connection, interactions: list[HeardInteraction]
    ) -> None:
        """Keep those that are new, and touch their hours."""
        await connection.execute(queries.write_interactions, *_columns(interactions))

    async def write_flags(self, connection: Connection, flags: list[HeardFlags]) -> None:
        """Keep the later of the known and heard flags of each post; touch what changed."""
        await connection.execute(queries.write_flags, *_columns(flags))

    async def write_cases(self, connection: Connection, cases: list[HeardCase]) -> None:
        """Keep what is known and heard of each case together, and touch the posts that changed."""
        await connection.execute(queries.write_cases, *_columns(cases))

    # -- communities -----------------------------------------------------------------------------

    async def communities(self, connection: Connection) -> dict[str, CountedCommunity]:
        """All communities, by slug."""
        return _by_slug(await connection.fetch(queries.fetch_communities))

    async def heard_communities(self, connection: Connection) -> set[str]:
        """The communities that something waits to be counted of."""
        return {row[0] for row in await connection.fetch(queries.fetch_heard_communities)}

    async def add_communities(self, connection: Connection, added: list[CountedCommunity]) -> None:
        """Add those that are not there."""
        await connection.execute(queries.add_communities, *_columns(added))

    async def lock_communities(
        self, connection: Connection, slugs: list[str]
    ) -> dict[str, CountedCommunity]:
        """These communities, held until the transaction ends."""
        return _by_slug(await connection.fetch(queries.lock_communities, slugs))

    async def write_community(self, connection: Connection, community: CountedCommunity) -> None:
        """Change what is known of a community; it may be measured at once."""
        await connection.execute(queries.write_community, *community)

    async def forget_measured(self, connection: Connection, community: str) -> None:
        """Let no measurement of the community stand, and start its totals again from nothing."""
        await connection.execute(queries.forget_totals, community)
        await connection.execute(queries.forget_measurements, community)

    async def hours(self, connection: Connection, community: str) -> set[datetime]:
        """Every UTC hour in which something of the community counts."""
        return {row[0] for row in await connection.fetch(queries.fetch_hours, community)}

    # -- counting --------------------------------------------------------------------------------

    async def plan_look_ups(self, connection: Connection) -> None:
        """Let this transaction's statements find their rows by index."""
        await connection.execute(queries.plan_look_ups)

    async def lock_touched(
        self, connection: Connection, now: datetime, most: int
    ) -> dict[str, str]:
        """Communities with something to count, held; each with its time zone."""
        return dict(await connection.fetch(queries.lock_touched, now, most))

    async def take_touched_posts(
        self, connection: Connection, communities: list[str], most: int
    ) -> list[UUID]:
        """Take posts that were touched, each as often as it was."""
        rows = await connection.fetch(queries.take_touched_posts, communities, most)
        return [row[0] for row in rows]

    async def take_touched_hours(self, connection: Connection, communities: list[str]) -> Hours:
        """Take the hours that were touched."""
        return {
            tuple(row) for row in await connection.fetch(queries.take_touched_hours, communities)
        }

    async def count_posts(self, connection: Connection, posts: list[UUID]) -> Counted:
        """Derive what counts of these posts from all that was heard of them."""
        rows = await connection.fetch(queries.count_posts, posts)
        return Counted(
            hours={(row["community"], row["hour"]) for row in rows},
            authors={(row["community"], row["author"]) for row in rows if row["author"]},
            openings={row["thread"] for row in rows if row["thread"] and row["may_open"]},
            responses={row["thread"] for row in rows if row["thread"]},
        )

    async def mark_first_posts(
        self, connection: Connection, authors: set[tuple[str, UUID]]
    ) -> Hours:
        """Mark these people's first posts; the hours in which that changed something."""
        rows = await connection.fetch(
            queries.mark_first_posts,
            [community for community, _ in authors],
            [author for _, author in authors],
        )
        return {tuple(row) for row in rows}

    async def mark_openings(self, connection: Connection, threads: set[UUID]) -> Hours:
        """Mark the posts that open these threads; the hours in which that changed something."""
        rows = await connection.fetch(queries.mark_openings, list(threads))
        return {tuple(row) for row in rows}

    async def mark_first_responses(self, connection: Connection, threads: set[UUID]) -> Hours:
        """Note when the openings of these threads were answered; the hours that changed."""
        rows = await connection.fetch(queries.mark_first_responses, list(threads))
        return {tuple(row) for row in rows}

    async def mark_stale(self, connection: Connection, days: Mapping[str, Iterable[date]]) -> None:
        """Let these days of these communities be measured anew."""
        stale = [(community, day) for community, dates in days.items() for day in dates]
        if stale:
            await connection.execute(queries.mark_stale, *_columns(stale))

    # -- measuring -------------------------------------------------------------------------------

    async def lock_stale(self, connection: Connection, now: datetime, most: int) -> dict[str, str]:
        """Communities with days to measure that are not resting, held; each with its time zone."""
        return dict(await connection.fetch(queries.lock_stale, now, most))

    async def take_stale_days(
        self, connection: Connection, communities: list[str], most: int
    ) -> dict[str, set[date]]:
        """Take the earliest days to measure, by community."""
        days: dict[str, set[date]] = {}
        for community, day in await connection.fetch(queries.take_stale_days, communities, most):
            days.setdefault(community, set()).add(day)
        return days

    async def count_windows(
        self, connection: Connection, windows: list[CommunityWindow]
    ) -> dict[CommunityWindow, dict[str | None, Numbers]]:
        """The numbers of each window by source; None is the whole community."""
        asked = (
            [community for community, _ in windows],
            [window.start for _, window in windows],
            [window.end for _, window in windows],
        )
        fields: list[dict[str | None, dict[str, Any]]] = [{} for _ in windows]
        for ordinal, source, *numbers in await connection.fetch(queries.count_windows, *asked):
            fields[ordinal - 1][source] = dict(zip(COUNTS, numbers, strict=True))
        for ordinal, kind, source, name, number in await connection.fetch(
            queries.count_names, *asked
        ):
            of_source = fields[ordinal - 1].setdefault(source, {})
            of_source.setdefault(kind, {})[name] = number
        return {
            window: {source: Numbers(**of_source) for source, of_source in by_source.items()}
            for window, by_source in zip(windows, fields, strict=True)
        }

    async def measured(
        self, connection: Connection, windows: list[CommunityWindow]
    ) -> dict[CommunityWindow, dict[Series, Measured]]:
        """What was measured last of these windows."""
        rows = await connection.fetch(
            queries.fetch_measured,
            [community for community, _ in windows],
            [window.grain for _, window in windows],
            [window.start for _, window in windows],
        )
        found: dict[CommunityWindow, dict[Series, Measured]] = {}
        for ordinal, source, metric, *measured in rows:
            of_window = found.setdefault(windows[ordinal - 1], {})
            of_window[Series(source or None, metric)] = Measured(*measured)
        return found

    async def write_measurements(
        self, connection: Connection, changed: Sequence[Measurement], now: datetime
    ) -> None:
        """Replace what was measured last."""
        if not changed:
            return
        definitions = {(change.metric, change.unit, change.formula) for change in changed}
        await connection.execute(queries.define, *_columns(sorted(definitions)))
        rows = [
            (
                change.community,
                change.window.grain,
                change.window.start,
                change.source or "",
                change.metric,
                change.window.end,
                change.window.time_zone,
                change.value,
                change.absolute,
                change.unit,
                change.formula,
                change.revision,
            )
            for change in changed
        ]
        await connection.execute(queries.write_measurements, *_columns(rows), now)

    async def add_to_totals(self, connection: Connection, shares: list[Share]) -> None:
        """Add these to the communities' totals."""
        if shares:
            await connection.execute(queries.add_to_totals, *_columns(shares))

    async def rest(self, connection: Connection, communities: list[str], until: datetime) -> None:
        """Measure those of these communities that have no more stale days only after `until`."""
        await connection.execute(queries.rest, communities, until)

    # -- forgotten -------------------------------------------------------------------------------

    async def erase(self, connection: Connection, person: Person) -> dict[str, int]:
        """Put somebody who never was in the place of a member; in how many rows of which kind."""
        row = await connection.fetchrow(queries.erase_member, *person, timeout=PATIENCE)
        assert row is not None
        return dict(row)

    # -- shown -----------------------------------------------------------------------------------

    async def totals(self, connection: Connection) -> list[Total]:
        """All communities' totals."""
        return [Total(*row) for row in await connection.fetch(queries.fetch_totals)]

    async def uncounted(self, connection: Connection) -> int:
        """How many touched posts wait to be counted."""
        number: int = await connection.fetchval(queries.count_uncounted)
        return number


COUNTS = (
    "posts_by_people",
    "posts_automated",
    "replies_by_people",
    "replies_automated",
    "contributors",
    "new_contributors",
    "flagged_posts",
    "answered",
    "response_seconds",
)
"""The columns of `count_windows` after the source, as `Numbers` calls them."""


def _columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Rows as the arrays that `unnest` takes."""
    return [list(column) for column in zip(*rows, strict=True)]


def _by_slug(rows: Iterable[Sequence[Any]]) -> dict[str, CountedCommunity]:
    return {row[0]: CountedCommunity(*row) for row in rows}
