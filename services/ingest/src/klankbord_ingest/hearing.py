"""What every way of listening does with a page before it is written."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from klankbord_ingest.kind import Page
from klankbord_ingest.source import Source
from klankbord_ingest.submission import DepartureSubmission, FieldError, Submission, misplaced
from klankbord_ingest.telemetry import Telemetry
from klankbord_ingest.usecases import Departures
from klankbord_runtime.work import Work


class Hearing:
    """Sees to what is no post and no interaction: refusals, what is passed over, departures."""

    def __init__(
        self,
        work: Callable[[], AbstractAsyncContextManager[Work]],
        departures: Departures,
        telemetry: Telemetry,
    ) -> None:
        self._work = work
        self._departures = departures
        self._telemetry = telemetry

    async def said(self, page: Page, source: Source) -> tuple[list[Submission], list[FieldError]]:
        """The posts and interactions of a page, and everything in it that is refused.

        Members whose accounts are gone are forgotten, in a transaction of their own: so an
        erasure waits for nothing that is still to be written.
        """
        said: list[Submission] = []
        gone: list[DepartureSubmission] = []
        refused = list(page.refused)
        for index, submission in enumerate(page.submissions):
            if problems := list(misplaced(submission, source, index)):
                refused += problems
            elif isinstance(submission, DepartureSubmission):
                gone.append(submission)
            else:
                said.append(submission)
        if gone:
            async with self._work() as work:
                await self._departures.depart(gone, source, work)
        self._telemetry.turned_away(source.name, refused, page.passed_over)
        return said, refused


def told(refused: Sequence[FieldError], taken: int) -> str | None:
    """What to say of items that were refused; None if there are none.

    Args:
        refused: what is wrong with them.
        taken: how many items of the same answer were taken in.
    """
    if not refused:
        return None
    first = refused[0]
    codes = Counter(error.code for error in refused)
    counted = ", ".join(f"{code} {count}" for code, count in codes.most_common())
    number = len({error.index for error in refused})
    place = "" if first.index is None else f"item {first.index}, "
    return (
        f"{number} of {number + taken} items refused ({counted}); "
        f"the first: {place}{first.field} {first.why}"
    )
