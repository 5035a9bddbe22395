"""Umami's events: one at a time and in batches."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from klankbord_ingest.kind import Page, RefusedError, Request
from klankbord_ingest.kinds.umami import Umami
from klankbord_ingest.sources import source_of
from klankbord_ingest.submission import InteractionSubmission
from klankbord_schemas.community import Community

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
COMMUNITY = Community(slug="demo", name="Demo", time_zone="UTC", languages=("en",))
WEBSITE = "0e3a9c10-1f0b-4c86-9a53-6a6c9d3b7d11"
ENTRY = Umami.model_validate(
    {
        "kind": "umami",
        "name": "site",
        "community": "demo",
        "sites": ["example.org"],
        "websites": [WEBSITE],
        "from_browsers": True,
    }
)
PAYLOAD = {
    "website": WEBSITE,
    "hostname": "example.org",
    "language": "en-US",
    "referrer": "https://mastodon.social/@anna/1",
    "screen": "1920x1080",
    "title": "Pricing",
    "url": "/pricing?utm_campaign=spring&token=1",
    "id": "user-7",
}


def event(**payload: Any) -> dict[str, Any]:
    return {"type": "event", "payload": PAYLOAD | payload}


def read(document: object) -> Page:
    agent = b"Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
    request = Request(
        "POST", "/api/send", {}, [(b"user-agent", agent)], json.dumps(document).encode()
    )
    return ENTRY.read(request, source_of(ENTRY, COMMUNITY), NOW)


def told(page: Page) -> list[InteractionSubmission]:
    assert page.refused == []
    return [one for one in page.submissions if isinstance(one, InteractionSubmission)]


@pytest.mark.parametrize("url", ["/pricing?a=1", "https://example.org/pricing?a=1"])
def test_a_view_is_told_by_the_whole_address_of_its_page(url: str) -> None:
    (said,) = told(read(event(url=url)))
    assert (said.kind, said.url) == ("view", "https://example.org/pricing")
    assert (said.channel, said.referrer) == ("social", "mastodon.social")
    assert said.attributed_to is None


def test_an_event_is_a_click_with_its_name() -> None:
    (said,) = told(read(event(name="signup", data={"plan": "team"})))
    assert (said.kind, said.name, said.campaign) == ("click", "signup", "spring")
    assert said.url == "https://example.org/pricing"


def test_an_event_with_an_address_is_a_click_on_that() -> None:
    (said,) = told(read(event(name="outbound-link-click", data={"url": "https://a.example/x?y"})))
    assert said.url == "https://a.example/x"


def test_a_referrer_of_the_same_site_may_be_a_path() -> None:
    (said,) = told(read(event(url="/b", referrer="/a")))
    assert (said.referrer, said.channel) == (None, None)


def test_the_events_of_a_batch_are_told_apart() -> None:
    said = told(read([event(), event(), event(name="signup")]))
    assert [one.kind for one in said] == ["view", "view", "click"]
    assert len({one.published for one in said}) == 3


def test_one_bad_event_hinders_no_other() -> None:
    page = read([event(), {"type": "event"}, {"type": "event", "payload": 7}, "x", event()])
    assert len(page.submissions) == 2
    assert {error.index for error in page.refused} == {1, 2, 3}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (event(website="11111111-1111-1111-1111-111111111111"), "other_site"),
        (event(hostname="evil.example"), "other_site"),
        ({"type": "identify", "payload": PAYLOAD}, "no_event"),
    ],
)
def test_what_is_of_another_site_or_no_event_is_passed_over(document: object, reason: str) -> None:
    page = read(document)
    assert (page.submissions, page.passed_over) == ([], {reason: 1})


def test_a_batch_has_an_end() -> None:
    with pytest.raises(RefusedError):
        read([event()] * 101)
