"""`klankbord query`: what is told of queries, and which texts they find."""

import json
from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from klankbord_ingest.query.matcher import QuerySet
from klankbord_standalone import queries
from klankbord_standalone.explained import UsageError
from klankbord_standalone.queries import Result

FILE = b"""
queries:
  - {name: outage, any: [outage*, is down], none: [planned], authors: people}
  - {name: prices, all: [price], communities: [acme], sources: [forum], languages: [nl]}
"""
BOTH = QuerySet.read(FILE)


def printed(result: Result, *, dry_run: bool = False) -> str:
    text = StringIO()
    queries.show_result(result, Console(file=text, width=200), dry_run=dry_run)
    return text.getvalue()


def test_the_queries_in_force_are_shown_with_where_they_listen() -> None:
    text = StringIO()
    queries.show(BOTH, Console(file=text, width=200))
    told = text.getvalue()
    assert "  any  outage*, is down\n  none planned\n  by people\n" in told
    assert "  all  price\n  in acme, from forum, in language nl\n" in told
    empty = StringIO()
    queries.show(QuerySet(), Console(file=empty, width=200))
    assert "klankbord query apply" in empty.getvalue()


def test_a_text_is_tried_on_the_words_alone() -> None:
    tried = [(query.name, query.languages) for query, _ in queries.tried(BOTH, "The price is down")]
    assert tried == [("outage", ()), ("prices", ("nl",))]
    assert not list(queries.tried(BOTH, "It is down, as planned"))


def test_a_query_that_is_not_in_force_is_told_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="no query 'price' is in force, but outage, prices"):
        queries.one_of(BOTH, "price")
    with pytest.raises(UsageError, match="but none at all"):
        queries.one_of(QuerySet(), "price")


def test_a_query_for_a_script_names_its_revision() -> None:
    (query, _) = BOTH.queries
    told = json.loads(json.dumps(queries.as_json(query)))
    assert (told["name"], told["revision"]) == ("outage", query.revision)


def test_a_run_says_how_far_back_it_looked() -> None:
    kept = datetime(2026, 3, 1, 12, tzinfo=UTC)
    result = Result("outage", "0" * 64, kept, read=1234, said=5, known=2)
    told = printed(result)
    assert "1,234 posts and edits read; POSTS keeps them since 2026-03-01 12:00 UTC" in told
    assert "5 matches are said on klankbord.query.matched.v1.*.outage; 2 were known" in told
    assert "5 matches would be said" in printed(result, dry_run=True)
    assert "POSTS keeps no posts" in printed(Result("outage", "0" * 64, None))
    assert queries.result_as_json(result)["kept_since"] == kept.isoformat()


def test_only_what_may_concern_a_query_is_asked_of_the_server() -> None:
    prefix = "klankbord.post.received.v1"
    outage, prices = BOTH.queries
    assert queries._subjects(outage) == (f"{prefix}.*.*",)
    assert queries._subjects(prices) == (f"{prefix}.acme.forum",)
    many = prices.model_copy(update={"sources": tuple(f"s{n}" for n in range(11))})
    assert queries._subjects(many) == (f"{prefix}.>",)
