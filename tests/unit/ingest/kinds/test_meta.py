"""Facebook and Instagram: what changes say, who may send them, and history by the Graph API."""

import json
from collections import Counter
from datetime import UTC, datetime
from hmac import digest
from pathlib import Path
from typing import Any

import pytest

from klankbord_ingest.kind import (
    FetchError,
    InteractionSubmission,
    Page,
    PostSubmission,
    RefusedError,
    Request,
    Source,
    UnsignedError,
    Web,
    gathered,
)
from klankbord_ingest.kinds.meta import Facebook, Instagram, graph_feed, graph_shown
from klankbord_schemas.community import Community

PAGE, ACCOUNT = "1001", "2002"
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
STAMP = int(AT.timestamp())
SECRETS = {"signature": [b"another-secret-of-today", b"the-app-secret"], "verify": [b"our words"]}
REAL = Path(__file__).parents[5] / "shared" / "real" / "payloads" / "meta-graph"


def facebook(**fields: Any) -> Facebook:
    given = {"name": "page", "community": "demo", "kind": "facebook", "account": PAGE, **fields}
    return Facebook.model_validate(given)


def instagram() -> Instagram:
    given = {"name": "insta", "community": "demo", "kind": "instagram", "account": ACCOUNT}
    return Instagram.model_validate(given)


def request(body: bytes, signature: str | None = None, **query: str) -> Request:
    if query:
        return Request("GET", "", {f"hub.{name}": value for name, value in query.items()}, [], b"")
    headers = [] if signature is None else [(b"x-hub-signature-256", signature.encode("latin-1"))]
    return Request("POST", "", {}, headers, body)


def read(entry: Facebook | Instagram, document: Any) -> Page:
    home = Community(slug="demo", name="Demo", time_zone="UTC", languages=("en",))
    source = Source("meta", home, entry.kind, entry.own_platform, "attested", None, entry)
    return entry.read(request(json.dumps(document).encode()), source, AT)


def told(*values: Any, field: str = "feed") -> Page:
    changes = [{"field": field, "value": value} for value in values]
    entries = [{"id": PAGE, "time": STAMP, "changes": changes}]
    return read(facebook(), {"object": "page", "entry": entries})


def change(**fields: Any) -> dict[str, Any]:
    common = {"item": "comment", "verb": "add", "post_id": f"{PAGE}_7", "comment_id": "7_8"}
    more = {"parent_id": f"{PAGE}_7", "created_time": STAMP, "message": "Can I export this?"}
    return {**common, **more, "from": {"id": "501", "name": "Ann"}, **fields}


def post(page: Page) -> PostSubmission:
    assert not page.refused
    [said] = page.submissions
    assert isinstance(said, PostSubmission)
    return said


def interaction(page: Page) -> InteractionSubmission:
    assert not page.refused
    [said] = page.submissions
    assert isinstance(said, InteractionSubmission)
    return said


def test_a_comment_is_a_post_in_the_thread_of_what_it_is_on() -> None:
    said = post(told(change()))
    assert (said.native_id, said.content, said.published) == ("7_8", "Can I export this?", AT)
    assert (said.context, said.in_reply_to) == (f"{PAGE}_7", f"{PAGE}_7")
    assert said.attributed_to is not None
    assert (said.attributed_to.id, said.attributed_to.name) == ("501", "Ann")
    assert (said.operation, said.updated) == ("create", None)
    assert post(told(change(parent_id="7_6"))).in_reply_to == "7_6"


@pytest.mark.parametrize("item", ["status", "post", "photo", "video", "share"])
def test_what_stands_in_the_feed_is_a_post(item: str) -> None:
    said = post(told(change(item=item, comment_id=None)))
    assert said.native_id == f"{PAGE}_7"
    assert said.url == f"https://www.facebook.com/{PAGE}_7"
    assert (said.context, said.in_reply_to) == (None, None)
    assert said.object_type == {"photo": "Image", "video": "Video"}.get(item, "Note")


def test_the_page_itself_is_an_organization() -> None:
    said = post(told(change(**{"from": {"id": PAGE, "name": "Demo"}})))
    assert said.attributed_to is not None
    assert said.attributed_to.type == "Organization"
    assert not said.attributed_to.is_automated


def test_nobody_is_made_up_where_meta_tells_nobody() -> None:
    unknown = change()
    del unknown["from"]
    assert post(told(unknown)).attributed_to is None
    older = post(told({**unknown, "sender_id": 501, "sender_name": "Ann"}))
    assert older.attributed_to is not None
    assert older.attributed_to.id == "501"


def test_an_edit_and_a_removal_are_of_the_same_id() -> None:
    edit = post(told(change(verb="edited", message="How do I export this?")))
    assert (edit.native_id, edit.operation, edit.updated) == ("7_8", "update", None)
    gone = post(told(change(verb="remove")))
    assert (gone.native_id, gone.operation, gone.content) == ("7_8", "delete", "")
    post_gone = post(told(change(item="status", verb="remove")))
    assert (post_gone.native_id, post_gone.operation) == (f"{PAGE}_7", "delete")


def test_reactions_are_likes_with_their_emoji() -> None:
    love = change(item="reaction", reaction_type="love", comment_id=None)
    said = interaction(told(love))
    assert (said.kind, said.object, said.content) == ("like", f"{PAGE}_7", "❤️")
    assert (said.published, said.native_id) == (AT, None)
    on_a_comment = interaction(told(change(item="reaction", reaction_type="like")))
    assert (on_a_comment.object, on_a_comment.content) == ("7_8", "👍")
    assert told({**love, "verb": "remove"}).passed_over == {"withdrawn": 1}
    assert told({**love, "verb": "edit"}).passed_over == {"changed": 1}


def test_a_like_of_the_page_is_a_follow() -> None:
    liked = {"item": "like", "verb": "add", "sender_id": 501, "sender_name": "Ann"}
    said = interaction(told(liked))
    assert (said.kind, said.object, said.published) == ("follow", None, AT)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (change(verb="hide"), "moderation"),
        (change(item="status", published=0), "unpublished"),
        (change(item="page"), "no_post"),
    ],
)
def test_what_is_none_of_our_business_is_passed_over(value: Any, reason: str) -> None:
    assert told(value).passed_over == {reason: 1}


def test_messages_to_the_page_are_private() -> None:
    entry = {"id": PAGE, "time": STAMP, "messaging": [{"message": {"text": "hi"}}], "standby": [{}]}
    page = read(facebook(), {"object": "page", "entry": [entry]})
    assert (page.passed_over, page.submissions) == ({"private": 2}, [])


def test_other_pages_of_the_same_app_are_passed_over() -> None:
    entry = {"id": "9", "time": STAMP, "changes": [{"field": "feed", "value": change()}]}
    assert read(facebook(), {"object": "page", "entry": [entry]}).passed_over == {
        "other_account": 1
    }


def test_moments_may_be_in_milliseconds() -> None:
    assert post(told(change(created_time=STAMP * 1000))).published == AT


@pytest.mark.parametrize(
    "bad",
    [
        None,
        7,
        {},
        {"item": "comment"},
        change(comment_id=None),
        change(verb="shouts"),
        change(created_time="soon"),
        change(created_time=10**40),
        change(message="nul \x00"),
        change(message=["list"]),
        change(**{"from": "Ann"}),
        change(item="reaction", reaction_type=["like"]),
    ],
)
def test_a_malformed_change_is_refused_alone(bad: Any) -> None:
    page = told(bad, change(comment_id="good"))
    assert [error.index for error in page.refused] == [0]
    assert len(page.submissions) == 1


@pytest.mark.parametrize("entry", [None, 7, {"changes": [None]}, {"time": 1, "changes": [{}]}])
def test_a_malformed_entry_is_refused_alone(entry: Any) -> None:
    good = {"id": PAGE, "time": STAMP, "changes": [{"field": "feed", "value": change()}]}
    page = read(facebook(), {"object": "page", "entry": [entry, good]})
    assert (len(page.refused), len(page.submissions)) == (1, 1)


@pytest.mark.parametrize(
    "document", [None, [], {}, {"object": "instagram", "entry": []}, {"object": "page"}]
)
def test_another_body_is_refused(document: Any) -> None:
    with pytest.raises(RefusedError):
        read(facebook(), document)


# -- Instagram -----------------------------------------------------------------------------------

COMMENT = {
    "id": "17",
    "from": {"id": "601", "username": "ann"},
    "media": {"id": "16", "media_product_type": "FEED"},
    "text": "Where is this?",
}


@pytest.mark.parametrize("is_flat", [False, True], ids=["Facebook's login", "Instagram's login"])
def test_a_comment_on_instagram_is_a_post(is_flat: bool) -> None:
    said_of = {"field": "comments", "value": {**COMMENT, "parent_id": "15"}}
    entry = {"id": ACCOUNT, "time": STAMP, **(said_of if is_flat else {"changes": [said_of]})}
    said = post(read(instagram(), {"object": "instagram", "entry": [entry]}))
    assert (said.native_id, said.content, said.context, said.in_reply_to) == (
        "17",
        "Where is this?",
        "16",
        "15",
    )
    assert said.attributed_to is not None
    assert (said.attributed_to.id, said.attributed_to.preferred_username) == ("601", "ann")


def test_a_mention_without_words_is_passed_over() -> None:
    mention = {"field": "mentions", "value": {"media_id": "16", "comment_id": "17"}}
    entry = {"id": ACCOUNT, "time": STAMP, "changes": [mention, {"field": "comments", "value": {}}]}
    page = read(instagram(), {"object": "instagram", "entry": [entry]})
    assert (page.passed_over, len(page.refused)) == ({"no_text": 1}, 1)


# -- who may send --------------------------------------------------------------------------------


def signature(key: bytes, body: bytes) -> str:
    return f"sha256={digest(key, body, 'sha256').hex()}"


def test_the_signature_of_the_app_secret_is_right() -> None:
    body = json.dumps({"message": "grüß dich"}).encode()  # Meta escapes what is beyond ASCII
    for key in SECRETS["signature"]:
        assert facebook().verify(request(body, signature(key, body)), SECRETS, AT) is None


def test_the_rule_is_that_of_the_published_vector() -> None:
    """Meta publishes none; X-Hub-Signature-256 is one rule, and this is GitHub's vector of it."""
    vector = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    secrets = {"signature": [b"It's a Secret to Everybody"]}
    assert facebook().verify(request(b"Hello, World!", vector), secrets, AT) is None


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "sha256=",
        signature(b"our words", b"{}"),
        signature(b"the-app-secret", b"{ }"),
        signature(b"the-app-secret", b"{}").removeprefix("sha256="),
        "sha1=" + signature(b"the-app-secret", b"{}"),
        "sha256=\xff",
    ],
)
def test_any_other_signature_is_refused(given: str | None) -> None:
    with pytest.raises(UnsignedError):
        facebook().verify(request(b"{}", given), SECRETS, AT)


def test_a_doubled_signature_and_a_source_without_secret_are_refused() -> None:
    right = signature(b"the-app-secret", b"{}")
    twice = Request("POST", "", {}, [(b"x-hub-signature-256", right.encode())] * 2, b"{}")
    with pytest.raises(UnsignedError):
        facebook().verify(twice, SECRETS, AT)
    nothing: dict[str, list[bytes]] = {"signature": [], "verify": []}
    with pytest.raises(UnsignedError):
        facebook().verify(request(b"{}", signature(b"", b"{}")), nothing, AT)
    with pytest.raises(UnsignedError):
        facebook().verify(request(b"", mode="subscribe", verify_token=""), nothing, AT)


def test_a_handshake_gets_its_challenge() -> None:
    asked = request(b"", mode="subscribe", verify_token="our words", challenge="1158201444")
    facebook().verify(asked, SECRETS, AT)
    reply = facebook().answer(asked, SECRETS, AT)
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"1158201444")
    assert reply.content_type.startswith("text/plain")
    for wrong in (
        request(b"", mode="subscribe", verify_token="their words", challenge="1"),
        request(b"", mode="unsubscribe", verify_token="our words", challenge="1"),
        request(b"", mode="subscribe", challenge="1"),
    ):
        with pytest.raises(UnsignedError):
            facebook().verify(wrong, SECRETS, AT)
    assert facebook().answer(request(b"{}"), SECRETS, AT) is None


# -- history -------------------------------------------------------------------------------------


class Graph(Web):
    """Answers in the place of the web."""

    def __init__(self, *answers: Any, token: str = "page-token") -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.given = token

    @property
    def token(self) -> str:
        return self.given

    async def get_json(
        self, url: str, params: Any = None, headers: Any = None, **_more: Any
    ) -> Any:
        assert headers == {"Authorization": "Bearer page-token"}
        self.asked.append((url, dict(params)))
        return self.answers.pop(0)


def graph_answer(*posts: Any, after: str | None = None) -> dict[str, Any]:
    paging = {"cursors": {"after": after}, "next": "https://…"} if after else {}
    return {"data": list(posts), "paging": paging}


async def test_history_of_a_page_has_the_ids_of_its_webhook() -> None:
    comment = {"id": "7_8", "message": "Hm?", "created_time": "2026-11-22T12:00:00+0000"}
    reply = {**comment, "id": "7_9", "parent": {"id": "7_8"}}
    shown = {
        "id": f"{PAGE}_7",
        "created_time": "2026-11-22T12:00:00+0000",
        "message": "New!",
        "from": {"id": PAGE, "name": "Demo"},
        "comments": {"data": [comment, {"id": "broken"}, reply]},
    }
    web = Graph(graph_answer(shown, after="a1"), graph_answer())
    page = await facebook().backfill(web, {}, AT)
    said = [one for one in page.submissions if isinstance(one, PostSubmission)]
    assert [(one.native_id, one.context, one.in_reply_to) for one in said] == [
        (f"{PAGE}_7", None, None),
        ("7_8", f"{PAGE}_7", f"{PAGE}_7"),
        ("7_9", f"{PAGE}_7", "7_8"),
    ]
    assert (len(page.refused), page.cursor, page.more) == (1, {"after": "a1"}, True)
    assert page.cursor is not None
    last = await facebook().backfill(web, page.cursor, AT)
    assert (last.submissions, last.more) == ([], False)
    assert web.asked[1][0] == f"https://graph.facebook.com/v23.0/{PAGE}/feed"
    assert (web.asked[1][1]["after"], web.asked[1][1]["since"]) == ("a1", STAMP)


async def test_history_of_an_account_has_replies() -> None:
    moment = "2026-11-22T12:00:00+0000"
    reply = {"id": "18", "text": "Delft", "timestamp": moment}
    comment = {"id": "17", "text": "Where?", "timestamp": moment, "replies": {"data": [reply]}}
    media = {"id": "16", "caption": "Sun", "timestamp": moment, "media_type": "IMAGE"}
    shown = {**media, "comments": {"data": [comment]}}
    page = await instagram().backfill(Graph(graph_answer(shown)), {}, None)
    said = [one for one in page.submissions if isinstance(one, PostSubmission)]
    assert [(one.native_id, one.context, one.in_reply_to) for one in said] == [
        ("16", None, None),
        ("17", "16", "16"),
        ("18", "16", "17"),
    ]
    assert said[0].object_type == "Image"


async def test_history_needs_a_token_and_an_answer() -> None:
    with pytest.raises(FetchError, match="token"):
        await facebook().backfill(Graph(token=""), {}, None)
    answers: list[Any] = [[], {}, {"data": None}]
    for answer in answers:
        with pytest.raises(FetchError):
            await facebook().backfill(Graph(answer), {}, None)


@pytest.mark.skipif(not REAL.exists(), reason="../shared/real is not here")
def test_every_real_answer_of_the_graph_is_read() -> None:
    """Most are about other things than posts: these are refused with a reason, and none breaks."""
    counts: Counter[str] = Counter()
    for file in sorted(REAL.rglob("*.json")):
        counts["files"] += 1
        document = json.loads(file.read_text("utf-8"))
        things = things_in(document)
        spread = graph_shown if "instagram" in str(file.relative_to(REAL)) else graph_feed_of
        page = gathered([one for thing in things for one in spread(thing)], lambda one: [one()])
        counts["posts"] += len(page.submissions)
        counts["refused"] += len(page.refused)
    assert counts == {"files": 80, "posts": 88, "refused": 94}


def things_in(document: Any) -> list[Any]:
    """What an answer holds: a list of things, things by their ids, or one."""
    if isinstance(document.get("data"), list):
        return list(document["data"])
    values = list(document.values())
    return values if all(isinstance(value, dict) for value in values) else [document]


def graph_feed_of(thing: Any) -> Any:
    return graph_feed(thing, PAGE)
