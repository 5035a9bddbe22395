"""Which queries find a post, and by which words.

Of each query the words are looked for without which it finds nothing: those of all queries at once
(Aho-Corasick). Most posts have none of them. Where a post has, all other words are looked for too,
and only those queries are asked which it may concern: a post costs nearly the same with a thousand
queries as with ten.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self, TypeAlias

from ahocorasick_rs import AhoCorasick, Implementation

from klankbord_ingest.query.file import Query, parse_queries
from klankbord_ingest.query.reading import origins, read
from klankbord_runtime.plain_text import Span, is_within_word
from klankbord_schemas import Found, Match, Post

MAX_FOUND = 20
"""The most places that a match tells of."""
MAX_QUOTED = 200
"""The most characters of a place that are quoted."""

FAST_CHARACTERS = 100_000
"""How many characters of terms are looked for in the way that is twice as fast and takes ten times
the memory: 50 MiB for so many, where all that a file may hold would take 600."""

Field: TypeAlias = Literal["name", "content"]


class Term(NamedTuple):
    """A word or phrase that is looked for, as it is read."""

    text: str
    is_beginning: bool
    """Whether a word may go on after it: `outage*`."""

    @classmethod
    def of(cls, written: str) -> "Term":
        """The term as a query has it."""
        return cls(read(written.removesuffix("*")), written.endswith("*"))


class Spot(NamedTuple):
    """Where a term stands in what was read."""

    field: Field
    start: int
    end: int


@dataclass(frozen=True)
class Asked:
    """A query, its words as they are read."""

    query: Query
    any: frozenset[Term]
    all: frozenset[Term]
    none: frozenset[Term]
    written: Mapping[Term, str]
    """The words that it finds posts by, as it has them."""

    @classmethod
    def by(cls, query: Query) -> Self:
        """What the query asks."""
        return cls(
            query,
            frozenset(map(Term.of, query.any)),
            frozenset(map(Term.of, query.all)),
            frozenset(map(Term.of, query.none)),
            {Term.of(written): written for written in (*query.any, *query.all)},
        )

    @property
    def telling(self) -> frozenset[Term]:
        """Terms of which one must be found: one of those that must all be said, if there are any.

        That is the longest, as a name that stands in every query is hardly the longest of each.
        """
        return frozenset({max(self.all, key=lambda term: len(term.text))} if self.all else self.any)

    def holds(self, found: AbstractSet[Term]) -> bool:
        """Whether a text in which exactly these terms were found is what it asks for."""
        return (
            self.all <= found
            and (not self.any or not self.any.isdisjoint(found))
            and self.none.isdisjoint(found)
        )


class TermSet:
    """Terms that are looked for all at once, in time that hardly depends on their number."""

    def __init__(self, terms: Iterable[Term]) -> None:
        by_text: dict[str, list[Term]] = {}
        for term in dict.fromkeys(terms):
            by_text.setdefault(term.text, []).append(term)
        self._by_index = list(by_text.values())
        is_small = sum(map(len, by_text)) <= FAST_CHARACTERS
        fastest = Implementation.DFA if is_small else Implementation.ContiguousNFA
        self._automaton = AhoCorasick(list(by_text), implementation=fastest)

    def found(self, text: str) -> Iterator[tuple[Term, Span]]:
        """Which terms stand in a text that was read, and where."""
        for index, start, end in self._automaton.find_matches_as_indexes(text, overlapping=True):
            if is_within_word(text, start):
                continue
            ends_word = not is_within_word(text, end)
            for term in self._by_index[index]:
                if ends_word or term.is_beginning:
                    yield term, (start, end)


class QuerySet:
    """Queries that are looked for all at once."""

    def __init__(self, queries: Iterable[Query] = ()) -> None:
        self.queries: tuple[Query, ...] = tuple(queries)
        """What is listened for, in the order of the file."""
        self._asked = [Asked.by(query) for query in self.queries]
        self._told_by: dict[Term, list[int]] = {}
        for index, asked in enumerate(self._asked):
            for term in asked.telling:
                self._told_by.setdefault(term, []).append(index)
        self._telling = TermSet(self._told_by)
        self._terms = TermSet(
            term for asked in self._asked for term in (*asked.written, *asked.none)
        )

    @classmethod
    def read(cls, body: bytes) -> Self:
        """The queries of a file.

        Raises:
            klankbord_runtime.accepted.Refused: it cannot be read; says which line and what to do.
        """
        return cls(parse_queries(body))

    def only(self, name: str) -> Self:
        """The query of that name alone.

        Raises:
            KeyError: there is none.
        """
        found = [query for query in self.queries if query.name == name]
        if not found:
            raise KeyError(name)
        return type(self)(found)

    def matches(self, post: Post, sequence: int) -> Iterator[Match]:
        """What finds that version of the post, in the order of the queries. None finds a delete."""
        if not self.queries or post.operation == "delete":
            return
        texts: dict[Field, str] = {"content": post.content}
        if post.name:
            texts["name"] = post.name
        readings = [(field, read(text)) for field, text in texts.items()]
        candidates = {
            index
            for _, reading in readings
            for term, _ in self._telling.found(reading)
            for index in self._told_by[term]
        }
        if not candidates:
            return
        spots: dict[Term, list[Spot]] = {}
        for field, reading in readings:
            for term, (start, end) in self._terms.found(reading):
                spots.setdefault(term, []).append(Spot(field, start, end))
        places: dict[Field, list[Span]] = {}
        for index in sorted(candidates):
            asked = self._asked[index]
            if asked.query.concerns(post) and asked.holds(spots.keys()):
                found = _evidence(asked, spots, texts, places)
                yield _match(asked.query, post, sequence, found)


def _evidence(
    asked: Asked,
    spots: Mapping[Term, Sequence[Spot]],
    texts: Mapping[Field, str],
    places: dict[Field, list[Span]],
) -> list[Found]:
    """The words that the query found it by; `places` keeps what is known of each text."""
    own = [
        (spot.field == "content", spot.start, spot.end, written, spot.field)
        for term, written in asked.written.items()
        for spot in spots.get(term, ())
    ]
    found = []
    for _, first, last, written, field in sorted(own)[:MAX_FOUND]:
        text = texts[field]
        if field not in places:
            places[field] = origins(text)
        start, end = places[field][first][0], places[field][last - 1][1]
        quoted = text[start:end][:MAX_QUOTED]
        found.append(Found(term=written, field=field, start=start, end=end, text=quoted))
    return found


def _match(query: Query, post: Post, sequence: int, found: list[Found]) -> Match:
    return Match(
        community=post.community,
        source=post.source,
        query=query.name,
        revision=query.revision,
        post=post.post,
        post_sequence=sequence,
        platform=post.platform,
        attributed_to=post.attributed_to,
        is_automated=post.is_automated,
        published=post.published,
        language=post.language,
        url=post.url,
        found=found,
    )
