"""Reddit's listings become posts; what was edited or taken away since is noticed."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from klankbord_ingest.fetch import Fetched
from klankbord_ingest.kind import FetchError, Page, PostSubmission, Web
from klankbord_ingest.kinds.reddit import Reddit

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
REAL = Path(__file__).parents[5] / "shared" / "real" / "payloads" / "reddit"


def entry(**given: Any) -> Reddit:
    fields = {"kind": "reddit", "name": "reddit", "community": "acme", "subreddit": "Acme"}
    return Reddit.model_validate(fields | {"client_id": "an-app", "comments": False} | given)


def submission(number: int, **given: Any) -> dict[str, Any]:
    at = NOW - timedelta(minutes=10_000 - number)
    return {
        "kind": "t3",
        "data": {
            "name": f"t3_{base36(number)}",
            "title": "De export is stuk",
            "selftext": "Al *drie* dagen",
            "selftext_html": '<div class="md"><p>Al <em>drie</em> dagen</p></div>',
            "is_self": True,
            "url": "https://www.reddit.com/r/Acme/comments/x/",
            "permalink": "/r/Acme/comments/x/",
            "author": "ada",
            "author_fullname": "t2_abc",
            "created_utc": at.timestamp(),
            "edited": False,
            "link_flair_text": None,
        }
        | given,
    }


def comment(number: int, **given: Any) -> dict[str, Any]:
    told = submission(number)["data"] | {"name": f"t1_{base36(number)}", "body": "Hier ook"}
    told |= {"body_html": "<p>Hier ook</p>", "parent_id": "t1_9", "link_id": "t3_8"}
    return {"kind": "t1", "data": told | given}


def base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    return digits[number] if number < 36 else base36(number // 36) + digits[number % 36]


class Site:
    """A site that answers from memory, in place of the web."""

    token = "a-secret"

    def __init__(self, **listings: list[dict[str, Any]]) -> None:
        self.listings = listings
        self.asked: list[tuple[str, str | None]] = []
        self.grant: Any = {"access_token": "for-an-hour", "token_type": "bearer"}

    async def post(self, url: str, form: Any, headers: Any) -> Fetched:
        assert url == "https://www.reddit.com/api/v1/access_token"
        basic = base64.b64encode(b"an-app:a-secret").decode()
        assert headers == {"Authorization": f"Basic {basic}"}
        assert form == {"grant_type": "client_credentials"}
        return Fetched(url, None, 200, {}, json.dumps(self.grant).encode())

    async def get_json(self, url: str, params: Any, headers: Any) -> Any:
        assert headers == {"Authorization": "Bearer for-an-hour"}
        name = url.removeprefix("https://oauth.reddit.com/r/Acme/")
        self.asked.append((name, params.get("after")))
        things = self.listings[name]
        names = [thing["data"].get("name") for thing in things]
        start = names.index(params["after"]) + 1 if "after" in params else 0
        page = things[start : start + 100]
        more = len(things) > start + 100
        after = page[-1]["data"]["name"] if more else None
        return {"kind": "Listing", "data": {"children": page, "after": after, "before": None}}


def fetched(site: Site, cursor: Any = None, **given: Any) -> Page:
    return asyncio.run(entry(**given).fetch(cast("Web", site), cursor or {}, NOW))


def posts(page: Page) -> list[PostSubmission]:
    assert not page.refused
    return [one for one in page.submissions if isinstance(one, PostSubmission)]


def test_a_submission_and_a_comment() -> None:
    site = Site(
        new=[submission(500, is_self=False, url="https://acme.example/", link_flair_text="bug")],
        comments=[comment(501)],
    )
    post, answer = posts(fetched(site, comments=True))
    assert (post.native_id, post.name) == ("t3_dw", "De export is stuk")
    assert (post.link, post.tag) == (["https://acme.example/"], ["bug"])
    assert post.content_html == "<div><p>Al <em>drie</em> dagen</p></div>"
    assert post.attributed_to is not None
    assert (post.attributed_to.id, post.attributed_to.preferred_username) == ("t2_abc", "ada")
    assert (answer.native_id, answer.in_reply_to, answer.context) == ("t1_dx", "t1_9", "t3_8")


def test_what_was_edited_or_taken_away_since_is_a_later_version() -> None:
    edited = submission(1, edited=NOW.timestamp())
    site = Site(
        new=[
            submission(4, author="[deleted]"),
            submission(3, selftext="[deleted]", author="[deleted]"),
            submission(2, removed_by_category="moderator"),
            edited,
        ]
    )
    first, second, third, fourth = posts(fetched(site))
    assert (first.operation, first.updated) == ("update", NOW)
    assert [second.operation, third.operation] == ["delete", "delete"]
    assert (fourth.operation, fourth.attributed_to) == ("create", None)


def test_a_round_reaches_back_to_what_the_one_before_saw() -> None:
    site = Site(new=[submission(number) for number in range(100, 0, -1)])
    page = fetched(site)
    assert page.cursor == {"new": {"seen": 100}}
    site.listings["new"] = [submission(number) for number in range(350, 0, -1)]
    heard: set[str] = set()
    while True:
        page = fetched(site, page.cursor)
        heard |= {post.native_id for post in posts(page)}
        if not page.more:
            break
    assert {f"t3_{base36(number)}" for number in range(101, 351)} <= heard
    assert page.cursor == {"new": {"seen": 350}}
    assert len(site.asked) == 1 + 3


def test_each_listing_has_its_own_place() -> None:
    site = Site(new=[submission(5)], comments=[comment(number) for number in range(300, 0, -1)])
    cursor = {"new": {"seen": 5}, "comments": {"seen": 150}}
    page = fetched(site, cursor, comments=True)
    assert page.more
    last = fetched(site, page.cursor, comments=True)
    assert not last.more
    assert last.cursor == {"new": {"seen": 5}, "comments": {"seen": 300}}
    assert [name for name, _ in site.asked] == ["new", "comments", "comments"]


def test_history_is_read_listing_by_listing() -> None:
    site = Site(
        new=[submission(number) for number in range(150, 0, -1)],
        comments=[comment(number) for number in range(9, 0, -1)],
    )
    cursor: Any = {}
    heard = []
    since = NOW - timedelta(minutes=10_000 - 20)
    while True:
        page = asyncio.run(entry(comments=True).backfill(cast("Web", site), cursor, since))
        heard += posts(page)
        cursor = page.cursor
        if not page.more:
            break
    assert len(heard) == 131
    assert site.asked[-1] == ("comments", None)


def test_a_bad_thing_hinders_no_other() -> None:
    bad: list[Any] = [{"kind": "t3", "data": {}}, {"kind": "t4", "data": {}}, submission(3)]
    page = fetched(Site(new=bad))
    assert len(page.submissions) == 1
    assert page.passed_over == {"private": 1}
    assert len(page.refused) == 1
    assert page.cursor == {"new": {"seen": 3}}


def test_an_application_that_is_not_approved_is_told() -> None:
    site = Site(new=[])
    site.grant = {"error": "unsupported_grant_type"}
    with pytest.raises(FetchError, match="approved"):
        fetched(site)


@pytest.mark.skipif(not REAL.exists(), reason="../shared/real is not here")
def test_real_listings_are_read() -> None:
    file = REAL / "praw-cassettes" / "TestSubredditListings.test_new.json"
    heard = 0
    for told in json.loads(file.read_bytes())["interactions"]:
        document = json.loads(told["response"]["body"]["string"] or "{}")
        if document.get("kind") == "Listing":
            page = fetched(Site(new=document["data"]["children"]))
            heard += len(posts(page))
    assert heard >= 100


def test_a_thing_from_too_far_away_hinders_no_other_of_history() -> None:
    site = Site(new=[submission(3), submission(2, created_utc=1e30)])
    page = asyncio.run(entry().backfill(cast("Web", site), {}, NOW - timedelta(days=30)))
    assert len(page.submissions) == 1
    assert [error.code for error in page.refused] == ["malformed"]
