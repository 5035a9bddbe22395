"""Cases: what of a post is open for which department, whatever order things are heard in.

The newest version of a post decides, and the gravest live flag on that very version. So two
replicas that hear posts, edits, deletes and flags in any order, more than once, end alike:

    open cases = nothing,               if the newest version was deleted or gravely flagged
                 its assignments        else

Every newer version that is still for a department is routed to it again, with the next revision
and the new words: what the department has before it is what stands there. Its due time counts
from the post, so an edit of a post does not put the answer off.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from klankbord_schemas.feedback import Priority, Reason, WithdrawnBecause
from klankbord_schemas.post import SEVERITIES, Severity

ERASED = "The member who wrote it was erased. Delete what you hold of it."


class Assignment(NamedTuple):
    """What one version of a post is for one department, by the rules."""

    department: str
    intent: str
    score: float
    reasons: tuple[Reason, ...]
    priority: Priority
    due_at: datetime


class Case(NamedTuple):
    """A post at a department: open, or withdrawn."""

    department: str
    revision: int
    """How often the post was routed to the department."""
    version: int
    """The version that was routed last."""
    is_open: bool


class Flag(NamedTuple):
    """The gravest thing that moderation, live, said of one version."""

    severity: Severity
    explanation: str

    def reaches(self, severity: Severity) -> bool:
        """Whether it is at least as grave."""
        return SEVERITIES.index(self.severity) >= SEVERITIES.index(severity)


class Version(NamedTuple):
    """One version of a post as routing sees it."""

    sequence: int
    is_deleted: bool
    assignments: tuple[Assignment, ...]


class Known(NamedTuple):
    """What is known of one post."""

    sequence: int | None = None
    """The newest version heard; None while only flags were heard."""
    flags: Mapping[int, Flag] = MappingProxyType({})
    """By version: that one and newer ones which are still to come."""
    cases: Mapping[str, Case] = MappingProxyType({})
    """By department, open and withdrawn."""


class Routed(NamedTuple):
    """The post is for a department, as it now stands."""

    case: Case
    assignment: Assignment


class Withdrawn(NamedTuple):
    """The post is no longer for a department."""

    case: Case
    because: WithdrawnBecause
    explanation: str


Change: TypeAlias = Routed | Withdrawn


def hear_version(
    known: Known, version: Version, withdraw_at: Severity
) -> tuple[Known, Sequence[Change]]:
    """A version was heard: what is known now, and what changes for the departments."""
    if known.sequence is not None and version.sequence <= known.sequence:
        return known, ()
    flags = {
        sequence: flag for sequence, flag in known.flags.items() if sequence >= version.sequence
    }
    flag = flags.get(version.sequence)
    wanted: tuple[Assignment, ...] = ()
    because: WithdrawnBecause
    if version.is_deleted:
        because, explanation = "deleted", "The post was deleted."
    elif flag is not None and flag.reaches(withdraw_at):
        because, explanation = "flagged", flag.explanation
    else:
        wanted = version.assignments
        because, explanation = "edited", "The post was edited: it is not for you as it now stands."
    kept = {assignment.department for assignment in wanted}
    changes: list[Change] = [
        *_withdrawals(known, kept, because, explanation),
        *(_routing(known, assignment, version.sequence) for assignment in wanted),
    ]
    return _settled(Known(version.sequence, flags, known.cases), changes), changes


def hear_flag(
    known: Known, sequence: int, flag: Flag, withdraw_at: Severity
) -> tuple[Known, Sequence[Withdrawn]]:
    """A live flag on a version was heard: what is known now, and what is withdrawn."""
    before = known.flags.get(sequence)
    is_past = known.sequence is not None and sequence < known.sequence
    if is_past or (before is not None and before.reaches(flag.severity)):
        return known, ()
    known = known._replace(flags={**known.flags, sequence: flag})
    if sequence != known.sequence or not flag.reaches(withdraw_at):
        return known, ()
    changes = list(_withdrawals(known, set(), "flagged", flag.explanation))
    return _settled(known, changes), changes


def forget(known: Known) -> tuple[Known, Sequence[Withdrawn]]:
    """Who wrote the post was erased: what is known now, and what is withdrawn."""
    changes = list(_withdrawals(known, set(), "deleted", ERASED))
    return _settled(known, changes), changes


def _withdrawals(
    known: Known, kept: set[str], because: WithdrawnBecause, explanation: str
) -> Iterator[Withdrawn]:
    for department, case in sorted(known.cases.items()):
        if case.is_open and department not in kept:
            yield Withdrawn(case._replace(is_open=False), because, explanation)


def _routing(known: Known, assignment: Assignment, sequence: int) -> Routed:
    before = known.cases.get(assignment.department)
    revision = before.revision + 1 if before else 1
    return Routed(Case(assignment.department, revision, sequence, is_open=True), assignment)


def _settled(known: Known, changes: Sequence[Change]) -> Known:
    if not changes:
        return known
    changed = {change.case.department: change.case for change in changes}
    return known._replace(cases={**known.cases, **changed})
