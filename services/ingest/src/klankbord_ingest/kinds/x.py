"""X (Twitter): what it sends to a webhook, and what its search finds. Access is X's to grant.

Three shapes come by webhook, told apart by their fields:

- a filtered stream's post: https://docs.x.com/x-api/webhooks/stream/introduction
- the Activity API: https://docs.x.com/x-api/activity/event-payloads
- the Account Activity API, which X retires: https://docs.x.com/x-api/account-activity/introduction
"""

import base64
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from html import unescape
from typing import Any, ClassVar, Literal, Self

from pydantic import HttpUrl, model_validator

from klankbord_ingest.kind import (
    JSON,
    Cursor,
    FetchError,
    Page,
    PassedOver,
    Pull,
    Push,
    Reply,
    Request,
    Secret,
    Secrets,
    Source,
    UnsignedError,
    Web,
    body_refused,
    gathered,
    is_one_of,
    json_body,
)
from klankbord_ingest.platform_json import moment_at
from klankbord_runtime.yamlfile import Duration
from klankbord_schemas.types import MAX_LINKS, MAX_MENTIONS, MAX_TAGS, Line

SIGNATURE = "sha256="
CRC_TOKEN = re.compile(r"[A-Za-z0-9_=-]{1,200}")
"""What X sends to be signed. Nothing else is: whoever asks could have a body of theirs signed."""
SNOWFLAKE_EPOCH = timedelta(milliseconds=1_288_834_974_657)
"""Since 1970; https://docs.x.com/fundamentals/x-ids."""
SNOWFLAKE_BITS = 22
SEARCHED = timedelta(days=6, hours=23)
"""How far back a recent search goes, a little less than seven days."""
PAGE = 100
FIELDS = {
    "tweet.fields": "author_id,conversation_id,created_at,edit_history_tweet_ids,entities,lang,"
    "note_tweet,referenced_tweets",
    "expansions": "author_id",
    "user.fields": "name,profile_image_url,username",
}

Tweet = Mapping[str, Any]
Users = Mapping[str, Mapping[str, Any]]


class X(Push, Pull):
    """Posts that match a rule or a search, and what happens around an account."""

    secrets: ClassVar[dict[str, Secret]] = {
        "signature": Secret(
            "the API secret (consumer secret) of your app: developer portal, Keys and tokens",
            way="push",
        ),
        "token": Secret("the app-only bearer token: developer portal, Keys and tokens", way="pull"),
    }
    methods = frozenset({"GET", "POST"})

    kind: Literal["x"]
    webhook: bool = True
    """Whether X sends to Klankbord."""
    query: Line | None = None
    """A search, as https://docs.x.com/x-api/posts/search/integrate/build-a-query says."""
    api: HttpUrl = HttpUrl("https://api.x.com")
    every: Duration = timedelta(minutes=15)

    @model_validator(mode="after")
    def _hears_something(self) -> Self:
        if not (self.webhook or self.query):
            raise ValueError("hears nothing; write a `query`, or leave out `webhook: false`")
        return self

    @property
    def own_platform(self) -> str:
        """There is one."""
        return "x.com"

    @property
    def place(self) -> str:
        """Another search finds other posts."""
        return self.query or ""

    def uses(self, way: str) -> bool:
        """X sends, is asked for what a search finds, or both."""
        return self.query is not None if way == "pull" else self.webhook

    def verify(self, request: Request, secrets: Secrets, now: datetime) -> None:  # noqa: ARG002
        """Check `x-twitter-webhooks-signature`; a challenge has none.

        See https://docs.x.com/x-api/webhooks/introduction.
        """
        keys = secrets["signature"]
        if request.method == "GET":
            if not keys or not CRC_TOKEN.fullmatch(request.query.get("crc_token", "")):
                raise UnsignedError("a GET that is no challenge of X")
            return
        given = request.header("x-twitter-webhooks-signature").encode("latin-1")
        if not is_one_of(given, (signed(key, request.body).encode() for key in keys)):
            raise UnsignedError("x-twitter-webhooks-signature is missing, or not that of this body")

    def answer(self, request: Request, secrets: Secrets, now: datetime) -> Reply | None:  # noqa: ARG002
        """The challenge that X sends every hour."""
        if request.method != "GET":
            return None
        token = request.query["crc_token"].encode()
        document = {"response_token": signed(secrets["signature"][0], token)}
        return Reply(body=json.dumps(document).encode(), content_type=JSON)

    def read(self, request: Request, source: Source, now: datetime) -> Page:  # noqa: ARG002
        """What a webhook says."""
        document = json_body(request)
        if not isinstance(document, dict):
            raise body_refused("is no object", "malformed")
        data = document.get("data")
        if isinstance(data, dict) and "event_type" in data:
            return gathered([data], lambda event: _activity(event, now))
        if data is not None:
            return found(document)
        return gathered(_account_activity(document), _account_event)

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:
        """What a recent search finds; X gives the newest first, so a round ends at the oldest.

        See https://docs.x.com/x-api/posts/search-recent-posts.
        """
        asked: dict[str, str | int] = {"query": self.query or "", "max_results": PAGE, **FIELDS}
        since, token = cursor.get("since"), cursor.get("token")
        if isinstance(since, str) and _written(since) > now - SEARCHED:
            asked["since_id"] = since
        if isinstance(token, str):
            asked["next_token"] = token
        answer = await web.get_json(
            f"{str(self.api).rstrip('/')}/2/tweets/search/recent",
            asked,
            {"Authorization": f"Bearer {web.token}"},
        )
        if not isinstance(answer, dict):
            raise FetchError("bad_answer", f"{self.api} answered no object")
        page = found(answer)
        meta = answer.get("meta")
        told = meta if isinstance(meta, dict) else {}
        newest = cursor.get("newest") or told.get("newest_id") or since
        following = told.get("next_token") if cursor else None
        if following:
            kept: Cursor = {"since": since, "newest": newest, "token": following}
        else:
            kept = {"since": newest}
        return replace(page, cursor=kept, more=bool(following))


def signed(key: bytes, body: bytes) -> str:
    """What X signs with: `sha256=` and the HMAC in base64."""
    return SIGNATURE + base64.b64encode(hmac.digest(key, body, "sha256")).decode()


def found(document: Any) -> Page:
    """Posts as X's second interface gives them: `{data, includes, …}`."""
    if not isinstance(document, dict):
        raise body_refused("is no object", "malformed")
    data = document.get("data")
    users = _users(document.get("includes"))
    tweets = data if isinstance(data, list) else [] if data is None else [data]
    return gathered(tweets, lambda tweet: _tweet(tweet, users))


def _users(includes: Any) -> Users:
    given = includes.get("users") if isinstance(includes, dict) else None
    users = given if isinstance(given, list) else []
    return {one["id"]: one for one in users if isinstance(one, dict) and "id" in one}


def _tweet(tweet: Tweet, users: Users) -> Iterator[Mapping[str, Any]]:
    """A post: https://docs.x.com/x-api/fundamentals/data-dictionary.

    An edited post has another id; the first of its ids names it here, whatever the version.
    """
    first, version = _versions(tweet)
    referred = {one["type"]: one["id"] for one in tweet.get("referenced_tweets") or []}
    author = tweet.get("author_id")
    who = None if author is None else _user(users.get(author, {"id": author}))
    if "retweeted" in referred:
        yield _share(first, referred["retweeted"], who)
        return
    note = tweet.get("note_tweet") or {}
    entities = note.get("entities") or tweet.get("entities") or {}
    yield _post(
        first,
        version,
        who,
        unescape(note.get("text") or tweet["text"]),
        tweet.get("lang"),
        referred.get("replied_to"),
        tweet.get("conversation_id"),
        tags=[one["tag"] for one in entities.get("hashtags") or []],
        mentions=[one["id"] for one in entities.get("mentions") or [] if "id" in one],
        links=[_link(one) for one in entities.get("urls") or []],
    )


def _activity(event: Mapping[str, Any], now: datetime) -> Iterator[Mapping[str, Any]]:
    """An event of the Activity API."""
    kind, payload = event["event_type"], event["payload"]
    match kind:
        case "post.create" | "post.mention.create":
            yield from _tweet(payload, _users(event.get("includes")))
        case "post.delete":
            yield {"nativeId": payload["id"], "operation": "delete"}
        case "follow.follow":
            yield {
                "kind": "follow",
                "nativeId": event["event_uuid"],
                "attributedTo": _user(payload["source"]["data"]),
                "published": now,  # the event does not say when
                "url": f"https://x.com/i/user/{payload['target']['data']['id']}",
            }
        case _:
            raise PassedOver("private" if kind.startswith(("dm.", "chat.")) else "other")


def _account_activity(document: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    """The events of the Account Activity API, each with what it is."""
    return [
        (name, event)
        for name, events in document.items()
        if name.endswith("_events") or name == "user_event"
        for event in (events if isinstance(events, list) else [events])
    ]


def _account_event(named: tuple[str, Any]) -> Iterator[Mapping[str, Any]]:
    name, event = named
    match name:
        case "tweet_create_events":
            yield _status(event)
        case "tweet_delete_events":
            yield {"nativeId": event["status"]["id"], "operation": "delete"}
        case "favorite_events":
            yield {
                "kind": "like",
                "nativeId": event["id"],
                "object": event["favorited_status"]["id_str"],
                "attributedTo": _old_user(event["user"]),
                "published": _moment(event["timestamp_ms"]),
            }
        case "follow_events" if event["type"] == "follow":
            yield {
                "kind": "follow",
                "attributedTo": _old_user(event["source"]),
                "published": _moment(event["created_timestamp"]),
                "url": f"https://x.com/i/user/{event['target']['id']}",
            }
        case _ if name.startswith("direct_message"):
            raise PassedOver("private")
        case _:
            raise PassedOver("withdrawn" if name.startswith("un") else "other")


def _status(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """A post as X's first interface gives it."""
    history = status.get("edit_history") or {}
    identity = status["id_str"]
    first = str(history.get("initial_tweet_id") or identity)
    who = _old_user(status["user"])
    if status["user"].get("protected"):
        raise PassedOver("private")
    if shared := status.get("retweeted_status"):
        return _share(first, shared["id_str"], who)
    whole = status.get("extended_tweet") or status
    entities = whole.get("entities") or {}
    return _post(
        first,
        identity,
        who,
        unescape(whole.get("full_text") or status.get("text") or status["full_text"]),
        status.get("lang"),
        status.get("in_reply_to_status_id_str"),
        None,
        tags=[one["text"] for one in entities.get("hashtags") or []],
        mentions=[one["id_str"] for one in entities.get("user_mentions") or []],
        links=[_link(one) for one in entities.get("urls") or []],
    )


def _post(
    first: str,
    version: str,
    who: Mapping[str, Any] | None,
    text: str,
    language: str | None,
    answered: str | None,
    thread: str | None,
    *,
    tags: Sequence[str],
    mentions: Sequence[str],
    links: Sequence[str],
) -> Mapping[str, Any]:
    return {
        "nativeId": first,
        "operation": "create" if version == first else "update",
        "sequence": int(version),
        "published": _written(first),
        "attributedTo": who,
        "inReplyTo": answered,
        "context": None if thread == first else thread,
        "url": f"https://x.com/i/status/{first}",
        "content": text,
        "language": _language(language),
        "tag": tags[:MAX_TAGS],
        "mention": mentions[:MAX_MENTIONS],
        "link": links[:MAX_LINKS],
    }


def _share(native_id: str, shared: str, who: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {
        "kind": "share",
        "nativeId": native_id,
        "object": shared,
        "attributedTo": who,
        "published": _written(native_id),
    }


def _versions(tweet: Tweet) -> tuple[str, str]:
    """The id that the post had at first, and the one of this version."""
    history = tweet.get("edit_history_tweet_ids") or [tweet["id"]]
    return str(history[0]), str(tweet["id"])


def _user(user: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": user["id"],
        "preferredUsername": user.get("username"),
        "name": user.get("name"),
        "icon": user.get("profile_image_url"),
    }


def _old_user(user: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": str(user.get("id_str") or user["id"]),
        "preferredUsername": user.get("screen_name"),
        "name": user.get("name"),
        "icon": user.get("profile_image_url_https"),
    }


def _link(url: Mapping[str, Any]) -> str:
    return str(url.get("unwound_url") or url.get("expanded_url") or url["url"])


def _language(code: str | None) -> str | None:
    """X writes `und`, `zxx` and codes with `q` where there are no words to tell by."""
    return None if code is None or code in {"und", "zxx", "art"} or code[:1] == "q" else code


def _written(tweet_id: str) -> datetime:
    """When a post was written, which its id tells to the millisecond.

    Raises:
        ValueError: it is no id of X.
    """
    return _moment(int(tweet_id) >> SNOWFLAKE_BITS) + SNOWFLAKE_EPOCH


def _moment(milliseconds: str | int) -> datetime:
    return moment_at(int(milliseconds) / 1000)
