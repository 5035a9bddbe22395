"""The order of things: write down what is heard, count it, measure what that changed.

Three steps, so that a batch from the bus is cheap and waits for no lock but those on its own posts:

1. *hear* (and note): a batch's rows are written, and which posts and hours they touch.
2. *count*: of each touched post, what counts is derived from all that was heard of it; then who
   was first and what was answered. Which days that changes is noted.
3. *measure*: those days and their weeks are counted anew; what differs is written and said.

Steps 2 and 3 hold the community's row, so that one replica at a time does them, and they read what
is committed: so the order of arrival does not matter.
"""

from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from itertools import groupby

from klankbord_metrics.calendar import days_of_hours, window_before, windows_of_days
from klankbord_metrics.communities import CountedCommunity, Total, unlisted
from klankbord_metrics.heard import heard_cases, heard_flags, heard_interactions, heard_posts
from klankbord_metrics.measures import Measured, Series, changes, shares
from klankbord_metrics.store import CommunityWindow, Store
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.erasure import Forgotten
from klankbord_runtime.work import Work
from klankbord_schemas import (
    CommunityMeasured,
    FeedbackRouted,
    FeedbackWithdrawn,
    InteractionReceived,
    Measurement,
    MemberErased,
    PostFlagged,
    PostReceived,
)

MOST_COMMUNITIES = 200
MOST_POSTS = 5_000
MOST_DAYS = 100
"""How many of each one transaction takes, so that none is long."""


class Metrics:
    """Everything that the service does."""

    def __init__(
        self,
        store: Store,
        file: AcceptedFile[Mapping[str, CountedCommunity]],
        settle: timedelta,
    ) -> None:
        self._store = store
        self._file = file
        self._settle = settle

    async def hear_posts(self, events: list[PostReceived], work: Work) -> None:
        """Write down posts. They are counted by the next `count`."""
        await self._store.write_posts(work.connection, heard_posts(events))

    async def hear_interactions(self, events: list[InteractionReceived], work: Work) -> None:
        """Write down interactions. They are counted by the next `count`."""
        if interactions := heard_interactions(events):  # what bots do is none
            await self._store.write_interactions(work.connection, interactions)

    async def note_flags(self, events: list[PostFlagged], work: Work) -> None:
        """Write down labels; also of a post that is not heard of yet."""
        await self._store.write_flags(work.connection, heard_flags(events))

    async def note_cases(
        self, events: list[FeedbackRouted | FeedbackWithdrawn], work: Work
    ) -> None:
        """Write down what was routed and withdrawn; also of a post that is not heard of yet."""
        await self._store.write_cases(work.connection, heard_cases(events))

    async def follow_communities(self, work: Work) -> None:
        """Keep the communities that the file in force lists, and whichever else is heard of.

        One whose time zone changed is measured anew from its first day.
        """
        connection = work.connection
        stored = await self._store.communities(connection)
        heard = await self._store.heard_communities(connection)
        differing = self._differing(stored, {*self._listed, *stored, *heard})
        if not differing:
            return
        await self._file.refresh(connection)  # so as not to undo what a replica just read
        await self._store.add_communities(connection, differing)
        slugs = [community.slug for community in differing]
        stored = await self._store.lock_communities(connection, slugs)
        for community in self._differing(stored, slugs):
            await self._store.write_community(connection, community)
            if community.time_zone != stored[community.slug].time_zone:
                await self._store.forget_measured(connection, community.slug)
                hours = await self._store.hours(connection, community.slug)
                days = days_of_hours(hours, community.time_zone)
                await self._store.mark_stale(connection, {community.slug: days})

    async def count(self, work: Work) -> bool:
        """Count the touched posts; True if there are more than one transaction takes."""
        connection = work.connection
        zones = await self._store.lock_touched(connection, work.now, MOST_COMMUNITIES)
        if not zones:
            return False
        await self._store.plan_look_ups(connection)
        posts = await self._store.take_touched_posts(connection, list(zones), MOST_POSTS)
        hours = await self._store.take_touched_hours(connection, list(zones))
        counted = await self._store.count_posts(connection, posts)
        hours |= counted.hours
        hours |= await self._store.mark_first_posts(connection, counted.authors)
        hours |= await self._store.mark_openings(connection, counted.openings)
        hours |= await self._store.mark_first_responses(connection, counted.responses)
        await self._store.mark_stale(connection, _days(hours, zones))
        return len(posts) == MOST_POSTS or len(zones) == MOST_COMMUNITIES

    async def measure(self, work: Work) -> bool:
        """Measure the windows that changed; True if there are more than one transaction takes."""
        connection = work.connection
        zones = await self._store.lock_stale(connection, work.now, MOST_COMMUNITIES)
        if not zones:
            return False
        await self._store.plan_look_ups(connection)
        days = await self._store.take_stale_days(connection, list(zones), MOST_DAYS)
        windows = [
            CommunityWindow(community, window)
            for community, dates in sorted(days.items())
            for window in windows_of_days(dates, zones[community])
        ]
        changed = await self._changes(windows, work)
        await self._store.write_measurements(
            connection, [change for change, _ in changed], work.now
        )
        await self._store.add_to_totals(
            connection, [share for change, last in changed for share in shares(change, last)]
        )
        await self._store.rest(connection, list(zones), work.now + self._settle)
        work.emit(*(CommunityMeasured.of(change, work.now) for change, _ in changed))
        taken = sum(map(len, days.values()))
        return taken == MOST_DAYS or len(zones) == MOST_COMMUNITIES

    async def forget(self, event: MemberErased, work: Work) -> Forgotten:
        """Forget whose posts these were; how many people posted stays as it was counted.

        Holds the community, so that no count that read the author before writes it down after.
        """
        await self._store.lock_communities(work.connection, [event.community])
        return Forgotten(await self._store.erase(work.connection, event.erased))

    async def totals(self, work: Work) -> list[Total]:
        """The all-time totals of every community."""
        return await self._store.totals(work.connection)

    async def uncounted(self, work: Work) -> int:
        """How many times a post was touched and not counted yet."""
        return await self._store.uncounted(work.connection)

    @property
    def _listed(self) -> Mapping[str, CountedCommunity]:
        return self._file.value if self._file.accepted else {}

    def _differing(
        self, stored: Mapping[str, CountedCommunity], slugs: Collection[str]
    ) -> list[CountedCommunity]:
        """Of these communities, what should be stored and is not."""
        listed = self._listed
        wanted = [listed.get(slug) or unlisted(slug, stored.get(slug)) for slug in sorted(slugs)]
        return [community for community in wanted if stored.get(community.slug) != community]

    async def _changes(
        self, windows: list[CommunityWindow], work: Work
    ) -> list[tuple[Measurement, Measured | None]]:
        """The measurements that differ, each with what was measured last."""
        before = [
            CommunityWindow(community, window_before(window)) for community, window in windows
        ]
        counted = await self._store.count_windows(work.connection, windows)
        measured = await self._store.measured(work.connection, windows + before)
        values: dict[CommunityWindow, dict[Series, float | None]] = {
            key: {series: last.value for series, last in found.items()}
            for key, found in measured.items()
        }
        changed: list[tuple[Measurement, Measured | None]] = []
        for key, earlier in zip(windows, before, strict=True):
            last = measured.get(key, {})
            for change in changes(*key, counted[key], last, values.get(earlier, {})):
                series = Series(change.source, change.metric)
                values.setdefault(key, {})[series] = change.value
                changed.append((change, last.get(series)))
        return changed


def _days(hours: set[tuple[str, datetime]], zones: Mapping[str, str]) -> dict[str, set[date]]:
    """The days of each community that its touched hours belong to."""
    return {
        community: days_of_hours((hour for _, hour in group), zones[community])
        for community, group in groupby(sorted(hours), key=lambda touched: touched[0])
    }
