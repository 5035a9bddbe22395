"""Plausible's events, and what all kinds that pages report to have in common."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from klankbord_ingest.keys import SourceKeys
from klankbord_ingest.kind import Page, RefusedError, Reply, Request, UnsignedError
from klankbord_ingest.kinds.plausible import Plausible
from klankbord_ingest.kinds.umami import Umami
from klankbord_ingest.sources import source_of
from klankbord_ingest.submission import InteractionSubmission
from klankbord_schemas.community import Community

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
COMMUNITY = Community(slug="demo", name="Demo", time_zone="UTC", languages=("en",))
SECRET = b"a secret that only the forwarding server has"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
ENTRY: dict[str, Any] = {
    "kind": "plausible",
    "name": "site",
    "community": "demo",
    "sites": ["example.org"],
    "from_browsers": True,
}
SITE = Plausible.model_validate(ENTRY)
CLOSED = Plausible.model_validate(ENTRY | {"from_browsers": False})
VIEW = {
    "n": "pageview",
    "u": "https://example.org/blog/post?utm_campaign=spring&utm_medium=email&email=a@b.example#top",
    "d": "example.org",
    "r": "https://www.google.com/search?q=x",
}


def request(document: object = VIEW, method: str = "POST", **headers: str) -> Request:
    given = {"user-agent": FIREFOX, "content-type": "text/plain"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    raw = [(name.encode(), value.encode()) for name, value in given.items()]
    return Request(method, "/api/event", {}, raw, body)


def read(document: object, entry: Plausible = SITE, **headers: str) -> Page:
    return entry.read(request(document, **headers), source_of(entry, COMMUNITY), NOW)


def only(page: Page) -> InteractionSubmission:
    (said,) = page.submissions
    assert isinstance(said, InteractionSubmission)
    return said


def test_a_view_is_told_without_what_its_address_may_say_of_people() -> None:
    said = only(read(VIEW))
    assert (said.kind, said.url) == ("view", "https://example.org/blog/post")
    assert (said.campaign, said.channel, said.referrer) == ("spring", "email", "google.com")
    assert (said.published, said.attributed_to, said.name) == (NOW, None, None)


def test_the_long_names_mean_the_same() -> None:
    long = {"n": "name", "u": "url", "d": "domain", "r": "referrer"}
    assert read({long[name]: value for name, value in VIEW.items()}) == read(VIEW)


def test_a_goal_is_a_click_with_its_name() -> None:
    said = only(read(VIEW | {"n": "Signup", "p": {"plan": "team"}}))
    assert (said.kind, said.name, said.url) == ("click", "Signup", "https://example.org/blog/post")


@pytest.mark.parametrize("properties", [{"p": '{"url": "%s"}'}, {"props": {"url": "%s"}}])
def test_an_outbound_link_is_a_click_on_where_it_leads(properties: dict[str, Any]) -> None:
    told = json.loads(json.dumps(properties).replace("%s", "https://shop.example/a?token=1"))
    said = only(read({"n": "Outbound Link: Click", "u": VIEW["u"], "d": "example.org"} | told))
    assert (said.kind, said.url) == ("click", "https://shop.example/a")
    assert said.name == "Outbound Link: Click"


@pytest.mark.parametrize(
    ("changed", "headers", "reason"),
    [
        ({"d": "evil.example"}, {}, "other_site"),
        ({"u": "https://evil.example/"}, {}, "other_site"),
        ({"u": "https://notexample.org/"}, {}, "other_site"),
        ({"n": "engagement"}, {}, "engagement"),
        ({}, {"user_agent": "Googlebot/2.1 (+http://www.google.com/bot.html)"}, "automated"),
        ({}, {"user_agent": ""}, "automated"),
        ({}, {"sec_purpose": "prefetch;prerender"}, "prefetch"),
    ],
)
def test_what_is_no_members_is_passed_over(
    changed: dict[str, str], headers: dict[str, str], reason: str
) -> None:
    page = read(VIEW | changed, SITE, **headers)
    assert (page.submissions, page.passed_over) == ([], {reason: 1})


def test_a_user_agent_that_is_there_twice_is_a_programs() -> None:
    twice = request()
    doubled = Request("POST", "", {}, [*twice.headers, (b"user-agent", b"x")], twice.body)
    assert SITE.read(doubled, source_of(SITE, COMMUNITY), NOW).passed_over == {"automated": 1}


@pytest.mark.parametrize(
    "wrong",
    [{"n": ""}, {"u": ""}, {"u": "app://localhost/login"}, {"p": "{no json"}, {"n": ["a"]}],
)
def test_a_malformed_event_is_refused_or_of_no_site(wrong: dict[str, Any]) -> None:
    page = read(VIEW | wrong)
    assert page.submissions == []
    assert len(page.refused) + sum(page.passed_over.values()) == 1


@pytest.mark.parametrize("body", [b"no json", b"[]", b"null", b"\xff"])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(RefusedError):
        read(body)


def test_coming_from_a_page_of_the_site_is_no_referrer() -> None:
    within = VIEW | {"u": "https://example.org/b", "r": "https://www.example.org/a"}
    said = only(read(within))
    assert (said.referrer, said.channel) == (None, None)
    said = only(read(within | {"u": "https://example.org/b?utm_medium=cpc"}))
    assert (said.referrer, said.channel) == (None, "paid")


def test_a_name_that_is_no_host_may_be_listed() -> None:
    entry = Plausible.model_validate(ENTRY | {"domains": ["my-app"]})
    assert only(read(VIEW | {"d": "my-app"}, entry)).kind == "view"


# -- who may send ----------------------------------------------------------------------------------


def verify(entry: Plausible, asked: Request, *secrets: bytes) -> None:
    entry.verify(asked, {"signature": secrets}, NOW)


def test_browsers_may_send_only_where_the_entry_says_so() -> None:
    verify(SITE, request(origin="https://www.example.org"))
    with pytest.raises(UnsignedError, match="browsers may not send here"):
        verify(CLOSED, request(origin="https://www.example.org"))
    with pytest.raises(UnsignedError, match="browsers may not send here"):
        verify(CLOSED, request(), SECRET)


def test_a_source_that_browsers_may_not_send_to_is_disabled_without_a_secret() -> None:
    keys = SourceKeys(None, {}, b"decoy")
    sources = [
        source_of(entry.model_copy(update={"name": name}), COMMUNITY)
        for name, entry in (("open", SITE), ("closed", CLOSED))
    ]
    keys.refresh(sources)
    assert keys.of("open") == {"signature": ()}
    assert list(keys.disabled) == ["closed"]
    assert "openssl rand -hex 32" in keys.disabled["closed"]


def test_a_server_bears_the_secret() -> None:
    verify(CLOSED, request(authorization=f"Bearer {SECRET.decode()}"), b"newer", SECRET)
    for entry in (SITE, CLOSED):
        for borne, keys in (("wrong", [SECRET]), (SECRET.decode(), []), ("ü", [SECRET])):
            with pytest.raises(UnsignedError, match="not this source's"):
                verify(entry, request(authorization=f"Bearer {borne}"), *keys)
    with pytest.raises(UnsignedError):
        verify(CLOSED, request(authorization=f"Basic {SECRET.decode()}"), SECRET)
    with pytest.raises(UnsignedError):
        verify(CLOSED, request(authorization="Bearer "), b"")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "https://example.org.evil.example"},
        {"referer": "https://evil.example/example.org"},
        {"origin": "https://evil.example", "referer": "https://example.org/"},
    ],
)
def test_a_page_of_another_site_is_turned_away(headers: dict[str, str]) -> None:
    with pytest.raises(UnsignedError, match="not listed"):
        verify(SITE, request(**headers))


def test_a_header_that_is_there_twice_is_turned_away() -> None:
    once = request(origin="https://example.org")
    with pytest.raises(UnsignedError):
        verify(SITE, Request("POST", "", {}, [*once.headers, (b"origin", b"x")], b""))


def test_a_browser_that_asks_is_told_what_it_may_send() -> None:
    asked = request(b"", "OPTIONS", origin="https://example.org")
    verify(SITE, asked)
    reply = SITE.answer(asked, {"signature": ()}, NOW)
    assert isinstance(reply, Reply)
    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert "X-Umami-Cache" in reply.headers["Access-Control-Allow-Headers"]
    assert SITE.answer(request(), {"signature": ()}, NOW) is None


def test_no_answer_sets_a_cookie_or_asks_for_one() -> None:
    for kind in (Plausible, Umami):
        assert kind.accepted is not None
        told = {name.lower() for name in kind.accepted.headers}
        assert not told & {"set-cookie", "access-control-allow-credentials"}


def test_its_times_are_claimed_and_its_platform_is_the_site() -> None:
    source = source_of(SITE, COMMUNITY)
    assert (source.published_trust, source.platform) == ("claimed", "example.org")


@pytest.mark.parametrize("sites", [[], ["https://example.org"], ["*"], [".org"], ["a b"]])
def test_a_site_is_a_host(sites: list[str]) -> None:
    with pytest.raises(ValidationError):
        Plausible.model_validate(ENTRY | {"sites": sites})
