"""Matomo's hits: in a query, in a form, and many at once."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from klankbord_ingest.kind import Page, RefusedError, Request, UnsignedError
from klankbord_ingest.kinds.matomo import Matomo
from klankbord_ingest.sources import source_of
from klankbord_ingest.submission import InteractionSubmission
from klankbord_schemas.community import Community

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
COMMUNITY = Community(slug="demo", name="Demo", time_zone="UTC", languages=("en",))
SECRET = "a secret that only the forwarding server has"
AGENT = b"Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
ENTRY: dict[str, Any] = {
    "kind": "matomo",
    "name": "site",
    "community": "demo",
    "sites": ["example.org"],
    "site_ids": [1],
    "goals": {3: "signup"},
    "from_browsers": True,
}
SITE = Matomo.model_validate(ENTRY)
VIEW = {
    "idsite": "1",
    "rec": "1",
    "url": "https://example.org/pricing?mtm_campaign=spring&mail=a@b.example",
    "urlref": "https://duckduckgo.com/",
    "action_name": "Pricing",
    "_id": "0123456789abcdef",
    "uid": "anna@example.org",
    "rand": "351459",
    "h": "18",
    "m": "3",
    "s": "7",
    "pv_id": "Tx3aQb",
}


def by_query(given: dict[str, str], method: str = "GET") -> Request:
    return Request(method, "/matomo.php", given, [(b"user-agent", AGENT)], b"")


def by_form(given: dict[str, str]) -> Request:
    body = urlencode(given).encode()
    return Request("POST", "/matomo.php", {}, [(b"user-agent", AGENT)], body)


def in_bulk(*hits: object, **other: object) -> Request:
    body = json.dumps({"requests": list(hits), **other}).encode()
    return Request("POST", "/matomo.php", {}, [(b"user-agent", AGENT)], body)


def read(request: Request, now: datetime = NOW) -> Page:
    return SITE.read(request, source_of(SITE, COMMUNITY), now)


def told(page: Page) -> list[InteractionSubmission]:
    assert page.refused == []
    return [one for one in page.submissions if isinstance(one, InteractionSubmission)]


@pytest.mark.parametrize("ask", [by_query, by_form, lambda given: in_bulk(f"?{urlencode(given)}")])
def test_a_view_is_the_same_however_it_is_sent(ask: Any) -> None:
    (said,) = told(read(ask(VIEW)))
    assert (said.kind, said.url, said.name) == ("view", "https://example.org/pricing", None)
    assert (said.campaign, said.channel, said.referrer) == ("spring", "search", "duckduckgo.com")
    assert said.attributed_to is None
    assert said.native_id == told(read(by_query(VIEW)))[0].native_id


def test_a_hit_that_is_sent_again_is_one_and_a_later_one_another() -> None:
    (first,) = told(read(by_query(VIEW)))
    (again,) = told(read(by_form(VIEW), NOW + timedelta(minutes=3)))
    (later,) = told(read(by_query(VIEW | {"rand": "7"})))
    assert first.native_id == again.native_id != later.native_id


def test_who_it_was_is_no_part_of_what_is_told() -> None:
    (first,) = told(read(by_query(VIEW)))
    (other,) = told(read(by_query(VIEW | {"_id": "f" * 16, "uid": "jo"})))
    assert first == other
    assert "anna" not in first.model_dump_json()


@pytest.mark.parametrize(
    ("given", "name", "url"),
    [
        ({"idgoal": "3", "revenue": "10"}, "signup", "https://example.org/pricing"),
        ({"idgoal": "4"}, "goal 4", "https://example.org/pricing"),
        ({"idgoal": "0", "ec_id": "7"}, "order", "https://example.org/pricing"),
        ({"e_c": "Video", "e_a": "play"}, "Video / play", "https://example.org/pricing"),
        ({"e_c": "Video", "e_a": "play", "e_n": "Tour"}, "Video / play / Tour", None),
        ({"link": "https://shop.example/a?b"}, "link", "https://shop.example/a"),
        ({"download": "https://example.org/a.pdf"}, "download", "https://example.org/a.pdf"),
        ({"c_n": "banner", "c_i": "click"}, "banner", None),
    ],
)
def test_what_is_done_is_a_click_with_its_name(
    given: dict[str, str], name: str, url: str | None
) -> None:
    (said,) = told(read(by_query(VIEW | given)))
    assert (said.kind, said.name) == ("click", name)
    assert url is None or said.url == url


def test_a_goal_may_name_the_campaign_that_it_is_due_to() -> None:
    given = VIEW | {"url": "https://example.org/", "idgoal": "3", "_rcn": "autumn"}
    (said,) = told(read(by_query(given)))
    assert said.campaign == "autumn"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"idsite": "2"}, "other_site"),
        ({"url": "https://evil.example/"}, "other_site"),
        ({"rec": "0"}, "not_recorded"),
        ({"ping": "1"}, "ping"),
        ({"c_n": "banner"}, "impression"),
    ],
)
def test_what_nobody_did_here_is_passed_over(given: dict[str, str], reason: str) -> None:
    page = read(by_query(VIEW | given))
    assert (page.submissions, page.passed_over) == ([], {reason: 1})


def test_one_bad_hit_of_many_hinders_no_other() -> None:
    page = read(in_bulk(f"?{urlencode(VIEW)}", 7, VIEW | {"idsite": "x"}, VIEW | {"rand": "8"}))
    assert len(page.submissions) == 2
    assert {error.index for error in page.refused} == {1, 2}


def test_hits_without_chance_in_them_are_told_apart_by_their_moment() -> None:
    without = {name: value for name, value in VIEW.items() if name != "rand"}
    said = told(read(in_bulk(without, without)))
    assert [one.native_id for one in said] == [None, None]
    assert said[0].published != said[1].published


@pytest.mark.parametrize("body", [b'{"requests": 7}', b"{", b'{"other": []}', b"\xff\xfe="])
def test_what_is_no_hit_at_all_is_refused(body: bytes) -> None:
    with pytest.raises(RefusedError):
        read(Request("POST", "", {}, [(b"user-agent", AGENT)], body))


def test_many_at_once_have_an_end() -> None:
    with pytest.raises(RefusedError):
        read(in_bulk(*[VIEW] * 101))


@pytest.mark.parametrize(
    "ask",
    [
        lambda token: by_query(VIEW | {"token_auth": token}),
        lambda token: by_form(VIEW | {"token_auth": token}),
        lambda token: in_bulk(VIEW, token_auth=token),
    ],
)
def test_a_server_bears_the_secret_where_matomo_has_it(ask: Any) -> None:
    closed = Matomo.model_validate(ENTRY | {"from_browsers": False})
    keys = {"signature": (SECRET.encode(),)}
    closed.verify(ask(SECRET), keys, NOW)
    for borne in ("wrong", ""):
        with pytest.raises(UnsignedError):
            closed.verify(ask(borne), keys, NOW)
    with pytest.raises(UnsignedError):
        closed.verify(Request("POST", "", {}, [], b"\xff{"), keys, NOW)


def test_the_script_gets_the_image_that_it_asks_for() -> None:
    reply = Matomo.accepted
    assert reply is not None
    assert (reply.body[:6], reply.content_type, len(reply.body)) == (b"GIF89a", "image/gif", 43)
    assert "set-cookie" not in {name.lower() for name in reply.headers}
