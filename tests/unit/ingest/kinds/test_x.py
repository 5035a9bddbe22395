"""X's payloads of three ages become posts, and its challenge signs nothing else."""

import asyncio
import base64
import gzip
import hmac
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from klankbord_ingest.kind import (
    InteractionSubmission,
    Page,
    PostSubmission,
    RefusedError,
    Request,
    UnsignedError,
    Web,
)
from klankbord_ingest.kinds.x import X, found, signed
from klankbord_ingest.sources import source_of
from klankbord_schemas.community import Community

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEYS = {"signature": [b"an-api-secret", b"the-one-before"]}
COMMUNITY = Community(slug="acme", name="Acme", time_zone="UTC", languages=("en",))
REAL = Path(__file__).parents[5] / "shared" / "real" / "payloads" / "x-twitter"
EPOCH = 1_288_834_974_657


def entry(**given: Any) -> X:
    return X.model_validate({"kind": "x", "name": "x", "community": "acme"} | given)


def id_at(moment: datetime, number: int = 1) -> str:
    return str(((int(moment.timestamp() * 1000) - EPOCH) << 22) + number)


AN_ID = id_at(NOW)


def read(document: Any) -> Page:
    kind = entry()
    body = json.dumps(document).encode()
    return kind.read(Request("POST", "", {}, (), body), source_of(kind, COMMUNITY), NOW)


def one_post(page: Page) -> PostSubmission:
    (post,) = page.submissions
    assert isinstance(post, PostSubmission), post
    return post


def tweet(**given: Any) -> dict[str, Any]:
    return {
        "id": AN_ID,
        "edit_history_tweet_ids": [AN_ID],
        "text": "De export is stuk &amp; traag",
        "author_id": "7",
        "lang": "nl",
    } | given


ADA = {"id": "7", "username": "ada", "name": "Ada", "profile_image_url": "https://a.example/a.png"}


def test_the_signature_is_as_x_documents() -> None:
    # RFC 4231, test case 2, in the form in which X writes it
    digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert signed(b"Jefe", b"what do ya want for nothing?") == "sha256=" + base64.b64encode(
        bytes.fromhex(digest)
    ).decode("ascii")


def delivered(body: bytes, key: bytes = b"an-api-secret") -> Request:
    header = (b"x-twitter-webhooks-signature", signed(key, body).encode())
    return Request("POST", "", {}, [header], body)


@pytest.mark.parametrize("key", KEYS["signature"])
def test_either_key_is_good_while_one_is_rotated(key: bytes) -> None:
    entry().verify(delivered(b"{}", key), KEYS, NOW)


@pytest.mark.parametrize(
    "request_",
    [
        Request("POST", "", {}, (), b"{}"),
        delivered(b"{}", b"another"),
        Request("POST", "", {}, delivered(b"{}").headers, b"{ }"),
        Request("POST", "", {}, [*delivered(b"{}").headers] * 2, b"{}"),
        Request("GET", "", {}, (), b""),
        Request("GET", "", {"crc_token": '{"tweet_create_events":[]}'}, (), b""),
    ],
    ids=["unsigned", "another-key", "tampered", "twice", "no-challenge", "a-body-as-challenge"],
)
def test_nobody_else_is_heard(request_: Request) -> None:
    with pytest.raises(UnsignedError):
        entry().verify(request_, KEYS, NOW)


def test_a_challenge_is_answered_with_the_newest_key() -> None:
    kind, challenge = entry(), Request("GET", "", {"crc_token": "dGVzdA-1"}, (), b"")
    kind.verify(challenge, KEYS, NOW)
    reply = kind.answer(challenge, KEYS, NOW)
    assert reply is not None
    digest = hmac.new(b"an-api-secret", b"dGVzdA-1", sha256).digest()
    expected = "sha256=" + base64.b64encode(digest).decode()
    assert json.loads(reply.body) == {"response_token": expected}
    assert kind.answer(delivered(b"{}"), KEYS, NOW) is None
    with pytest.raises(UnsignedError):
        kind.verify(challenge, {"signature": []}, NOW)


def test_a_post_of_a_filtered_stream() -> None:
    entities = {
        "hashtags": [{"tag": "acme"}],
        "mentions": [{"id": "8", "username": "bob"}],
        "urls": [{"url": "https://t.co/x", "expanded_url": "https://acme.example/x"}],
    }
    thread = [{"type": "replied_to", "id": "5"}, {"type": "quoted", "id": "6"}]
    given = tweet(entities=entities, referenced_tweets=thread, conversation_id="4")
    post = one_post(
        read({"data": given, "includes": {"users": [ADA]}, "matching_rules": [{"id": "1"}]})
    )
    assert (post.native_id, post.sequence, post.operation) == (AN_ID, int(AN_ID), "create")
    assert post.published == NOW
    assert (post.text, post.language) == ("De export is stuk & traag", "nl")
    assert (post.in_reply_to, post.context) == ("5", "4")
    assert (post.tag, post.mention, post.link) == (["acme"], ["8"], ["https://acme.example/x"])
    assert post.attributed_to is not None
    assert (post.attributed_to.id, post.attributed_to.preferred_username) == ("7", "ada")


def test_an_edit_is_a_later_version_of_the_first_id() -> None:
    later = id_at(NOW + timedelta(minutes=5))
    page = found({"data": [tweet(), tweet(id=later, edit_history_tweet_ids=[AN_ID, later])]})
    first, second = page.submissions
    assert isinstance(first, PostSubmission)
    assert isinstance(second, PostSubmission)
    assert first.native_id == second.native_id
    assert second.operation == "update"
    assert (second.sequence or 0) > (first.sequence or 0)
    assert second.published == first.published


def test_a_long_post_is_whole_and_a_repost_is_a_share() -> None:
    whole = one_post(read({"data": tweet(note_tweet={"text": "heel " * 100})}))
    assert whole.text.startswith("heel heel")
    (share,) = read(
        {"data": tweet(referenced_tweets=[{"type": "retweeted", "id": "5"}])}
    ).submissions
    assert isinstance(share, InteractionSubmission)
    assert (share.kind, share.object, share.native_id) == ("share", "5", AN_ID)


def activity(kind: str, payload: Any) -> Page:
    return read({"data": {"event_uuid": "99", "event_type": kind, "payload": payload}})


def test_the_activity_api() -> None:
    assert one_post(activity("post.create", tweet())).native_id == AN_ID
    assert one_post(activity("post.delete", {"id": AN_ID})).operation == "delete"
    both = {"source": {"data": {"id": "7"}}, "target": {"data": {"id": "8"}}}
    (follow,) = activity("follow.follow", both).submissions
    assert isinstance(follow, InteractionSubmission)
    assert (follow.kind, follow.url) == ("follow", "https://x.com/i/user/8")
    assert activity("dm.received", {}).passed_over == {"private": 1}
    assert activity("profile.update.bio", {}).passed_over == {"other": 1}


def test_the_account_activity_api() -> None:
    user = {"id_str": "7", "id": 7, "screen_name": "ada", "name": "Ada"}
    status = {"id_str": AN_ID, "text": "kort", "user": user, "lang": "qme"}
    long = {"full_text": "lang &lt;3", "entities": {"user_mentions": [{"id_str": "8"}]}}
    document = {
        "for_user_id": "8",
        "tweet_create_events": [
            status | {"extended_tweet": long, "in_reply_to_status_id_str": "5"},
            status | {"retweeted_status": {"id_str": "5"}},
            status | {"user": user | {"protected": True}},
            {"id_str": "x"},
        ],
        "favorite_events": [
            {"id": "f", "timestamp_ms": 1, "favorited_status": {"id_str": "5"}, "user": user}
        ],
        "follow_events": [
            {"type": "follow", "created_timestamp": "1", "source": user, "target": {"id": "8"}}
        ],
        "tweet_delete_events": [{"status": {"id": "5", "user_id": "7"}, "timestamp_ms": "1"}],
        "direct_message_events": [{}],
        "unfollow_events": [{}],
        "user_event": {"revoke": {}},
    }
    page = read(document)
    post, share, like, follow, deleted = page.submissions
    assert isinstance(post, PostSubmission)
    assert (post.text, post.mention, post.in_reply_to) == ("lang <3", ["8"], "5")
    assert post.language is None
    assert isinstance(deleted, PostSubmission)
    assert (deleted.native_id, deleted.operation) == ("5", "delete")
    kinds = [one.kind for one in (share, like, follow) if isinstance(one, InteractionSubmission)]
    assert kinds == ["share", "like", "follow"]
    assert page.passed_over == {"private": 2, "withdrawn": 1, "other": 1}
    assert len(page.refused) == 1


class Search:
    token = "a-token"

    def __init__(self, pages: list[dict[str, Any]]) -> None:
        self.pages, self.asked = pages, list[dict[str, Any]]()

    async def get_json(self, url: str, params: Any, headers: Any) -> Any:
        assert url == "https://api.x.com/2/tweets/search/recent"
        assert headers == {"Authorization": "Bearer a-token"}
        self.asked.append(params)
        return self.pages.pop(0)


def test_a_search_goes_on_after_the_newest_that_a_whole_round_reached() -> None:
    older, newer = id_at(NOW - timedelta(hours=2)), id_at(NOW)
    search = Search(
        [
            {"data": [tweet()], "meta": {"newest_id": older, "next_token": "ignored at first"}},
            {"data": [tweet()], "meta": {"newest_id": newer, "next_token": "more"}},
            {"data": [tweet()], "meta": {"newest_id": older}},
            {"meta": {"result_count": 0}},
        ]
    )
    cursor: Any = {}
    for more in (False, True, False, False):
        page = asyncio.run(entry(query="acme").fetch(cast("Web", search), cursor, NOW))
        assert page.more is more
        cursor = page.cursor
    assert [asked.get("since_id") for asked in search.asked] == [None, older, older, newer]
    assert search.asked[2]["next_token"] == "more"
    assert cursor == {"since": newer}


def test_an_id_from_before_what_x_searches_is_not_given() -> None:
    search = Search([{"meta": {}}])
    old = {"since": id_at(NOW - timedelta(days=8))}
    asyncio.run(entry(query="acme").fetch(cast("Web", search), old, NOW))
    assert "since_id" not in search.asked[0]


def test_each_way_is_used_where_it_is_wanted_and_needs_its_own_secret() -> None:
    for given, used in (
        ({}, ("push",)),
        ({"query": "acme"}, ("push", "pull")),
        ({"query": "acme", "webhook": False}, ("pull",)),
    ):
        kind = entry(**given)
        assert tuple(way for way in ("push", "pull") if kind.uses(way)) == used
        needed = [kind.needs(kind.secrets[role]) for role in ("signature", "token")]
        assert needed == ["push" in used, "pull" in used]
    with pytest.raises(ValidationError, match="hears nothing"):
        entry(webhook=False)


@pytest.mark.parametrize("document", [[], "x", None, 5])
def test_a_body_that_is_no_object_is_refused(document: Any) -> None:
    with pytest.raises(RefusedError):
        read(document)


@pytest.mark.skipif(not REAL.exists(), reason="../shared/real is not here")
def test_real_answers_are_read() -> None:
    yaml = pytest.importorskip("yaml")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    heard = 0
    for file in sorted(REAL.rglob("test_*.yaml")):
        for told in yaml.load(file.read_bytes(), loader)["interactions"]:
            response = told["response"]
            body = response["body"]["string"] if "body" in response else response["content"]
            body = body if isinstance(body, bytes) else body.encode()
            body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
            document = json.loads(body)
            page = found(document)
            if "/tweets/counts/" not in told["request"]["uri"] and "spaces" not in file.name:
                assert not page.refused, (file.name, page.refused[:2])
                heard += len(page.submissions)
    assert heard > 100
