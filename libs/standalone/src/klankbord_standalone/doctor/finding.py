"""What a check found: a verdict, one line about it, and what to do."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import asyncpg

Verdict: TypeAlias = Literal["ok", "warning", "problem", "not checked"]

FactsT = TypeVar("FactsT")

MOST_NAMED = 4
"""How many of a kind a line names; of more it says how many."""


class Judgement(NamedTuple):
    """What is to be thought of some facts."""

    verdict: Verdict
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Unknown:
    """Facts that could not be had, and why."""

    why: str


def why(error: BaseException) -> str:
    """Why something could not be had, in one line.

    asyncpg's own complaints may quote an address with its password: of those only the kind is told.
    """
    kind = type(error).__name__
    if isinstance(error, asyncpg.InterfaceError) or not str(error):
        return kind
    return f"{kind}: {' '.join(str(error).split())}"


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    verdict: Verdict
    found: str
    """One line. No secret, and nothing that a member wrote."""
    fix: str
    """What to do; empty where nothing is to be done."""

    def as_json(self) -> dict[str, Any]:
        """For a script."""
        return asdict(self)


Checks: TypeAlias = Mapping[str, Callable[[FactsT], Judgement]]
"""Checks over facts of one kind, by name."""


def ok(found: str) -> Judgement:
    """All is well."""
    return Judgement("ok", found)


def warning(found: str, fix: str) -> Judgement:
    """It works, and something should be done before it does not."""
    return Judgement("warning", found, fix)


def problem(found: str, fix: str) -> Judgement:
    """Something does not work, or a promise is not kept."""
    return Judgement("problem", found, fix)


def unchecked(why: str) -> Judgement:
    """It cannot be seen from here."""
    return Judgement("not checked", why)


def judged(checks: Checks[FactsT], facts: FactsT | Unknown) -> list[Finding]:
    """What each check makes of the facts; where there are none, each says why."""
    return [
        Finding(name, *(unchecked(facts.why) if isinstance(facts, Unknown) else check(facts)))
        for name, check in checks.items()
    ]


def named(things: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    listed = list(things)
    more = len(listed) - MOST_NAMED
    return ", ".join(listed[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
