"""The policy: which labels moderation gives, for what, how grave it is, and whether it acts.

A policy is a YAML file that people write (`policy.yaml` beside this module is one, explained).
It is checked here in full, so that a policy that was accepted can be applied to any text.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from klankbord_moderation.patterns import check_pattern, check_patterns
from klankbord_runtime.plain_text import fold
from klankbord_runtime.yamlfile import Duration, Strict, read_yaml
from klankbord_schemas.post import Severity

MAX_TERM = 200
MAX_TERMS = 50_000
MAX_PATTERNS = 200
MAX_RULES = 2_000
LONGEST_WINDOW = timedelta(days=30)


def _slug(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", text):
        raise ValueError(
            f"{text!r} is no name; write small letters, digits and hyphens, such as free-money"
        )
    return text


def _language(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2,3}", text):
        raise ValueError(
            f"{text!r} is no language; write its code of two or three small letters, such as nl, "
            "or und for posts whose language nobody can tell"
        )
    return text


def _explanation(text: str) -> str:
    if not text.strip():
        raise ValueError("says nothing; write in a sentence why a post gets this label")
    return text


def _term(text: str) -> str:
    literal = text.removesuffix("*")
    if not fold(literal).text:
        raise ValueError(f"nothing is left of {text!r} to look for; write a word, or take it out")
    if "*" in literal and literal.strip("*"):
        raise ValueError(
            f"{text!r} has a * before its end; write the beginning alone, or a pattern"
        )
    return text


def _window(window: timedelta) -> timedelta:
    if window > LONGEST_WINDOW:
        days = LONGEST_WINDOW.days
        raise ValueError(f"is longer than {days} days; write {days}d or less")
    return window


def _domain(text: str) -> str:
    domain = text.lower().removeprefix("www.")
    if not re.fullmatch(r"[^\s/:@]+\.[^\s/:@.]+", domain):
        raise ValueError(f"{text!r} is no domain; write one such as example.org, without https://")
    return domain


Name = Annotated[str, AfterValidator(_slug)]
Language = Annotated[str, AfterValidator(_language)]
Explanation = Annotated[str, StringConstraints(max_length=500), AfterValidator(_explanation)]
Term = Annotated[str, StringConstraints(max_length=MAX_TERM), AfterValidator(_term)]
Pattern = Annotated[str, AfterValidator(check_pattern)]
Window = Annotated[Duration, AfterValidator(_window)]
Domain = Annotated[str, AfterValidator(_domain)]


class Check(Strict):
    """Something that a post can be labelled for."""

    id: Name
    """The check's own name, which every label that it gives carries."""
    label: Name
    """The label that it gives: `spam`, `harassment`, …"""
    severity: Severity
    """How grave that is."""
    mode: Literal["live", "shadow"]
    """`live` acts; `shadow` only shows what it would do."""
    explanation: Explanation
    """Why a post gets the label, in words for a person."""
    communities: tuple[Name, ...] = ()
    """The communities that it is for; none named is all."""
    sources: tuple[Name, ...] = ()
    """The sources that it is for; none named is all."""
    languages: tuple[Language, ...] = ()
    """The languages that it is for, `und` where nobody can tell; none named is all."""

    def concerns(self, community: str, source: str, language: str) -> bool:
        """Whether it is for posts of that community, source and language (a BCP 47 tag)."""
        return (
            (not self.communities or community in self.communities)
            and (not self.sources or source in self.sources)
            and (not self.languages or language.partition("-")[0].lower() in self.languages)
        )


class Rule(Check):
    """Words that must not stand in a post."""

    terms: tuple[Term, ...] = ()
    """Words and phrases, in any case; only whole words, unless a `*` ends them: `idiot*`."""
    patterns: tuple[Pattern, ...] = ()
    """Regular expressions (https://github.com/google/re2/wiki/Syntax), in any case."""
    except_terms: tuple[Term, ...] = ()
    """Words and phrases inside which the rule finds nothing."""

    @model_validator(mode="after")
    def _finds_something(self) -> Self:
        if not self.terms and not self.patterns:
            raise ValueError("has neither terms nor patterns; add what the rule should find")
        return self


class RepeatCheck(Check):
    """The same text, again and again."""

    by: Literal["author", "several-authors"]
    """`author`: one author's posts are counted; `several-authors`: the authors who post it."""
    count: int = Field(ge=2, le=100)
    """From how many posts, or authors, on."""
    window: Window
    """How far apart they may be: `90s`, `10m`, `24h`, `7d`."""
    min_length: int = Field(default=20, ge=1)
    """Shorter texts may be repeated: thanks, welcome, +1. Counted in the plain reading."""


class LinkCheck(Check):
    """Too many links."""

    count: int = Field(ge=2, le=100)
    """From how many on."""
    same: Literal["post", "domain", "url"]
    """`post`: links in one post; `domain`, `url`: posts of one author with the same one."""
    window: Window | None = None
    """How far apart the posts may be. Needed for `domain` and `url`."""
    allowed_domains: tuple[Domain, ...] = ()
    """Domains, and what is under them, that are not counted."""

    @model_validator(mode="after")
    def _has_window(self) -> Self:
        if self.same == "post" and self.window is not None:
            raise ValueError("counts links in one post, where a window means nothing; take it out")
        if self.same != "post" and self.window is None:
            raise ValueError("counts posts, but has no window; add one, such as window: 1h")
        return self

    def counts(self, domain: str) -> bool:
        """Whether links to that domain are counted."""
        return not any(
            domain == allowed or domain.endswith(f".{allowed}") for allowed in self.allowed_domains
        )


class Policy(Strict):
    """Everything that moderation looks for."""

    rules: tuple[Rule, ...] = Field(default=(), max_length=MAX_RULES)
    """What must not stand in a post."""
    repeats: tuple[RepeatCheck, ...] = ()
    """How often the same may be said."""
    links: tuple[LinkCheck, ...] = ()
    """How many links may be posted."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        problems = [*self._named_twice(), *self._too_much()]
        if problems:
            raise ValidationError.from_exception_data("Policy", problems)
        return self

    def _named_twice(self) -> Iterator[InitErrorDetails]:
        first: dict[str, str] = {}
        for part, checks in self._parts():
            for at, check in enumerate(checks):
                if check.id in first:
                    yield _problem(
                        (part, at, "id"),
                        f"{check.id!r} is the id of {first[check.id]} already; choose another",
                    )
                first.setdefault(check.id, f"{part}[{at}]")

    def _too_much(self) -> Iterator[InitErrorDetails]:
        terms = sum(len(rule.terms) + len(rule.except_terms) for rule in self.rules)
        if terms > MAX_TERMS:
            yield _problem(("rules",), f"has {terms} terms; keep to {MAX_TERMS}")
        patterns = [pattern for rule in self.rules for pattern in rule.patterns]
        if len(patterns) > MAX_PATTERNS:
            yield _problem(
                ("rules",),
                f"has {len(patterns)} patterns; keep to {MAX_PATTERNS}, "
                "and write literal words as terms, which cost nothing",
            )
        elif too_large := check_patterns(patterns):
            yield _problem(("rules",), too_large)

    def _parts(self) -> Iterable[tuple[str, tuple[Check, ...]]]:
        return (("rules", self.rules), ("repeats", self.repeats), ("links", self.links))


def _problem(place: tuple[str | int, ...], message: str) -> InitErrorDetails:
    """A complaint about one place, for a check that sees the whole policy."""
    error = PydanticCustomError("value_error", "{error}", {"error": message})
    return InitErrorDetails(type=error, loc=place, input=None)


def parse_policy(body: bytes) -> Policy:
    """Read a policy file.

    Raises:
        Refused: it is no policy. Each problem has its line, its place and what to do.
    """
    return read_yaml(body, Policy)
