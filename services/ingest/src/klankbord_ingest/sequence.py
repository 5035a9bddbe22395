"""Which version of a post a submission is: a new one, or one that was heard before.

Versions are ordered by a number, their `sequence`: the platform's revision, else its edit time in
microseconds since 1970, else a counter that ingest keeps per post. Readers apply only a higher
number than they have, so what a post ends as does not depend on the order of arrival.

What states neither revision nor edit time is placed by what it says:

- What the newest version says already is that version again. A→B→A is three versions.
- In an import, which is history, what any version said is that version again: so a file may be
  imported again, whatever it holds.
- A *create* that says what the create said, while an edit or a delete stands, is that create
  again, delivered late or replayed.
- A *create* that comes after an edit or a delete, and was not heard before, goes below them. For
  its sake an edit that comes first leaves room beneath.
- A *delete* takes the moment it was heard, so that an edit from before it, with whatever number,
  stays below it even when it arrives later; so does every later *update* that states nothing.
  Another create, or a stated number above it, brings the post back.

An *update* that names another author than the post has is no version of it.

So a submission that states its revision or edit time may be delivered again at any time and adds
nothing. One that states neither adds nothing as long as its post was edited at most once; a source
that edits more often should state one of the two.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import NamedTuple, TypeAlias

from klankbord_ingest.submission import EPOCH, PostSubmission
from klankbord_runtime.whitespace import single_spaced
from klankbord_schemas.identity import fingerprint
from klankbord_schemas.post import Operation

SAID_BYTES = 8
FIRST = 1
"""The number of a create that states none."""
MICROSECOND = timedelta(microseconds=1)


class Version(NamedTuple):
    """What decides the place of one submission among the versions of its post."""

    operation: Operation
    digest: bytes
    """Of what it says: see `digest_of`."""
    stated: int | None
    """The platform's revision, else its edit time in microseconds; none if it states neither."""
    heard: int
    """When it was heard, in microseconds since 1970."""
    is_history: bool = False
    """Whether it comes from an import, which may tell old versions again."""
    author: str | None = None
    """The pseudonym of whoever it names as its author."""


class History(NamedTuple):
    """What ingest remembers of a post, for as long as the post lives."""

    numbers: frozenset[int] = frozenset()
    """The sequence of every version."""
    stated: frozenset[int] = frozenset()
    """The revisions and edit times that creates and updates stated."""
    stated_deletes: frozenset[int] = frozenset()
    """Those that deletes stated."""
    operation: Operation | None = None
    """What the version that stands is; none before the first."""
    newest_live: int = -1
    """The highest sequence among creates and updates; -1 if there is none."""
    digest: bytes = b""
    """Of what that one says."""
    created: bytes = b""
    """Of what the create says that was heard last; empty if none was heard."""
    said: frozenset[bytes] = frozenset()
    """Of what each create and update said, ever: the first 8 bytes."""
    is_erased: bool = False
    """Whether its author was erased: then nothing that is handed in is a version of it any more."""
    author: str | None = None
    """The pseudonym of its author, once one was named."""

    @property
    def newest(self) -> int:
        """The sequence of the version that stands; -1 before the first."""
        return max(self.numbers, default=-1)


class NewVersion(NamedTuple):
    """The submission is a version of its own."""

    sequence: int
    history: History
    """What is remembered of the post from now on."""


@dataclass(frozen=True)
class Duplicate:
    """The submission says nothing that was not heard before or could still matter."""


Verdict: TypeAlias = NewVersion | Duplicate


def version_of(
    submission: PostSubmission,
    now: datetime,
    *,
    is_history: bool = False,
    author: str | None = None,
) -> Version:
    """What decides the submission's place, heard at the moment `now`."""
    stated = submission.sequence
    if stated is None and submission.updated is not None:
        stated = microseconds(submission.updated)
    heard = microseconds(now)
    return Version(submission.operation, digest_of(submission), stated, heard, is_history, author)


def digest_of(submission: PostSubmission) -> bytes:
    """16 bytes that stand for the words of a post: its title and its text.

    White space does not count, nor anything else that one source gives and another leaves out:
    the same post from a webhook and from an export is one version.
    """
    title, text = submission.name or "", submission.text
    return fingerprint(single_spaced(title), single_spaced(text), size=16)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, exact where multiplying `timestamp()` would round."""
    return (moment - EPOCH) // MICROSECOND


def place(history: History, version: Version) -> Verdict:
    """The version's place in the history of its post."""
    if history.is_erased or _is_anothers(history, version):
        return Duplicate()
    if version.stated is None:
        number = _found(history, version)
    else:
        number = _stated(history, version.operation, version.stated)
    if number is None:
        return Duplicate()
    return NewVersion(number, _remembered(history, version, number))


def place_all(history: History, versions: Iterable[Version]) -> tuple[list[Verdict], History]:
    """The place of each of several versions of one post, and what is remembered after the last."""
    verdicts: list[Verdict] = []
    for version in versions:
        verdict = place(history, version)
        verdicts.append(verdict)
        if isinstance(verdict, NewVersion):
            history = verdict.history
    return verdicts, history


def _is_anothers(history: History, version: Version) -> bool:
    """Whether it changes what somebody else wrote. Some platforms pass such an edit on, and leave
    it to readers to disregard it (a Matrix server does). An export may name people otherwise.
    """
    named = version.operation == "update" and not version.is_history
    return named and history.author is not None and version.author not in (None, history.author)


def _stated(history: History, operation: Operation, stated: int) -> int | None:
    """The sequence of a version that states its number; none if it is known or overtaken.

    That is the number it states, unless it is taken: by a version that stated none, or by the
    version that it deletes, since many platforms do not count a delete as a revision. It then
    goes on top, if nothing later is known.
    """
    known = history.stated_deletes
    if operation != "delete":
        known |= history.stated
    if stated in known:
        return None
    if stated not in history.numbers:
        return stated
    overtaken = stated < max(history.stated | history.stated_deletes, default=-1)
    return None if overtaken else history.newest + 1


def _found(history: History, version: Version) -> int | None:
    """The sequence of a version that states no number; none if it was heard before."""
    is_deleted = history.operation == "delete"
    if version.operation == "delete":
        return None if is_deleted else max(history.newest + 1, version.heard)
    if version.digest == history.digest:
        return None
    if version.is_history and version.digest[:SAID_BYTES] in history.said:
        return None
    if version.operation == "create":
        return _found_create(history, version)
    if is_deleted:
        later = count(max(history.newest_live, FIRST) + 1)
        beneath = next(number for number in later if number not in history.numbers)
        return beneath if beneath < history.newest else None
    return max(history.newest, FIRST) + 1


def _found_create(history: History, version: Version) -> int | None:
    if not history.numbers:
        return FIRST
    if not history.created:
        beneath = min(FIRST, min(history.numbers) - 1)
        return beneath if beneath >= 0 else None
    if history.operation != "create" and version.digest == history.created:
        return None
    return history.newest + 1


def _remembered(history: History, version: Version, number: int) -> History:
    """The history with this version in it."""
    is_delete, is_create = version.operation == "delete", version.operation == "create"
    stated = frozenset() if version.stated is None else frozenset({version.stated})
    is_newest_live = not is_delete and number > history.newest_live
    return History(
        numbers=history.numbers | {number},
        stated=history.stated if is_delete else history.stated | stated,
        stated_deletes=history.stated_deletes | stated if is_delete else history.stated_deletes,
        operation=version.operation if number > history.newest else history.operation,
        newest_live=number if is_newest_live else history.newest_live,
        digest=version.digest if is_newest_live else history.digest,
        created=version.digest if is_create else history.created,
        said=history.said if is_delete else history.said | {version.digest[:SAID_BYTES]},
        author=history.author or version.author,
    )
