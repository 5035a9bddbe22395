"""Rules: for which department a post is, how urgent, until when. Read from `routing.yaml`.

Each intent that a post has goes, the strongest first, to the first rule that fits it. Once a
department has the post, a weaker intent only adds another one where its rule says `also: true`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Self, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from klankbord_routing.case import Assignment
from klankbord_routing.intent import PRECEDENCE, Intent, Phrase, Reading
from klankbord_routing.phrases import Phrases
from klankbord_routing.plain import Plain
from klankbord_runtime.yamlfile import Duration, Strict, duration, read_yaml
from klankbord_schemas.feedback import Priority, Reason
from klankbord_schemas.post import PostReceived, Severity
from klankbord_schemas.types import Language, Line, Share, Slug

THRESHOLD = 0.5
"""What an intent must score where the file sets nothing else."""
MOST_REASONS = 50

T = TypeVar("T")


def _duration_or_off(value: object) -> timedelta | None:
    return None if value in ("off", False) else duration(value)


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


DurationOrOff = Annotated[timedelta | None, BeforeValidator(_duration_or_off)]


class When(Strict):
    """What a rule asks of a post. What is left out is not asked; of a list, one must fit."""

    intents: list[Intent] = Field(default_factory=list)
    min_score: Share = 0
    languages: list[Language] = Field(default_factory=list)
    """`de` also fits `de-AT`; `und` fits what nobody could tell."""
    sources: list[Slug] = Field(default_factory=list)
    communities: list[Slug] = Field(default_factory=list)
    terms: list[Phrase] = Field(default_factory=list)
    """Words that the post must hold, written as cues are: `invoice*`."""


class Rule(Strict):
    """One rule: which posts, for whom, how urgent, and why."""

    name: Slug
    explain: Line
    when: When = When()
    to: Annotated[list[Slug], BeforeValidator(_one_or_more), Field(min_length=1)]
    also: bool = False
    """Whether it adds its department when another one has the post already."""
    priority: Priority
    answer_within: Duration


class RoutingFile(Strict):
    """The routing file as it is written."""

    departments: Annotated[dict[Slug, Line], Field(min_length=1)]
    withdraw_at: Severity = "high"
    ignore_older_than: DurationOrOff = None
    thresholds: dict[Intent, Share] = Field(default_factory=dict)
    rules: Annotated[list[Rule], Field(min_length=1)]

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        """Refuse what no single field can show, each problem at the line it stands on."""
        if problems := [*self._unknown_departments(), *self._names_twice(), *self._out_of_reach()]:
            raise ValidationError.from_exception_data("RoutingFile", problems)
        return self

    def _unknown_departments(self) -> Iterator[InitErrorDetails]:
        known = ", ".join(self.departments)
        for number, rule in enumerate(self.rules):
            for department in rule.to:
                if department not in self.departments:
                    wrong = f"'{department}' is no department of this file"
                    fix = f"add it under departments, or write one of {known}"
                    yield _problem(number, "to", f"{wrong}; {fix}")

    def _names_twice(self) -> Iterator[InitErrorDetails]:
        seen: set[str] = set()
        for number, rule in enumerate(self.rules):
            if rule.name in seen:
                yield _problem(
                    number, "name", f"'{rule.name}' names two rules; give one another name"
                )
            seen.add(rule.name)

    def _out_of_reach(self) -> Iterator[InitErrorDetails]:
        takes_all = None
        for number, rule in enumerate(self.rules):
            if takes_all is not None:
                wrong = f"no post gets here, because '{takes_all}' above takes all"
                yield _problem(
                    number, "name", f"{wrong}; move it up, or give '{takes_all}' a `when`"
                )
            elif rule.when == When():
                takes_all = rule.name


def _problem(rule: int, field: str, words: str) -> InitErrorDetails:
    error = PydanticCustomError("value_error", "{error}", {"error": words})
    return InitErrorDetails(type=error, loc=("rules", rule, field), input=None)


@dataclass(frozen=True)
class _Compiled:
    rule: Rule
    reason: Reason
    """What the rule says of each post that it chose a department for."""
    terms: Phrases | None

    @classmethod
    def of(cls, rule: Rule) -> Self:
        reason = Reason(rule=rule.name, text=rule.explain, weight=0)
        return cls(rule, reason, Phrases(rule.when.terms) if rule.when.terms else None)

    def fits(self, event: PostReceived, plain: Plain, reading: Reading) -> bool:
        """Whether it fits a post that has one of its intents."""
        post, when = event.data, self.rule.when
        return (
            reading.score >= when.min_score
            and _any_or_all(when.sources, post.source)
            and _any_or_all(when.communities, post.community)
            and (not when.languages or any(_speaks(post.language, one) for one in when.languages))
            and (self.terms is None or bool(self.terms.find(plain.words)))
        )


class Rules:
    """The routing file in force: assigns posts to departments."""

    def __init__(self, file: RoutingFile) -> None:
        self.withdraw_at: Severity = file.withdraw_at
        """The severity of a live flag from which on nobody is bothered with a post."""
        self._thresholds = file.thresholds
        self._ignore_older_than = file.ignore_older_than
        rules = [_Compiled.of(rule) for rule in file.rules]
        self._rules = {
            intent: [one for one in rules if _any_or_all(one.rule.when.intents, intent)]
            for intent in PRECEDENCE
        }

    def is_history(self, event: PostReceived) -> bool:
        """Whether this version was already too old to act on when it was heard (an import)."""
        if self._ignore_older_than is None:
            return False
        written = event.data.updated or event.data.published
        return event.recordedtime - written > self._ignore_older_than

    def assign(
        self, event: PostReceived, plain: Plain, readings: Sequence[Reading]
    ) -> tuple[Assignment, ...]:
        """For whom the post is, at most once per department, the strongest intent first.

        Args:
            readings: what the post is, the likeliest first (`intent.Cues.read`).
        """
        assigned: dict[str, Assignment] = {}
        for reading in readings:
            if reading.score < self._thresholds.get(reading.intent, THRESHOLD):
                continue
            chosen = self._first_that_fits(event, plain, reading)
            if chosen is None or (assigned and not chosen.rule.also):
                continue
            for department in chosen.rule.to:
                if department not in assigned:
                    assigned[department] = _assignment(event, department, chosen, reading)
        return tuple(assigned.values())

    def _first_that_fits(
        self, event: PostReceived, plain: Plain, reading: Reading
    ) -> _Compiled | None:
        for one in self._rules[reading.intent]:
            if one.fits(event, plain, reading):
                return one
        return None


def parse_rules(body: bytes) -> Rules:
    """Read a `routing.yaml`.

    Raises:
        klankbord_runtime.accepted.Refused: it is wrong; each problem with its line and fix.
    """
    return Rules(read_yaml(body, RoutingFile))


def _assignment(
    event: PostReceived, department: str, chosen: _Compiled, reading: Reading
) -> Assignment:
    signs = reading.signs[: MOST_REASONS - 1]
    return Assignment(
        department=department,
        intent=reading.intent,
        score=reading.score,
        reasons=(
            *[Reason(rule=sign.rule, text=sign.words, weight=sign.weight) for sign in signs],
            chosen.reason,
        ),
        priority=chosen.rule.priority,
        due_at=event.counted_at + chosen.rule.answer_within,
    )


def _any_or_all(asked: Sequence[T], given: T) -> bool:
    return not asked or given in asked


def _speaks(language: str, asked: str) -> bool:
    language, asked = language.lower(), asked.lower()
    return language == asked or language.startswith(f"{asked}-")
