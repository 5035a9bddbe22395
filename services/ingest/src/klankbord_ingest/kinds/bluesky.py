"""Bluesky, and other servers of the AT Protocol: what Jetstream or a firehose says as it is said.

Three wires are understood, told apart by the last part of the address:

- `/subscribe`: Jetstream 1, https://github.com/bluesky-social/jetstream
- `/xrpc/network.bsky.jetstream.subscribeEvents`: Jetstream 2, by its lexicon of that name
- `/xrpc/com.atproto.sync.subscribeRepos`: a relay's or a server's own firehose,
  https://atproto.com/specs/sync#firehose
"""

import json
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import urlencode

import libipld
from pydantic import Field, HttpUrl, StringConstraints, WebsocketUrl, model_validator

from klankbord_ingest.kind import (
    Cursor,
    DepartureSubmission,
    FetchError,
    FieldError,
    Page,
    PassedOver,
    Stream,
    Told,
    Web,
    gathered,
)
from klankbord_ingest.remembered import Remembered
from klankbord_schemas.trust import PublishedTrust
from klankbord_schemas.types import MAX_LINE, MAX_LINKS, MAX_MENTIONS, MAX_TAGS, Line

POST, LIKE = "app.bsky.feed.post", "app.bsky.feed.like"
REPOST, FOLLOW = "app.bsky.feed.repost", "app.bsky.graph.follow"
JETSTREAM_1, JETSTREAM_2 = "/subscribe", "network.bsky.jetstream.subscribeEvents"
FIREHOSE = "com.atproto.sync.subscribeRepos"
SUBPROTOCOL = "xrpc.v1.json"
"""How frames of Jetstream 2 are written: proposal 0015 of the AT Protocol."""
KEPT = timedelta(hours=36)
"""How far back Jetstream 1 goes. An older cursor it moves up without a word."""
OVERLAP = timedelta(seconds=5)
"""Jetstream 1 orders by time: what was said in one moment may lie on both sides of a cursor."""
CLOCKS_APART = timedelta(minutes=1)
"""Between two servers that tell of the same events."""
MAX_FRAME = 5 * 1024 * 1024
"""The largest frame of a firehose."""
MAX_NAMES = 10_000
"""Of how many authors one connection remembers the names."""
SILENT = 500
"""After how many events that are not for us the cursor moves all the same."""
LANGUAGE = re.compile("[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8}){0,3}")
"""BCP 47, https://www.rfc-editor.org/info/bcp47; programs write other things there as well."""
GONE = frozenset({"deleted", "takendown"})
TID = re.compile("[2-7a-j][2-7a-z]{12}")
TID_LETTERS = "234567abcdefghijklmnopqrstuvwxyz"

Did = Annotated[
    str, StringConstraints(pattern=r"^did:[a-z]+:[A-Za-z0-9._:%-]*[A-Za-z0-9._-]$", max_length=300)
]
"""A decentralised identifier: `did:plc:ewvi7nxzyoun6zhxrhs64oiz`."""
Handle = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")]
"""A handle, without `@`: `acme.example`."""
Record = Mapping[str, Any]


class Event(NamedTuple):
    """One event, whichever wire it came by."""

    kind: str
    """`commit`, `account`, `identity` or `sync`."""
    did: str
    """Whose repository."""
    time: datetime
    """When the server saw it."""
    operation: str = ""
    """Of a commit: `create`, `update` or `delete`."""
    collection: str = ""
    rkey: str = ""
    rev: str = ""
    """The revision of the repository that it made: higher is later."""
    record: Record | None = None
    account: Mapping[str, Any] | None = None
    """Of an account: `{active, status}`."""

    @property
    def uri(self) -> str:
        """What the record is called everywhere."""
        return f"at://{self.did}/{self.collection}/{self.rkey}"


class Frame(NamedTuple):
    """What one message of a socket holds."""

    events: Sequence[Event] = ()
    at: Mapping[str, int] = {}
    """Where to go on after it: `seq`, and `time` in microseconds since 1970."""
    notice: str | None = None
    """What the server says of the cursor: from where it goes on, and that something was missed."""
    error: str | None = None
    """Why the server ends the connection."""


class Interest(NamedTuple):
    """Which events are for us."""

    everything: bool = False
    dids: frozenset[str] = frozenset()
    words: re.Pattern[str] | None = None
    around: bool = False

    def covers(self, event: Event, known: Remembered) -> bool:
        """Whether to hear it."""
        if self.everything or event.kind == "account" or event.did in self.dids:
            return True
        if known.get(event.uri) is not None:
            return True
        record = event.record if isinstance(event.record, dict) else {}
        named = set(_named_in(event.collection, record))
        if any(known.get(uri) is not None for uri in named):
            return True
        if self.around and any(_did_of(uri) in self.dids for uri in named):
            return True
        text = record.get("text") if event.collection == POST else None
        return self.words is not None and bool(isinstance(text, str) and self.words.search(text))


class Bluesky(Stream):
    """Posts, answers, likes, reposts and follows of accounts, or with words, or all of a server."""

    kind: Literal["bluesky"]
    published_trust: PublishedTrust = "claimed"
    url: WebsocketUrl = WebsocketUrl("wss://jetstream2.us-east.bsky.network/subscribe")
    """A Jetstream, or a firehose: see above."""
    dids: Annotated[tuple[Did, ...], Field(max_length=100)] = ()
    """The accounts that are heard."""
    handles: Annotated[tuple[Handle, ...], Field(max_length=100)] = ()
    """The same by their handles, which are looked up each time that it connects."""
    around: bool = False
    """Whether to hear also who answers, mentions, quotes, likes, reposts or follows them."""
    keywords: Annotated[tuple[Line, ...], Field(max_length=100)] = ()
    """Words and phrases: a post with one of them is heard, whoever wrote it, and who answers it."""
    everything: bool = False
    """Whether to hear all: of a server of your own, not of the network."""
    collections: tuple[Literal["post", "like", "repost", "follow"], ...] = (
        "post",
        "like",
        "repost",
        "follow",
    )
    """Which records are heard."""
    appview: HttpUrl | None = HttpUrl("https://public.api.bsky.app")
    """Where handles and names are looked up; `null`: nowhere, and members have no names."""

    @model_validator(mode="after")
    def _says_whom(self) -> Self:
        if not (self.dids or self.handles or self.keywords or self.everything):
            raise ValueError(
                "says nothing of whom to hear; add dids, handles or keywords, or for a server of "
                "your own `everything: true`"
            )
        if self.handles and self.appview is None:
            raise ValueError("handles need an appview to look them up; write dids, or an appview")
        if not str(self.url).endswith((JETSTREAM_1, JETSTREAM_2, FIREHOSE)):
            raise ValueError(f"url ends with none of {JETSTREAM_1}, {JETSTREAM_2}, {FIREHOSE}")
        return self

    @property
    def own_platform(self) -> str:
        """One for all servers: a record has the same name on each."""
        return "bluesky"

    async def stream(self, web: Web, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """What is said from the cursor on."""
        now = datetime.now(UTC)
        resume, notice = self._resumed(cursor, now)
        if not resume and self._wire != FIREHOSE:
            # So that nothing is missed where the connection breaks before the first event.
            resume = {"time": _microseconds(now)}
        interest = await self._interest(web)
        known = Remembered(cursor.get("known"))
        is_connected = False
        try:
            async with web.websocket(
                self._address(interest, resume),
                subprotocols=[SUBPROTOCOL] if self._wire == JETSTREAM_2 else [],
                max_bytes=MAX_FRAME,
            ) as socket:
                is_connected = True
                yield Page(refused=_missed(notice), cursor=self._kept(resume, known))
                async with aclosing(self._pages(web, aiter(socket), interest, known)) as pages:
                    async for page in pages:
                        yield page
        except FetchError as error:
            if is_connected or error.code != "bad_answer" or "seq" not in resume:
                raise
            # Most likely `CursorTooOld`: by time, the server goes back as far as it can.
            by_time = {"time": resume["time"]} if "time" in resume else {}
            yield Page(refused=_missed(str(error)), cursor=self._kept(by_time, known))

    async def _pages(
        self,
        web: Web,
        messages: AsyncIterator[str | bytes],
        interest: Interest,
        known: Remembered,
    ) -> AsyncGenerator[Page, None]:
        names: dict[str, dict[str, Any]] = {}
        passed_over: Counter[str] = Counter()
        async for message in messages:
            try:
                frame = self._frame(message)
            except _NO_FRAME as error:
                why = f"is no frame of {self._wire}: {error}"[:300]
                yield Page(refused=[FieldError(0, "", why, "malformed")])
                continue
            if frame.error is not None:
                # `FutureCursor`: the server was set up anew, and its numbers with it.
                if frame.error.startswith("FutureCursor"):
                    yield Page(refused=_missed(frame.error), cursor=self._kept({}, known))
                    return
                raise FetchError("ended", f"{self.url} ended the connection: {frame.error}")
            wanted = [event for event in frame.events if interest.covers(event, known)]
            passed_over["elsewhere"] += len(frame.events) - len(wanted)
            known.keep((event.uri, "") for event in wanted if self._is_to_be_known(event, interest))
            await self._look_up(web, wanted, names)
            page = gathered(wanted, lambda event: self._said(event, names))
            passed_over.update(page.passed_over)
            refused = [*page.refused, *_missed(frame.notice)]
            if page.submissions or refused or passed_over.total() >= SILENT:
                cursor = self._kept(frame.at, known) if frame.at else None
                yield replace(page, refused=refused, passed_over=+passed_over, cursor=cursor)
                passed_over.clear()

    def _said(
        self, event: Event, names: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[Mapping[str, Any] | Told]:
        """What an event says."""
        if event.kind == "account":
            yield _departure(event)
            return
        if event.kind != "commit" or event.collection not in self._wanted:
            raise PassedOver("other")
        who = names.get(event.did, {"id": event.did})
        if event.operation == "delete":
            if event.collection != POST:
                raise PassedOver("withdrawn")
            yield {
                "nativeId": event.uri,
                "operation": "delete",
                "sequence": revision(event.rev),
                "attributedTo": event.did,
            }
            return
        if event.record is None:
            raise ValueError("a commit without its record")
        if event.collection == POST:
            yield _post(event, event.record, who)
        else:
            yield _interaction(event, event.record, who)

    def _frame(self, message: str | bytes) -> Frame:
        if self._wire == FIREHOSE:
            if isinstance(message, str):
                raise ValueError("a text message")
            return firehose_frame(message)
        given = json.loads(message)
        return jetstream_1_frame(given) if self._wire == JETSTREAM_1 else jetstream_2_frame(given)

    def _is_to_be_known(self, event: Event, interest: Interest) -> bool:
        """Whether its delete would tell by nothing else that it was heard."""
        is_post = event.collection == POST and event.operation in {"create", "update"}
        return is_post and not interest.everything and event.did not in interest.dids

    def _resumed(self, cursor: Cursor, now: datetime) -> tuple[dict[str, int], str | None]:
        """From where to go on, and what is to be said of it."""
        seq, time = cursor.get("seq"), cursor.get("time")
        is_same = cursor.get("url") == str(self.url)
        resume = {"seq": seq} if isinstance(seq, int) and is_same else {}
        if isinstance(time, int):
            resume["time"] = time
        if self._wire == FIREHOSE and not is_same and cursor:
            return {}, "another firehose counts otherwise: it is heard from now on"
        if self._wire == FIREHOSE or "time" not in resume:
            return resume, None
        if not is_same:
            resume["time"] -= CLOCKS_APART // timedelta(microseconds=1)
        oldest = _microseconds(now - KEPT)
        if self._wire == JETSTREAM_1 and resume["time"] < oldest:
            resume["time"] = oldest
            hours = KEPT // timedelta(hours=1)
            return resume, f"nobody listened for longer than the {hours} hours that Jetstream keeps"
        return resume, None

    def _kept(self, at: Mapping[str, int], known: Remembered) -> Cursor:
        return {"url": str(self.url), **at, "known": known.cursor}

    def _address(self, interest: Interest, resume: Mapping[str, int]) -> str:
        """The subscription, filtered by the server as far as it can."""
        is_for_few = bool(interest.dids) and not (
            interest.everything or interest.around or interest.words
        )
        dids = sorted(interest.dids) if is_for_few else []
        pairs: list[tuple[str, str]] = []
        collections = sorted(self._wanted)
        if self._wire == JETSTREAM_1:
            pairs += [("wantedCollections", one) for one in collections]
            pairs += [("wantedDids", did) for did in dids]
            if "time" in resume:
                overlap = OVERLAP // timedelta(microseconds=1)
                pairs.append(("cursor", str(resume["time"] - overlap)))
        elif self._wire == JETSTREAM_2:
            pairs += [("kinds", "commit"), ("kinds", "account")]
            pairs += [("collections", one) for one in collections]
            pairs += [("dids", did) for did in dids]
        if self._wire != JETSTREAM_1:
            # A firehose knows no time; Jetstream 2 tells a time from a number by its size.
            time = resume.get("time") if self._wire == JETSTREAM_2 else None
            if (at := resume.get("seq", time)) is not None:
                pairs.append(("cursor", str(at)))
        return f"{self.url}?{urlencode(pairs)}" if pairs else str(self.url)

    async def _interest(self, web: Web) -> Interest:
        """Whom to hear, with the handles looked up."""
        found = set(self.dids)
        for handle in self.handles:
            address = f"{str(self.appview).rstrip('/')}/xrpc/com.atproto.identity.resolveHandle"
            answer = await web.get_json(address, {"handle": handle})
            if not (isinstance(answer, dict) and isinstance(answer.get("did"), str)):
                raise FetchError("bad_answer", f"{address} does not say whose handle {handle} is")
            found.add(answer["did"])
        words = "|".join(re.escape(word) for word in self.keywords)
        pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE) if words else None
        return Interest(self.everything, frozenset(found), pattern, self.around)

    async def _look_up(
        self, web: Web, events: Sequence[Event], names: dict[str, dict[str, Any]]
    ) -> None:
        """Find out what authors of posts are called, each once in a connection.

        Events name nobody. Without an answer members are heard all the same, as their DIDs.
        """
        if self.appview is None:
            return
        missing = {
            event.did
            for event in events
            if event.collection == POST and event.record is not None and event.did not in names
        }
        if not missing:
            return
        if len(names) > MAX_NAMES:
            names.clear()
        for did in missing:
            names[did] = {"id": did}
        address = f"{str(self.appview).rstrip('/')}/xrpc/app.bsky.actor.getProfiles"
        try:
            answer = await web.get_json(address, {"actors": sorted(missing)[:25]})
        except FetchError:
            return
        profiles = answer.get("profiles") if isinstance(answer, dict) else None
        for profile in profiles if isinstance(profiles, list) else []:
            match profile:
                case {"did": str(did), "handle": str(handle)} if did in missing:
                    names[did] = {
                        "id": did,
                        "preferredUsername": handle,
                        "name": profile.get("displayName") or None,
                        "icon": profile.get("avatar"),
                        "type": "Service" if _is_bot(profile) else "Person",
                    }

    @property
    def _wire(self) -> str:
        endings = (JETSTREAM_2, FIREHOSE, JETSTREAM_1)
        return next(ending for ending in endings if str(self.url).endswith(ending))

    @property
    def _wanted(self) -> frozenset[str]:
        known = {"post": POST, "like": LIKE, "repost": REPOST, "follow": FOLLOW}
        return frozenset(known[name] for name in self.collections)


_NO_FRAME = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    ArithmeticError,
    RecursionError,  # anybody may write a record that nests a thousand lists
)


def jetstream_1_frame(given: Mapping[str, Any]) -> Frame:
    """An event of Jetstream 1: `{did, time_us, kind, commit | identity | account}`."""
    time = _moment(int(given["time_us"]))
    commit = given.get("commit") or {}
    event = _event(given["kind"], given["did"], time, commit, given.get("account"))
    return Frame([event], {"time": int(given["time_us"])})


def jetstream_2_frame(given: Mapping[str, Any]) -> Frame:
    """A frame of Jetstream 2: `{$type: message | error, …}`."""
    if given["$type"] == "error":
        return Frame(error=_told(given))
    payload = given["payload"]
    kind = payload["$type"].rpartition("#")[2]
    if kind == "info":
        return Frame(notice=f"{payload['name']}: {payload.get('message') or ''}")
    time = datetime.fromisoformat(payload.get("witnessedAt") or payload["time"])
    event = _event(kind, payload["did"], time, payload, payload.get("account"))
    return Frame([event], {"seq": int(payload["seq"]), "time": _microseconds(time)})


def firehose_frame(message: bytes) -> Frame:
    """A frame of a firehose: two objects in DAG-CBOR, a header and what it heads.

    See https://atproto.com/specs/event-stream; records are in the CAR file of a commit.
    """
    header, body = libipld.decode_dag_cbor_multi(message)
    if header["op"] == -1:
        return Frame(error=_told(body))
    kind = header["t"].removeprefix("#")
    if kind == "info":
        return Frame(notice=_told({"error": body["name"], "message": body.get("message")}))
    time = datetime.fromisoformat(body["time"])
    at = {"seq": int(body["seq"]), "time": _microseconds(time)}
    if kind != "commit":
        return Frame([_event(kind, body["did"], time, {}, body)], at)
    blocks: Mapping[bytes, Any] = libipld.decode_car(body["blocks"])[1] if body["blocks"] else {}
    events = []
    for op in body["ops"]:
        collection, _, rkey = op["path"].partition("/")
        commit = {
            "operation": op["action"],
            "collection": collection,
            "rkey": rkey,
            "rev": body["rev"],
            "record": blocks.get(op["cid"]) if op.get("cid") else None,
        }
        events.append(_event("commit", body["repo"], time, commit, None))
    return Frame(events, at)


def revision(rev: str) -> int:
    """The number that a revision of a repository is: https://atproto.com/specs/tid.

    Raises:
        ValueError: it is none.
    """
    if not TID.fullmatch(rev):
        raise ValueError(f"{rev[:40]!r} is no revision")
    number = 0
    for letter in rev:
        number = number << 5 | TID_LETTERS.index(letter)
    return number


def _event(
    kind: str,
    did: str,
    time: datetime,
    commit: Mapping[str, Any],
    account: Mapping[str, Any] | None,
) -> Event:
    if kind != "commit":
        return Event(kind, _name(did), time, account=account)
    return Event(
        kind,
        _name(did),
        time,
        _name(commit["operation"]),
        _name(commit["collection"]),
        _name(commit["rkey"]),
        commit["rev"],
        commit.get("record"),
    )


def _name(given: str) -> str:
    """A part of a record's address: https://atproto.com/specs/at-uri-scheme.

    Raises:
        TypeError: it is no text.
        ValueError: it holds what no address does, and no table either.
    """
    if not (given.isascii() and given.isprintable()):
        raise ValueError(f"{given[:40]!r} is no part of a record's address")
    return given


def _post(event: Event, record: Record, who: Mapping[str, Any]) -> dict[str, Any]:
    """A post: https://github.com/bluesky-social/atproto, lexicon app.bsky.feed.post.

    When its author says that it was written counts for nothing: it is dated by the server.
    """
    reply = record.get("reply") or {}
    features = [
        feature for facet in record.get("facets") or [] for feature in facet.get("features") or []
    ]
    external = (record.get("embed") or {}).get("external") or {}
    links = [*_each(features, "uri"), *([external["uri"]] if external.get("uri") else [])]
    tags = [*_each(features, "tag"), *(record.get("tags") or [])]
    return {
        "nativeId": event.uri,
        "operation": event.operation,
        "sequence": revision(event.rev),
        "published": event.time,
        "attributedTo": who,
        "inReplyTo": (reply.get("parent") or {}).get("uri"),
        "context": (reply.get("root") or {}).get("uri"),
        "url": f"https://bsky.app/profile/{event.did}/post/{event.rkey}",
        "content": record["text"],
        "language": _language(record.get("langs") or []),
        "tag": tags[:MAX_TAGS],
        "mention": _each(features, "did")[:MAX_MENTIONS],
        "link": [link for link in links if len(link) <= MAX_LINE][:MAX_LINKS],
    }


def _language(tags: Sequence[str]) -> str | None:
    """The first language that its author's program named, of those that are one at all."""
    return next(filter(LANGUAGE.fullmatch, tags), None)


def _interaction(event: Event, record: Record, who: Mapping[str, Any]) -> dict[str, Any]:
    """A like, a repost or a follow, with a subject each."""
    said: dict[str, Any] = {
        "nativeId": event.uri,
        "published": event.time,
        "attributedTo": who,
    }
    if event.collection == FOLLOW:
        return said | {"kind": "follow", "url": f"https://bsky.app/profile/{record['subject']}"}
    about = record["subject"]["uri"]
    if f"/{POST}/" not in about:
        raise PassedOver("no_post")  # feeds and labellers are liked, too
    return said | {"kind": "like" if event.collection == LIKE else "share", "object": about}


def _departure(event: Event) -> DepartureSubmission:
    account = event.account or {}
    if account.get("active") or account.get("status") not in GONE:
        raise PassedOver("other")
    return DepartureSubmission.model_validate({"attributedTo": event.did, "published": event.time})


def _named_in(collection: str, record: Record) -> Iterator[str]:
    """The records and accounts that a record is about; nothing where it is not as documented."""
    subject = record.get("subject")
    match subject:
        case str():
            yield f"at://{subject}"
        case {"uri": str(uri)}:
            yield uri
    if collection != POST:
        return
    reply, embed = record.get("reply"), record.get("embed")
    quoted = embed.get("record") if isinstance(embed, dict) else None
    within = quoted.get("record") if isinstance(quoted, dict) else None
    answered = [reply.get("parent"), reply.get("root")] if isinstance(reply, dict) else []
    for one in (*answered, quoted, within):
        match one:
            case {"uri": str(uri)}:
                yield uri
    facets = record.get("facets")
    for facet in facets if isinstance(facets, list) else []:
        features = facet.get("features") if isinstance(facet, dict) else None
        for feature in features if isinstance(features, list) else []:
            match feature:
                case {"did": str(did)}:
                    yield f"at://{did}"


def _did_of(uri: str) -> str:
    return uri.removeprefix("at://").partition("/")[0]


def _each(features: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [feature[name] for feature in features if name in feature]


def _is_bot(profile: Mapping[str, Any]) -> bool:
    """Whether an account labels itself a bot."""
    labels = profile.get("labels")
    return any(
        isinstance(one, dict) and one.get("val") == "bot" and one.get("src") == profile["did"]
        for one in (labels if isinstance(labels, list) else [])
    )


def _missed(notice: str | None) -> list[FieldError]:
    """What to say where something may have been missed; shown with the source's health."""
    if notice is None:
        return []
    return [FieldError(None, "cursor", f"may have missed something: {notice}"[:300], "missed")]


def _told(error: Mapping[str, Any]) -> str:
    return f"{error['error']}: {error.get('message') or ''}".rstrip(": ")


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)


def _microseconds(moment: datetime) -> int:
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
