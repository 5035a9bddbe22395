"""`klankbord link`: what is asked of ingest, and what is told of its answers."""

import json
from io import StringIO
from typing import Any

import httpx
import pytest
from rich.console import Console

from klankbord_standalone.command import Place
from klankbord_standalone.explained import ExplainedError, UsageError
from klankbord_standalone.home import Home
from klankbord_standalone.links import LinkDoor, door, show

LINK = {
    "code": "launch",
    "publicUrl": None,
    "community": "demo",
    "source": "forum",
    "target": "https://example.org/?utm_campaign=spring",
    "post": "42",
    "campaign": "spring",
    "made": "2026-03-01T10:00:00+00:00",
    "disabled": None,
}


class Ingest:
    """Answers what it is told to."""

    def __init__(self, status: int, document: Any) -> None:
        self.status, self.document = status, document
        self.asked: list[httpx.Request] = []

    def door(self, public_url: str | None = None) -> LinkDoor:
        def answer(request: httpx.Request) -> httpx.Response:
            self.asked.append(request)
            return httpx.Response(self.status, json=self.document)

        transport = httpx.MockTransport(answer)
        http = httpx.AsyncClient(base_url="http://127.0.0.1:8080", transport=transport)
        return LinkDoor(http, public_url)


async def test_what_is_left_out_is_not_asked_for() -> None:
    ingest = Ingest(201, LINK)
    made = await ingest.door().add(
        {"url": "https://example.org/", "community": "demo", "post": None}
    )
    (asked,) = ingest.asked
    assert json.loads(asked.content) == {"url": "https://example.org/", "community": "demo"}
    assert made["address"] == "http://127.0.0.1:8080/r/launch"


@pytest.mark.parametrize(
    ("given", "own", "address"),
    [
        (None, None, "http://127.0.0.1:8080/r/launch"),
        (None, "https://listen.example.org/", "https://listen.example.org/r/launch"),
        ("https://go.example.org", "https://listen.example.org", "https://go.example.org/r/launch"),
    ],
)
async def test_the_address_is_the_one_that_members_reach(
    given: str | None, own: str | None, address: str
) -> None:
    ingest = Ingest(200, {"links": [LINK | {"publicUrl": own}]})
    (link,) = await ingest.door(given).listed("demo")
    assert link["address"] == address
    assert ingest.asked[0].url.params["community"] == "demo"


@pytest.mark.parametrize("code", ["launch", "https://go.example.org/r/launch", "/r/launch/"])
async def test_a_link_is_ended_by_its_code_or_its_address(code: str) -> None:
    ingest = Ingest(200, LINK)
    await ingest.door().disable(code)
    assert ingest.asked[0].url.path == "/v1/operator/links/launch/disable"


@pytest.mark.parametrize(
    ("status", "document", "error", "told"),
    [
        (
            422,
            {"detail": "no link was made", "errors": [{"field": "url", "why": "is no address"}]},
            UsageError,
            "url is no address",
        ),
        (404, {"detail": "there is no link 'x'"}, UsageError, "there is no link 'x'"),
        (503, {"detail": "the database does not answer"}, ExplainedError, "does not answer"),
        (404, ["Not Found"], ExplainedError, "is it of this version"),
    ],
)
async def test_a_refusal_says_why(
    status: int, document: Any, error: type[ExplainedError], told: str
) -> None:
    with pytest.raises(error, match=told):
        await Ingest(status, document).door().disable("x")


@pytest.mark.parametrize("url", ["go.example.org", "ftp://go.example.org", "https://e.org/?a=b"])
async def test_where_members_reach_it_is_an_address(url: str, tmp_path: Any) -> None:
    with pytest.raises(UsageError, match="is no address"):
        async with door(Place(Home.at(tmp_path, None), None), url):
            pass


def test_each_address_stands_whole() -> None:
    out = StringIO()
    ended = {"address": "https://go.example.org/r/old", "disabled": "2026-03-02", "post": None}
    links = [LINK | {"address": "https://go.example.org/r/launch"}, LINK | ended]
    show(links, Console(file=out, width=20))
    told = out.getvalue()
    assert "https://go.example.org/r/launch\n  leads to https://example.org/?utm" in told
    assert "clicks count for demo, campaign spring, in post 42 of forum" in told
    assert "has ended; led to" in told
    show([], Console(file=out))
    assert "no links yet" in out.getvalue()
