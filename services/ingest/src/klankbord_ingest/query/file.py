"""`queries.yaml`: the queries that somebody saved.

It is a file of its own, beside `policy.yaml` and `routing.yaml`, and no part of `klankbord.yaml`.
Whoever listens for words is seldom who connects sources; queries change every week, sources every
year; and a mistake in a query must not keep a new source from being heard. So it is checked,
applied and shown by itself, and unlike the others it may be missing: then nothing is listened for.
"""

import json
from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from klankbord_ingest.query.reading import read
from klankbord_runtime.yamlfile import Strict, read_yaml
from klankbord_schemas import Post
from klankbord_schemas.types import Slug

MAX_TERM = 200
MAX_TERMS = 50_000
MAX_QUERIES = 2_000

NOTHING = b"queries: []\n"
"""The file that is in force where none ever was applied."""


def _language(text: str) -> str:
    if not (2 <= len(text) <= 3 and text.isascii() and text.isalpha() and text.islower()):
        raise ValueError(
            f"{text!r} is no language; write its code of two or three small letters, such as nl, "
            "or und for posts whose language nobody can tell"
        )
    return text


def _term(text: str) -> str:
    literal = text.removesuffix("*")
    if not read(literal):
        raise ValueError(f"nothing is left of {text!r} to look for; write a word, or take it out")
    if "*" in literal and literal.strip("*"):
        raise ValueError(f"{text!r} has a * before its end; write the beginning of a word and a *")
    return text


Term = Annotated[str, StringConstraints(max_length=MAX_TERM), AfterValidator(_term)]
Language = Annotated[str, AfterValidator(_language)]


class Query(Strict):
    """What somebody listens for. Each part that is left out asks for nothing."""

    name: Slug
    """What it is called here, and in the subject of its matches."""
    any: tuple[Term, ...] = ()
    """Words and phrases of which one must be said. Neither case nor accents count; only whole
    words are found, unless a `*` ends them: `outage*`."""
    all: tuple[Term, ...] = ()
    """Words and phrases that must all be said."""
    none: tuple[Term, ...] = ()
    """Words and phrases of which none may be said."""
    communities: tuple[Slug, ...] = ()
    """The communities that are listened to; none named is all."""
    sources: tuple[Slug, ...] = ()
    """The sources that are listened to; none named is all."""
    languages: tuple[Language, ...] = ()
    """What it must be written in, `und` where nobody can tell; none named is anything."""
    authors: Literal["everyone", "people", "bots"] = "everyone"
    """Who must have written it: a bot, or anybody but."""

    @model_validator(mode="after")
    def _looks_for_something(self) -> Self:
        if not self.any and not self.all:
            raise ValueError("looks for nothing; write words under any, or under all")
        return self

    @cached_property
    def revision(self) -> str:
        """SHA-256 of what it asks for, in hexadecimal; the order of its words says nothing."""
        asked = {
            name: sorted(value) if isinstance(value, tuple) else value
            for name, value in self.model_dump().items()
        }
        written = json.dumps(asked, ensure_ascii=False, sort_keys=True)
        return sha256(written.encode()).hexdigest()

    def concerns(self, post: Post) -> bool:
        """Whether the post is where it listens, in its language, and by whom it asks for."""
        return (
            (not self.communities or post.community in self.communities)
            and (not self.sources or post.source in self.sources)
            and (not self.languages or post.language.partition("-")[0].lower() in self.languages)
            and (self.authors == "everyone" or post.is_automated == (self.authors == "bots"))
        )


class QueriesFile(Strict):
    """Every saved query."""

    queries: tuple[Query, ...] = Field(max_length=MAX_QUERIES)
    """What is listened for."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if problems := [*self._named_twice(), *self._too_much()]:
            raise ValidationError.from_exception_data("QueriesFile", problems)
        return self

    def _named_twice(self) -> Iterator[InitErrorDetails]:
        first: dict[str, int] = {}
        for at, query in enumerate(self.queries):
            if query.name in first:
                yield _problem(
                    ("queries", at, "name"),
                    f"{query.name!r} is the name of queries[{first[query.name]}] already; "
                    "choose another",
                )
            first.setdefault(query.name, at)

    def _too_much(self) -> Iterator[InitErrorDetails]:
        terms = sum(len(query.any) + len(query.all) + len(query.none) for query in self.queries)
        if terms > MAX_TERMS:
            yield _problem(("queries",), f"has {terms} words and phrases; keep to {MAX_TERMS}")


def _problem(place: tuple[str | int, ...], message: str) -> InitErrorDetails:
    """A complaint about one place, for a check that sees the whole file."""
    error = PydanticCustomError("value_error", "{error}", {"error": message})
    return InitErrorDetails(type=error, loc=place, input=None)


def parse_queries(body: bytes) -> tuple[Query, ...]:
    """Read a file of queries.

    Raises:
        klankbord_runtime.accepted.Refused: it is none. Each problem has its line and what to do.
    """
    return read_yaml(body, QueriesFile).queries
