"""A feed is asked politely, and its hub asked to tell; without a hub it is heard all the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from klankbord_ingest.feeds.parse import parse
from klankbord_ingest.fetch import Fetched
from klankbord_ingest.kind import Cursor, Page, Request, UnsignedError
from klankbord_ingest.kinds.feed import READ_ANEW, RENEW_EVERY, Feed
from klankbord_ingest.outgoing import FetchError
from klankbord_ingest.web import Hosts, Web

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
URL, HUB = "https://blog.example.org/feed", "https://hub.example.net/"
ADDRESS = "https://listen.example.org/v1/sources/blog"
RSS = b"<rss version='2.0'><channel><item><guid>a</guid><title>One</title></item></channel></rss>"
ETAG = '"1"'


@dataclass
class Played:
    """A blog and its hub, as `Web` asks them."""

    link: str = f'<{HUB}>; rel="hub"'
    hub_status: int = 202
    asked: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], *_: object
    ) -> Fetched:
        self.asked.append((method, url, headers))
        if method == "POST":
            return Fetched(url, None, self.hub_status, {}, b"")
        given = {"etag": ETAG, "link": self.link}
        if headers.get("If-None-Match") == ETAG:
            return Fetched(url, None, 304, given, b"")
        return Fetched(url, None, 200, given, RSS)

    @property
    def subscriptions(self) -> int:
        return sum(method == "POST" for method, _, _ in self.asked)


class Reader:
    def read(self, body: bytes) -> Any:
        return parse(body)


def web_of(
    played: Any, secret: str = "a secret of this source", address: str | None = ADDRESS
) -> Web:
    keys = {"signature": [secret.encode()] if secret else []}
    return Web(played, Hosts(), keys, Reader(), address)  # type: ignore[arg-type]


def feed(*, websub: bool = True) -> Feed:
    return Feed.model_validate(
        {"kind": "feed", "name": "blog", "community": "acme", "url": URL, "websub": websub}
    )


async def heard(web: Web, cursor: Cursor, now: datetime = NOW, *, websub: bool = True) -> Page:
    return await feed(websub=websub).fetch(web, cursor, now)


async def test_a_feed_that_did_not_change_is_read_in_full_now_and_then() -> None:
    played = Played()
    first = await heard(web_of(played), {}, websub=False)
    assert len(first.submissions) == 1
    for later, conditions in ((READ_ANEW, True), (READ_ANEW + timedelta(seconds=1), False)):
        again = await heard(web_of(played), first.cursor or {}, NOW + later, websub=False)
        assert again.submissions == ()
        assert ("If-None-Match" in played.asked[-1][2]) is conditions
    assert played.subscriptions == 0


async def test_the_subscription_is_renewed_every_day() -> None:
    played = Played()
    cursor: Cursor = {}
    for later, subscriptions in (
        (timedelta(0), 1),
        (RENEW_EVERY - timedelta(seconds=1), 1),
        (RENEW_EVERY, 2),
        (RENEW_EVERY + timedelta(hours=1), 2),
    ):
        page = await heard(web_of(played), cursor, NOW + later)
        cursor = page.cursor or {}
        assert not page.refused
        assert played.subscriptions == subscriptions


async def test_another_secret_or_address_is_another_subscription() -> None:
    played = Played()
    cursor = (await heard(web_of(played), {})).cursor or {}
    await heard(web_of(played, secret="the secret after that"), cursor)
    await heard(web_of(played, address="https://other.example.org/v1/sources/blog"), cursor)
    assert played.subscriptions == 3


@pytest.mark.parametrize(
    ("played", "more", "code"),
    [
        (Played(link=""), {}, "no_hub"),
        (Played(), {"secret": ""}, "no_callback"),
        (Played(), {"address": None}, "no_callback"),
        (Played(hub_status=503), {}, "no_subscription"),
        (Played(link='<http://[>; rel="hub"'), {}, "no_hub"),
    ],
)
async def test_without_a_hub_the_feed_is_heard_and_the_operator_told(
    played: Played, more: dict[str, Any], code: str
) -> None:
    page = await heard(web_of(played, **more), {})
    assert len(page.submissions) == 1
    assert [(error.index, error.field, error.code) for error in page.refused] == [
        (None, "websub", code)
    ]
    again = await heard(web_of(played, **more), page.cursor or {})
    assert [error.code for error in again.refused] == [code]


async def test_a_feed_that_is_not_there_is_not_subscribed_to() -> None:
    class Gone(Played):
        async def request(self, *args: Any) -> Fetched:
            raise FetchError("unreachable", "nobody is there")

    with pytest.raises(FetchError):
        await heard(web_of(Gone()), {})


def test_without_websub_nothing_is_sent_here() -> None:
    quiet = feed(websub=False)
    assert not quiet.uses("push")
    assert quiet.uses("pull")
    for method in ("GET", "POST"):
        with pytest.raises(UnsignedError):
            quiet.verify(Request(method, "/x", {}, [], b""), {"signature": ()}, NOW)
