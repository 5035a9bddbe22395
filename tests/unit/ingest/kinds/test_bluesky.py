"""Events of Jetstream and of firehoses become posts, interactions and departures, once each."""

import asyncio
import json
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import libipld
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from klankbord_ingest.kind import (
    DepartureSubmission,
    FetchError,
    InteractionSubmission,
    Page,
    PostSubmission,
    Web,
)
from klankbord_ingest.kinds.bluesky import Bluesky, firehose_frame, revision

ADA, BOB = "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:web:bob.example"
REV, LATER_REV = "3mptbypluud2a", "3mptbyz22222a"
V1 = "wss://jetstream.example/subscribe"
V2 = "wss://jetstream.example/xrpc/network.bsky.jetstream.subscribeEvents"
FIREHOSE = "wss://pds.example/xrpc/com.atproto.sync.subscribeRepos"
MICROSECONDS = 1_783_175_887_517_000
SEEN = datetime(2026, 7, 4, 14, 38, 7, 517_000, tzinfo=UTC)
REAL = Path(__file__).parents[5] / "shared" / "real" / "payloads"
POST = "app.bsky.feed.post"


def entry(**fields: Any) -> Bluesky:
    given = {"kind": "bluesky", "name": "sky", "community": "acme", "appview": None}
    wanted = {} if {"dids", "keywords", "handles"} & set(fields) else {"everything": True}
    return Bluesky.model_validate(given | wanted | {"url": V1} | fields)


class Server:
    """A server that says these frames to whoever connects, in place of the web."""

    def __init__(
        self, frames: Iterable[str | bytes] = (), refusal: FetchError | None = None
    ) -> None:
        self.frames, self.refusal = list(frames), refusal
        self.subprotocols: Sequence[str] = ()
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {}

    @asynccontextmanager
    async def websocket(
        self, url: str, subprotocols: Sequence[str] = (), max_bytes: int = 0
    ) -> AsyncGenerator[AsyncIterator[str | bytes], None]:
        self.asked.append(url)
        self.subprotocols = subprotocols
        if self.refusal:
            raise self.refusal
        yield self._said()

    async def _said(self) -> AsyncIterator[str | bytes]:
        for frame in self.frames:
            yield frame

    async def get_json(self, url: str, params: Any = None, headers: Any = None) -> Any:
        self.asked.append(url)
        if url not in self.answers:
            raise FetchError("unreachable", url)
        return self.answers[url]

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(next(url for url in self.asked if url.startswith("ws"))).query)


def heard(server: Server, kind: Bluesky | None = None, cursor: Any = None) -> list[Page]:
    async def listen() -> list[Page]:
        stream = (kind or entry()).stream(cast("Web", server), cursor or {})
        return [page async for page in stream]

    return asyncio.run(listen())


def record(text: str = "De export is stuk", **fields: Any) -> dict[str, Any]:
    return {
        "$type": POST,
        "text": text,
        "langs": ["nl"],
        "createdAt": "1999-01-01T00:00:00Z",
    } | fields


def commit(rkey: str = "3mpt", collection: str = POST, did: str = ADA, **fields: Any) -> str:
    operation = fields.pop("operation", "create")
    told = {"rev": REV, "operation": operation, "collection": collection, "rkey": rkey}
    if operation != "delete":
        told |= {"record": record(), "cid": "bafy"}
    event = {"did": did, "time_us": MICROSECONDS, "kind": "commit", "commit": told | fields}
    return json.dumps(event)


def second(**payload: Any) -> str:
    time = "2026-07-04T14:38:07.517000Z"
    base = {"seq": 7, "did": ADA, "time": time, "rev": REV}
    return json.dumps({"$type": "message", "payload": base | payload})


def frame(header: dict[str, Any], body: dict[str, Any]) -> bytes:
    return libipld.encode_dag_cbor(header) + libipld.encode_dag_cbor(body)


def one_post(pages: Sequence[Page]) -> PostSubmission:
    (post,) = [one for page in pages for one in page.submissions]
    assert isinstance(post, PostSubmission), post
    return post


def about(uri: str) -> dict[str, Any]:
    return {"subject": {"uri": uri, "cid": "bafy"}, "createdAt": "1999-01-01T00:00:00Z"}


def test_a_post_is_dated_by_the_server_and_numbered_by_its_repository() -> None:
    text = "Kijk: acme.example @bob #acme"
    features = [
        {"$type": "app.bsky.richtext.facet#link", "uri": "https://acme.example/"},
        {"$type": "app.bsky.richtext.facet#mention", "did": BOB},
        {"$type": "app.bsky.richtext.facet#tag", "tag": "acme"},
    ]
    told = record(
        text,
        facets=[{"index": {}, "features": [feature]} for feature in features],
        tags=["klank"],
        reply={"root": {"uri": f"at://{BOB}/{POST}/1"}, "parent": {"uri": f"at://{BOB}/{POST}/2"}},
        embed={"external": {"uri": "https://news.example/1"}},
    )
    post = one_post(heard(Server([commit(record=told)])))
    assert post.native_id == f"at://{ADA}/{POST}/3mpt"
    assert post.published == SEEN
    assert post.sequence == revision(REV)
    assert (post.context, post.in_reply_to) == (f"at://{BOB}/{POST}/1", f"at://{BOB}/{POST}/2")
    assert (post.mention, post.tag) == ([BOB], ["acme", "klank"])
    assert post.link == ["https://acme.example/", "https://news.example/1"]
    assert (post.text, post.language) == (text, "nl")
    assert post.url == f"https://bsky.app/profile/{ADA}/post/3mpt"
    assert entry().published_trust == "claimed"


def test_an_edit_and_a_delete_are_later_versions_of_the_same_post() -> None:
    pages = heard(
        Server(
            [
                commit(),
                commit(operation="update", rev="3mptbyq22222a"),
                commit(operation="delete", rev=LATER_REV),
            ]
        )
    )
    posts = [one for page in pages for one in page.submissions if isinstance(one, PostSubmission)]
    assert [post.operation for post in posts] == ["create", "update", "delete"]
    assert len({post.native_id for post in posts}) == 1
    numbers = [post.sequence or 0 for post in posts]
    assert numbers == sorted(set(numbers))
    assert pages[-1].cursor == {"url": V1, "time": MICROSECONDS, "known": []}


@pytest.mark.parametrize(
    ("collection", "kind"),
    [("app.bsky.feed.like", "like"), ("app.bsky.feed.repost", "share")],
)
def test_likes_and_reposts_are_of_posts(collection: str, kind: str) -> None:
    post = f"at://{BOB}/{POST}/1"
    feed = f"at://{BOB}/app.bsky.feed.generator/1"
    frames = [
        commit("a", collection, record=about(post)),
        commit("b", collection, record=about(feed)),
        commit("a", collection, operation="delete"),
    ]
    pages = heard(Server([*frames, commit()]))
    interaction, _ = [one for page in pages for one in page.submissions]
    assert isinstance(interaction, InteractionSubmission)
    assert (interaction.kind, interaction.object) == (kind, post)
    assert interaction.native_id == f"at://{ADA}/{collection}/a"
    assert pages[-1].passed_over == {"no_post": 1, "withdrawn": 1}


def test_a_follow_says_whom() -> None:
    told = {"subject": BOB, "createdAt": "1999-01-01T00:00:00Z"}
    pages = heard(Server([commit("a", "app.bsky.graph.follow", record=told)]))
    (follow,) = pages[-1].submissions
    assert isinstance(follow, InteractionSubmission)
    assert (follow.kind, follow.url) == ("follow", f"https://bsky.app/profile/{BOB}")


@pytest.mark.parametrize("status", ["deleted", "takendown"])
def test_an_account_that_is_gone_departs(status: str) -> None:
    told = {"active": False, "did": ADA, "seq": 5, "status": status, "time": "…"}
    event = {"did": ADA, "time_us": MICROSECONDS, "kind": "account", "account": told}
    (departure,) = heard(Server([json.dumps(event)]))[-1].submissions
    assert isinstance(departure, DepartureSubmission)
    assert (departure.attributed_to.id, departure.published) == (ADA, SEEN)


@pytest.mark.parametrize("told", [{"active": True}, {"active": False, "status": "deactivated"}])
def test_an_account_that_rests_does_not(told: dict[str, Any]) -> None:
    event = {"did": ADA, "time_us": MICROSECONDS, "kind": "account", "account": told}
    pages = heard(Server([json.dumps(event), commit()]))
    assert one_post(pages)
    assert pages[-1].passed_over == {"other": 1}


def test_the_second_jetstream_says_the_same_of_the_same_event() -> None:
    told = {"$type": "network.bsky.jetstream.subscribeEvents#commit", "operation": "create"}
    frames = [
        second(**told, collection=POST, rkey="3mpt", record=record(), cid="bafy"),
        second(
            **{"$type": "network.bsky.jetstream.subscribeEvents#account"},
            account={"active": False, "status": "deleted", "did": ADA},
        ),
    ]
    server = Server(frames)
    pages = heard(server, entry(url=V2))
    by_first = one_post(heard(Server([commit()])))
    assert pages[1].submissions == [by_first]
    assert isinstance(pages[2].submissions[0], DepartureSubmission)
    assert pages[1].cursor == {"url": V2, "seq": 7, "time": MICROSECONDS, "known": []}
    assert server.subprotocols == ["xrpc.v1.json"]


def test_a_firehose_says_the_same_of_the_same_event() -> None:
    frames = list(recorded()) or pytest.skip("../shared/real is not here")
    pages = heard(Server(frames), entry(url=FIREHOSE))
    posts = [one for page in pages for one in page.submissions if isinstance(one, PostSubmission)]
    assert [post.operation for post in posts] == ["create", "create", "delete"]
    assert posts[1].in_reply_to == posts[0].native_id == posts[1].context
    assert posts[2].native_id in {posts[0].native_id, posts[1].native_id}
    assert posts[0].text == "De export is al drie dagen stuk. Wanneer komt er een fix?"
    assert not any(page.refused for page in pages)


def recorded() -> Iterable[bytes]:
    file = REAL / "recorded-from-local-servers" / "atproto" / "subscribeRepos.frames.bin"
    body = file.read_bytes() if file.exists() else b""
    while body:
        (size,) = struct.unpack_from("<I", body)
        yield body[4 : 4 + size]
        body = body[4 + size :]


def test_a_firehose_goes_on_from_its_number() -> None:
    server = Server()
    heard(server, entry(url=FIREHOSE), {"url": FIREHOSE, "seq": 41, "time": 5})
    assert server.query == {"cursor": ["41"]}


def test_a_jetstream_goes_on_a_little_before_it_stopped_and_filters_at_the_source() -> None:
    server = Server()
    now = int(datetime.now(UTC).timestamp()) * 1_000_000
    heard(server, entry(dids=[ADA]), {"url": V1, "time": now})
    assert server.query["cursor"] == [str(now - 5_000_000)]
    assert server.query["wantedDids"] == [ADA]
    assert POST in server.query["wantedCollections"]


def test_who_is_heard_with_those_around_is_filtered_here() -> None:
    server = Server(
        [
            commit("1", did=BOB),
            commit("2", did=BOB, record=record(reply={"parent": {"uri": f"at://{ADA}/{POST}/9"}})),
            commit("3", "app.bsky.feed.like", BOB, record=about(f"at://{ADA}/{POST}/9")),
            commit("4", "app.bsky.feed.like", BOB, record=about(f"at://{BOB}/{POST}/9")),
            commit("5"),
        ]
    )
    pages = heard(server, entry(dids=[ADA], around=True))
    assert "wantedDids" not in server.query
    assert [one.native_id for page in pages for one in page.submissions] == [  # type: ignore[union-attr]
        f"at://{BOB}/{POST}/2",
        f"at://{BOB}/app.bsky.feed.like/3",
        f"at://{ADA}/{POST}/5",
    ]


def test_words_are_heard_whoever_says_them_and_their_deletes_are_known_later() -> None:
    kind = entry(keywords=["Acme Sync"])
    said = [
        commit("1", did=BOB, record=record("Is acme sync weer stuk?")),
        commit("2", did=BOB, record=record("acme synchroon")),
        commit("3", did=ADA, record=record("ja", reply={"root": {"uri": f"at://{BOB}/{POST}/1"}})),
    ]
    pages = heard(Server(said), kind)
    assert sum(len(page.submissions) for page in pages) == 2
    cursor = pages[-1].cursor
    assert pages[-1].passed_over == {"elsewhere": 1}

    deletes = [
        commit("2", did=BOB, operation="delete"),
        commit("1", did=BOB, operation="delete", rev=LATER_REV),
    ]
    (_, page) = heard(Server(deletes), kind, cursor)
    assert one_post([page]).operation == "delete"
    assert one_post([page]).native_id == f"at://{BOB}/{POST}/1"


def test_handles_are_looked_up_and_authors_get_their_names() -> None:
    server = Server([commit(did=BOB)])
    server.answers = {
        "https://api.example/xrpc/com.atproto.identity.resolveHandle": {"did": BOB},
        "https://api.example/xrpc/app.bsky.actor.getProfiles": {
            "profiles": [{"did": BOB, "handle": "bob.example", "displayName": "Bob", "labels": []}]
        },
    }
    post = one_post(heard(server, entry(handles=["bob.example"], appview="https://api.example")))
    author = post.attributed_to
    assert author is not None
    assert (author.id, author.preferred_username, author.name) == (BOB, "bob.example", "Bob")
    assert server.query["wantedDids"] == [BOB]


def test_without_names_members_are_heard_all_the_same() -> None:
    post = one_post(heard(Server([commit()]), entry(appview="https://api.example")))
    assert post.attributed_to is not None
    assert not post.attributed_to.is_described


def told(page: Page) -> list[str]:
    return [error.code for error in page.refused]


def test_a_cursor_that_jetstream_moves_up_silently_is_noticed() -> None:
    (page,) = heard(Server(), None, {"url": V1, "time": MICROSECONDS})
    assert told(page) == ["missed"]
    assert page.cursor is not None
    assert page.cursor["time"] > MICROSECONDS  # type: ignore[operator]


def test_a_cursor_that_is_too_old_is_told_and_the_time_takes_its_place() -> None:
    refusal = FetchError("bad_answer", "answered 400 and says 'CursorTooOld: floor 900'")
    cursor = {"url": V2, "seq": 7, "time": MICROSECONDS}
    (page,) = heard(Server(refusal=refusal), entry(url=V2), cursor)
    assert told(page) == ["missed"]
    server = Server()
    heard(server, entry(url=V2), page.cursor)
    assert server.query["cursor"] == [str(MICROSECONDS)]
    with pytest.raises(FetchError, match="CursorTooOld"):
        heard(Server(refusal=refusal), entry(url=V2), page.cursor)


def test_notices_of_the_server_are_told() -> None:
    info = {"$type": "network.bsky.jetstream.subscribeEvents#info", "name": "OutdatedCursor"}
    body = json.dumps({"$type": "message", "payload": info | {"message": "from 900"}})
    assert told(heard(Server([body]), entry(url=V2))[-1]) == ["missed"]
    outdated = frame({"op": 1, "t": "#info"}, {"name": "OutdatedCursor", "message": None})
    assert told(heard(Server([outdated]), entry(url=FIREHOSE))[-1]) == ["missed"]


def test_a_firehose_that_counts_anew_is_heard_from_now_on() -> None:
    future = frame({"op": -1}, {"error": "FutureCursor", "message": "Cursor in the future."})
    page = heard(Server([future]), entry(url=FIREHOSE), {"url": FIREHOSE, "seq": 9})[-1]
    assert told(page) == ["missed"]
    assert page.cursor == {"url": FIREHOSE, "known": []}


def test_another_server_goes_on_by_time_where_it_can() -> None:
    server = Server()
    now = int(datetime.now(UTC).timestamp()) * 1_000_000
    cursor = {"url": "wss://other.example/subscribe", "time": now}
    heard(server, entry(url=V2), cursor)
    assert server.query["cursor"] == [str(now - 60_000_000)]
    (page,) = heard(Server(), entry(url=FIREHOSE), cursor)
    assert told(page) == ["missed"]


def test_a_server_that_throws_us_out_says_why() -> None:
    slow = json.dumps({"$type": "error", "error": "ConsumerTooSlow", "message": "read faster"})
    with pytest.raises(FetchError, match="ConsumerTooSlow: read faster"):
        heard(Server([slow]), entry(url=V2))


def test_a_bad_frame_hinders_no_other() -> None:
    frames: list[str | bytes] = [
        "{half",
        "[]",
        commit(record={"text": 5}),
        commit(record=[]),
        commit(rev="no revision"),
        commit(record=record(reply=[5], facets="x")),
        b"\xff",
        commit(),
    ]
    pages = heard(Server(frames))
    assert one_post(pages)
    assert sum(len(page.refused) > 0 for page in pages) == 7


def test_the_cursor_moves_on_although_nothing_is_for_us() -> None:
    pages = heard(Server([commit(did=BOB)] * 1001), entry(dids=[ADA]))
    assert [page.passed_over.get("elsewhere") for page in pages] == [None, 500, 500]
    assert all(page.cursor for page in pages)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reading_of_a_firehose(body: bytes) -> None:
    pages = heard(Server([body]), entry(url=FIREHOSE))
    assert len(pages) == 2


def test_a_frame_whose_blocks_lack_the_record_is_refused_alone() -> None:
    op = {"action": "create", "path": f"{POST}/1", "cid": None}
    body = {"seq": 1, "repo": ADA, "rev": REV, "time": "2026-07-04T14:38:07.517Z"}
    without = frame({"op": 1, "t": "#commit"}, body | {"ops": [op], "blocks": b""})
    assert firehose_frame(without).events[0].record is None
    page = heard(Server([without]), entry(url=FIREHOSE))[-1]
    assert len(page.refused) == 1
    assert page.cursor is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"everything": False},
        {"url": "wss://jetstream.example/other"},
        {"handles": ["bob.example"]},
        {"dids": ["bob"]},
    ],
)
def test_an_entry_says_whom_to_hear_and_how(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        entry(**fields)


@pytest.mark.parametrize("url", [V1, V2])
def test_a_connection_that_breaks_before_its_first_event_misses_nothing(url: str) -> None:
    before = int(datetime.now(UTC).timestamp())
    (page,) = heard(Server(), entry(url=url))
    assert page.cursor is not None
    assert int(str(page.cursor["time"])) >= before * 1_000_000


def test_what_programs_write_beside_the_protocol_costs_no_post() -> None:
    told = record(
        langs=["日本語", "pt-BR"],
        facets=[{"features": [{"uri": "https://a.example/" + "x" * 3000}, {"tag": "a"}]}],
        tags=["b"] * 200,
    )
    post = one_post(heard(Server([commit(record=told)])))
    assert (post.language, post.link, len(post.tag)) == ("pt-BR", [], 100)


def test_a_did_with_a_port_is_asked_for_as_it_is() -> None:
    server = Server()
    heard(server, entry(dids=["did:web:localhost%3A8080"]))
    assert server.query["wantedDids"] == ["did:web:localhost%3A8080"]


DEEP = '{"deep": ' + "[" * 5000 + "]" * 5000 + "}"


@pytest.mark.parametrize(
    ("url", "spoiled"),
    [
        (V1, commit("deep").replace(json.dumps(record()), DEEP)),
        (V2, second(**{"$type": "#commit"}).replace('"#commit"', DEEP)),
        (FIREHOSE, libipld.encode_dag_cbor({"op": 1, "t": "#commit"}) + b"\x81" * 5000 + b"\x80"),
        (V1, commit("a\0b")),
        (V1, commit("a\ud800")),
        (V1, commit(did=cast("Any", ["did:plc:x"]))),
        (V1, commit(operation=cast("Any", {}))),
        (V1, commit().replace(str(MICROSECONDS), "1e999")),
    ],
    ids=["json 1", "json 2", "cbor", "nul", "surrogate", "list", "object", "endless"],
)
def test_no_record_that_a_stranger_writes_ends_the_stream(url: str, spoiled: str | bytes) -> None:
    pages = heard(Server([spoiled]), entry(url=url))
    (refused,) = [error for page in pages for error in page.refused]
    assert refused.code == "malformed"
    assert refused.why.isprintable()
