"""Matrix: what events say, who may push them, and what is asked of a homeserver."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from klankbord_ingest.fetch import Fetched
from klankbord_ingest.keys import SourceKeys
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
)
from klankbord_ingest.kinds import matrix
from klankbord_ingest.kinds.matrix import Matrix
from klankbord_schemas.community import Community

ROOM, OTHER = "!room:comm.test", "!other:comm.test"
HS_TOKEN = b"hs-0123456789abcdef"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
STAMP = 1_795_348_800_000
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
REAL = Path(__file__).parents[5] / "shared" / "real" / "payloads"
MENTION: dict[str, Any] = {"m.mentions": {"user_ids": ["@bob:comm.test"]}}
TRANSACTION = "/_matrix/app/v1/transactions/7"


def kind(**fields: Any) -> Matrix:
    given = {"name": "chat", "community": "demo", "kind": "matrix", "rooms": [ROOM], **fields}
    return Matrix.model_validate(given)


def source(entry: Matrix) -> Source:
    home = Community(slug="demo", name="Demo", time_zone="UTC", languages=("en",))
    return Source("chat", home, "matrix", entry.own_platform, "attested", None, entry)


def request(
    body: bytes = b"{}",
    token: bytes | None = HS_TOKEN,
    path: str = TRANSACTION,
    method: str = "PUT",
) -> Request:
    headers = [] if token is None else [(b"authorization", b"Bearer " + token)]
    return Request(method, path, {}, [(b"content-type", b"application/json"), *headers], body)


def read(*events: Mapping[str, Any], entry: Matrix | None = None) -> Page:
    entry = entry or kind()
    body = json.dumps({"events": events}).encode()
    return entry.read(request(body), source(entry), NOW)


def event(kind: str = "m.room.message", **fields: Any) -> dict[str, Any]:
    common = {"event_id": "$e1", "room_id": ROOM, "sender": "@ann:comm.test"}
    return {**common, "origin_server_ts": STAMP, "type": kind, "content": {}, **fields}


def message(body: str = "Hej!", called: str = "$e1", **content: Any) -> dict[str, Any]:
    return event(event_id=called, content={"msgtype": "m.text", "body": body, **content})


def relates(**relation: Any) -> dict[str, Any]:
    """What relates a message to another; an answered event is given as `answers`."""
    answered = relation.pop("answers", None)
    answer = {"m.in_reply_to": {"event_id": answered}} if answered else {}
    return {"m.relates_to": {**relation, **answer}}


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


# -- what events say -----------------------------------------------------------------------------


def test_a_message_is_a_post() -> None:
    said = post(read(message("Hej!", **MENTION)))
    assert (said.native_id, said.content, said.published) == ("$e1", "Hej!", AT)
    assert said.operation == "create"
    assert said.updated is None
    assert said.attributed_to is not None
    assert said.attributed_to.id == "@ann:comm.test"
    assert not said.attributed_to.is_automated
    assert said.mention == ["@bob:comm.test"]
    assert said.url == "https://matrix.to/#/%21room%3Acomm.test/%24e1"


def test_html_is_kept_and_sanitised() -> None:
    html = "<mx-reply><blockquote>before</blockquote></mx-reply><b>Hi</b><script>no</script>"
    page = read(
        message("> <@bob:comm.test> before\n\nHi", format="org.matrix.custom.html",
                formatted_body=html, **relates(answers="$e0"))
    )  # fmt: skip
    said = post(page)
    assert (said.content, said.content_html) == ("Hi", "<b>Hi</b>")
    assert said.in_reply_to == "$e0"
    assert said.context is None


def test_who_quotes_without_answering_keeps_the_quote() -> None:
    assert post(read(message("> <b> is a tag\nno?"))).content == "> <b> is a tag\nno?"


def test_a_reply_that_only_quotes_is_kept_whole() -> None:
    body = "> <@bob:comm.test> before"
    page = read(message(body, **relates(answers="$e0")))
    assert post(page).content == body


@pytest.mark.parametrize(
    ("is_falling_back", "answered"), [(True, "$root"), (False, "$e0"), (None, "$e0")]
)
def test_a_thread_is_context_and_its_fallback_no_answer(
    is_falling_back: bool | None, answered: str
) -> None:
    thread = relates(
        rel_type="m.thread", event_id="$root", is_falling_back=is_falling_back, answers="$e0"
    )
    said = post(read(message(**thread)))
    assert (said.context, said.in_reply_to) == ("$root", answered)


def test_an_edit_is_an_update_of_the_original() -> None:
    relation = {"rel_type": "m.replace", "event_id": "$e1"}
    new = {"msgtype": "m.text", "body": "Hej all!"}
    edit = message("* Hej all!", "$e2", **{"m.new_content": new, "m.relates_to": relation})
    said = post(read(edit))
    assert (said.native_id, said.operation, said.content) == ("$e1", "update", "Hej all!")
    assert said.updated == AT


@pytest.mark.parametrize(
    "fields",
    [
        {"redacts": "$e1", "content": {"reason": "spam"}},
        {"content": {"reason": "spam", "redacts": "$e1"}},
    ],
    ids=["before room version 11", "since room version 11"],
)
def test_a_redaction_is_a_delete_of_what_it_redacts(fields: dict[str, Any]) -> None:
    said = post(read(event("m.room.redaction", event_id="$e9", **fields)))
    assert (said.native_id, said.operation, said.content) == ("$e1", "delete", "")


def test_what_was_redacted_is_passed_over_and_not_refused() -> None:
    gone = event(unsigned={"redacted_because": {}})
    page = read(gone, event("m.reaction"), message("still here", "$e3"))
    assert post(page).native_id == "$e3"
    assert page.passed_over == {"deleted": 1, "withdrawn": 1}


def test_a_reaction_is_a_like_with_its_emoji() -> None:
    relation = {"rel_type": "m.annotation", "event_id": "$e1", "key": "👍"}
    said = interaction(read(event("m.reaction", event_id="$r", content={"m.relates_to": relation})))
    assert (said.kind, said.native_id, said.object, said.content) == ("like", "$r", "$e1", "👍")
    assert said.attributed_to is not None
    assert said.attributed_to.id == "@ann:comm.test"


def membership(now: str, before: str | None, **content: Any) -> dict[str, Any]:
    unsigned = {} if before is None else {"prev_content": {"membership": before}}
    given = {"membership": now, "displayname": "Bob", **content}
    return event("m.room.member", state_key="@bob:comm.test", content=given, unsigned=unsigned)


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        ("join", None, "join"),
        ("join", "leave", "join"),
        ("join", "invite", "join"),
        ("leave", "join", "leave"),
        ("ban", "join", "leave"),
    ],
)
def test_members_join_and_leave(now: str, before: str | None, expected: str) -> None:
    said = interaction(read(membership(now, before)))
    assert said.kind == expected
    assert said.object is None
    assert said.attributed_to is not None
    assert said.attributed_to.id == "@bob:comm.test"


@pytest.mark.parametrize(
    ("now", "before"),
    [("join", "join"), ("leave", "invite"), ("invite", None), ("leave", "ban"), ("ban", "leave")],
)
def test_who_was_not_in_does_not_leave_and_a_new_name_is_no_join(
    now: str, before: str | None
) -> None:
    assert read(membership(now, before)).passed_over == {"no_change": 1}


def test_a_notice_and_a_listed_bot_are_marked() -> None:
    notice = read(message("build failed", msgtype="m.notice"))
    listed = read(message(), entry=kind(bots=["@ann:comm.test"]))
    for page in (notice, listed):
        actor = post(page).attributed_to
        assert actor is not None
        assert actor.is_automated


def test_a_picture_has_its_name_as_title_and_its_caption_as_text() -> None:
    bare = post(read(message("cat.jpg", msgtype="m.image", url="mxc://comm.test/cat")))
    assert (bare.object_type, bare.name, bare.content) == ("Image", "cat.jpg", "")
    caption = {"msgtype": "m.image", "filename": "cat.jpg"}
    captioned = post(read(message("My cat", **caption)))
    assert (captioned.name, captioned.content) == ("cat.jpg", "My cat")
    sticker = post(read(event("m.sticker", content={"body": "wave", "url": "mxc://comm.test/w"})))
    assert (sticker.object_type, sticker.name) == ("Image", "wave")


@pytest.mark.parametrize(
    ("passed", "reason"),
    [
        (event("m.room.encrypted", content={"algorithm": "m.megolm.v1.aes-sha2"}), "encrypted"),
        (message() | {"room_id": OTHER}, "other_room"),
        (event("m.room.topic", state_key="", content={"topic": "Help"}), "no_post"),
        (message(msgtype="m.key.verification.request"), "no_post"),
        (membership("invite", None, is_direct=True), "private"),
    ],
)
def test_what_is_none_of_our_business_is_passed_over(passed: Any, reason: str) -> None:
    page = read(passed)
    assert page.passed_over == {reason: 1}
    assert not page.submissions
    assert not page.refused


@pytest.mark.parametrize(
    "bad",
    [
        None,
        [],
        {},
        event(content={"msgtype": "m.text"}),
        event(content="text"),
        message() | {"origin_server_ts": "soon"},
        message() | {"origin_server_ts": 10**30},
        message() | {"origin_server_ts": 10**400},
        event("m.room.redaction"),
        event("m.reaction", content={"m.relates_to": {"event_id": "$e1"}}),
        event("m.room.member", content={"membership": "join"}),
        message(**relates(rel_type="m.replace", event_id="$e0")),
        message(**{"m.relates_to": "thread"}),
        message("nul \x00"),
        message() | {"event_id": ""},
        message() | {"sender": None},
        message() | {"unsigned": 7, "type": "m.room.member", "state_key": "@a:b"},
    ],
)
def test_a_malformed_event_is_refused_alone(bad: Any) -> None:
    page = read(bad, message("good", "$good"))
    assert ids(page) == ["$good"]
    assert [error.index for error in page.refused] == [0]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"events": {}}', b'{"events": null}', b"no"])
def test_a_body_that_is_no_transaction_is_refused(body: bytes) -> None:
    with pytest.raises(RefusedError):
        kind().read(request(body), source(kind()), NOW)


# -- who may push --------------------------------------------------------------------------------

SECRETS = {"signature": [b"another-token-of-today", HS_TOKEN], "token": [b"as-0123456789"]}


def test_the_hs_token_names_the_delivery_by_its_transaction() -> None:
    assert kind().verify(request(), SECRETS, NOW) == "7"
    assert kind().verify(request(token=b"another-token-of-today"), SECRETS, NOW) == "7"
    assert kind().verify(request(path="/_matrix/app/v1/ping", method="POST"), SECRETS, NOW) is None


@pytest.mark.parametrize(
    "token",
    [None, b"", b"hs-0123456789abcdeF", b"hs-0123456789abcde", b"as-0123456789", b"\xff\xfe"],
)
def test_any_other_token_is_refused(token: bytes | None) -> None:
    with pytest.raises(UnsignedError):
        kind().verify(request(token=token), SECRETS, NOW)


@pytest.mark.parametrize("secrets", [{"signature": []}, {"signature": [b"x" * 20]}])
def test_without_the_secret_nobody_may_push(secrets: dict[str, list[bytes]]) -> None:
    for token in (b"", HS_TOKEN):
        with pytest.raises(UnsignedError):
            kind().verify(request(token=token), secrets, NOW)


def test_a_doubled_header_and_another_scheme_are_refused() -> None:
    twice = Request("PUT", TRANSACTION, {}, [(b"authorization", b"Bearer " + HS_TOKEN)] * 2, b"{}")
    basic = Request("PUT", TRANSACTION, {}, [(b"authorization", b"Basic " + HS_TOKEN)], b"{}")
    query = Request("PUT", TRANSACTION, {"access_token": HS_TOKEN.decode()}, [], b"{}")
    for wrong in (twice, basic, query):
        with pytest.raises(UnsignedError):
            kind().verify(wrong, SECRETS, NOW)


def test_a_ping_is_answered_and_questions_are_denied() -> None:
    ping = kind().answer(request(path="/_matrix/app/v1/ping", method="POST"), SECRETS, NOW)
    assert ping is not None
    assert (ping.status, ping.body, ping.content_type) == (200, b"{}", "application/json")
    for path in ("users/%40ann%3Acomm.test", "rooms/%23a%3Acomm.test", "thirdparty/protocol/irc"):
        denied = kind().answer(request(path=f"/_matrix/app/v1/{path}", method="GET"), SECRETS, NOW)
        assert denied is not None
        assert (denied.status, denied.body) == (404, b"{}")
    assert kind().answer(request(), SECRETS, NOW) is None
    assert kind().answer(request(path="", method="POST"), SECRETS, NOW) is not None
    assert Matrix.accepted is not None
    assert (Matrix.accepted.status, Matrix.accepted.body) == (200, b"{}")


def test_rooms_have_to_be_named() -> None:
    with pytest.raises(ValueError, match="rooms"):
        kind(rooms=[])
    with pytest.raises(ValueError, match="rooms"):
        kind(rooms=["#alias:comm.test"])


# -- what is asked of a homeserver ---------------------------------------------------------------


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "PAUSE_SECONDS", 0.05)


class Homeserver(Web):
    """Answers in the place of the web."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self.answers = {"/joined_rooms": [{"joined_rooms": [ROOM]}], **answers}
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def token(self) -> str:
        return "token-of-a-member"

    async def get_json(
        self, url: str, params: Any = None, headers: Any = None, **_more: Any
    ) -> Any:
        assert headers == {"Authorization": "Bearer token-of-a-member"}
        return self.answer(url, {name: str(value) for name, value in (params or {}).items()})

    async def post(
        self, url: str, *, form: Any = None, document: Any = None, headers: Any = None,
        seconds: float | None = None,
    ) -> Fetched:  # fmt: skip
        return Fetched(url, None, 200, {}, json.dumps(self.answer(url, {})).encode())

    def answer(self, url: str, params: dict[str, str]) -> Any:
        path = urlsplit(url).path.partition("/_matrix/client/v3")[2]
        self.asked.append((path, params))
        answers = self.answers[path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


MESSAGES = "/rooms/%21room%3Acomm.test/messages"


def synced(token: str, *events: Any, **timeline: Any) -> dict[str, Any]:
    joined = {ROOM: {"timeline": {"events": events, **timeline}}} if events or timeline else {}
    return {"next_batch": token, "rooms": {"join": joined}}


def without_room(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "room_id"}


def ids(page: Page) -> list[str]:
    return [said.native_id for said in page.submissions if isinstance(said, PostSubmission)]


SYNC = {"listen": "sync", "homeserver": "https://matrix.comm.test"}


async def test_what_was_said_while_away_is_paged_back_to() -> None:
    """The newest first, and what is left stands in the cursor of every page."""
    web = Homeserver(
        {
            "/sync": [
                synced("s9", without_room(message(called="$9")), limited=True, prev_batch="s8"),
                synced("s9"),
                synced("s10", without_room(message(called="$10"))),
            ],
            MESSAGES: [
                {"chunk": [message(called="$8"), message(called="$7")], "end": "s6"},
                {"chunk": [], "end": "s4"},
                {"chunk": [message(called="$5")]},
            ],
        }
    )
    stream = kind(**SYNC).stream(web, {"since": "s4"})
    pages = [await anext(stream) for _ in range(5)]
    await stream.aclose()
    assert [ids(page) for page in pages] == [["$9"], ["$8", "$7"], [], ["$5"], ["$10"]]
    gaps = [page.cursor["gaps"] for page in pages if page.cursor]
    assert gaps == [[[ROOM, "s8", "s4"]], [[ROOM, "s6", "s4"]], [[ROOM, "s4", "s4"]], [], []]
    assert [page.cursor["since"] for page in pages if page.cursor] == ["s9"] * 4 + ["s10"]
    asked = [params for path, params in web.asked if path == MESSAGES]
    assert [(one["from"], one["to"], one["dir"]) for one in asked][:2] == [
        ("s8", "s4", "b"),
        ("s6", "s4", "b"),
    ]


async def test_it_goes_on_in_the_middle_of_a_gap() -> None:
    web = Homeserver({"/sync": [synced("s9")], MESSAGES: [{"chunk": [message(called="$7")]}]})
    stream = kind(**SYNC).stream(web, {"since": "s9", "gaps": [[ROOM, "s6", "s4"]]})
    page = await anext(stream)
    await stream.aclose()
    assert (ids(page), page.cursor) == (["$7"], {"since": "s9", "gaps": []})


async def test_the_first_answer_is_a_sign_of_life_and_a_quiet_one_is_none() -> None:
    web = Homeserver({"/sync": [synced("s1"), synced("s1"), synced("s2", message(called="$2"))]})
    stream = kind(**SYNC).stream(web, {})
    first, second = await anext(stream), await anext(stream)
    await stream.aclose()
    assert (ids(first), first.cursor) == ([], {"since": "s1", "gaps": []})
    assert (ids(second), second.cursor) == (["$2"], {"since": "s2", "gaps": []})
    asked = [params for path, params in web.asked if path == "/sync"]
    assert [(one["since"], one["timeout"]) for one in asked] == [
        ("", "0"),
        ("s1", "30000"),
        ("s1", "30000"),
    ]


async def test_a_homeserver_that_waits_for_nothing_is_not_asked_on_and_on() -> None:
    web = Homeserver({"/sync": [synced("s1")]})
    stream = kind(**SYNC).stream(web, {})
    await anext(stream)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await anext(stream)
    assert len(web.asked) <= 6  # which rooms, the sign of life, and quiet ones between pauses


async def test_a_room_just_listed_begins_now() -> None:
    """The first answer holds the newest events; what lies before them is a backfill's."""
    web = Homeserver({"/sync": [synced("s9", message(), limited=True, prev_batch="s8")]})
    stream = kind(**SYNC).stream(web, {})
    page = await anext(stream)
    await stream.aclose()
    assert page.cursor == {"since": "s9", "gaps": []}


async def test_it_enters_rooms_that_it_is_not_in() -> None:
    join = "/join/%21room%3Acomm.test"
    web = Homeserver({"/joined_rooms": [{"joined_rooms": []}], join: [{}], "/sync": [synced("s1")]})
    stream = kind(**SYNC).stream(web, {})
    await anext(stream)
    await stream.aclose()
    assert join in [path for path, _ in web.asked]


async def test_an_answer_that_is_too_large_is_asked_for_in_parts() -> None:
    too_large = FetchError("too_large", "the body is larger than 2,097,152 bytes")
    web = Homeserver({MESSAGES: [too_large, too_large, {"chunk": [message()]}]})
    page = await kind(**SYNC).backfill(web, {}, None)
    assert ids(page) == ["$e1"]
    assert [params["limit"] for _, params in web.asked] == ["100", "12", "1"]


def test_asking_needs_whom_to_ask() -> None:
    with pytest.raises(ValueError, match="homeserver"):
        kind(listen="sync")


@pytest.mark.parametrize(
    ("fields", "file"), [({}, "chat"), (SYNC, "chat.token")], ids=["push", "sync"]
)
def test_each_way_needs_its_own_secret(fields: dict[str, Any], file: str, tmp_path: Path) -> None:
    keys = SourceKeys(tmp_path, {}, b"decoy")
    listed = [source(kind(**fields))]
    keys.refresh(listed)
    assert "chat" in keys.disabled
    (tmp_path / file).write_text("a-token-of-this-source")
    keys.refresh(listed)
    assert not keys.disabled


def test_one_of_its_two_ways_is_in_use() -> None:
    assert (kind().uses("push"), kind().uses("stream")) == (True, False)
    assert (kind(**SYNC).uses("push"), kind(**SYNC).uses("stream")) == (False, True)


async def test_history_ends_at_the_moment_asked_for() -> None:
    old = message(called="$old") | {"origin_server_ts": STAMP - 86_400_000}
    entry = kind(**SYNC, rooms=[ROOM, OTHER])
    web = Homeserver(
        {
            MESSAGES: [{"chunk": [message(), old], "end": "t2"}, {"chunk": [old], "end": "t1"}],
            "/rooms/%21other%3Acomm.test/messages": [{"chunk": []}],
        }
    )
    first = await entry.backfill(web, {}, AT)
    assert (ids(first), first.cursor, first.more) == (["$e1"], {"room": 0, "from": "t2"}, True)
    assert first.cursor is not None
    second = await entry.backfill(web, first.cursor, AT)
    assert (ids(second), second.cursor, second.more) == ([], {"room": 1}, True)
    third = await entry.backfill(web, {"room": 1}, AT)
    assert (third.cursor, third.more) == ({"room": 2}, False)
    assert not (await entry.backfill(web, {"room": 2}, AT)).more


async def test_history_without_homeserver_says_what_is_missing() -> None:
    with pytest.raises(FetchError, match="homeserver"):
        await kind().backfill(Homeserver({}), {}, None)


@pytest.mark.parametrize("answer", [[], {}, {"chunk": None}, None])
async def test_an_answer_that_is_none_is_said_so(answer: Any) -> None:
    with pytest.raises(FetchError):
        await kind(**SYNC).backfill(Homeserver({MESSAGES: [answer]}), {}, None)
    stream = kind(**SYNC).stream(Homeserver({"/sync": [answer]}), {})
    with pytest.raises(FetchError):
        await anext(stream)


# -- real payloads -------------------------------------------------------------------------------

real = pytest.mark.skipif(not REAL.exists(), reason="../shared/real is not here")


@real
def test_what_synapse_sent_is_read() -> None:
    file = REAL / "recorded-from-local-servers" / "matrix" / "appservice_transactions.json"
    transactions = json.loads(file.read_text("utf-8"))
    room = transactions[0]["body"]["events"][0]["room_id"]
    entry = kind(rooms=[room])
    said: list[Any] = []
    for sent in transactions:
        headers = [(b"authorization", sent["headers"]["Authorization"].encode())]
        body = json.dumps(sent["body"]).encode()
        pushed = Request("PUT", sent["path"], {}, headers, body)
        assert entry.verify(pushed, {"signature": [b"hs_secret"]}, NOW)
        page = entry.read(pushed, source(entry), NOW)
        assert not page.refused
        said += page.submissions
    posts = [one for one in said if isinstance(one, PostSubmission)]
    assert len({one.native_id for one in posts}) == 103
    assert [one.operation for one in posts].count("update") == 1
    assert [one.operation for one in posts].count("delete") == 1
    assert [one.kind for one in said if isinstance(one, InteractionSubmission)] == [
        "join",
        "join",
        "like",
    ]


@real
def test_what_synapse_answered_is_read() -> None:
    file = REAL / "recorded-from-local-servers" / "matrix" / "sync_response.json"
    [(room, joined)] = json.loads(file.read_text("utf-8"))["rooms"]["join"].items()
    events = [{**one, "room_id": room} for one in joined["timeline"]["events"]]
    page = read(*events, entry=kind(rooms=[room]))
    assert (len(page.submissions), page.passed_over, page.refused) == (5, {"deleted": 1}, [])


def example(file: Path) -> dict[str, Any]:
    """An example of the specification: it leaves what it shares with others to another file."""
    said: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    other = file.parent / str(said.pop("$ref", ""))
    shared = example(other) if other.is_file() else event()
    return {**shared, **said, "room_id": ROOM}


@real
@pytest.mark.parametrize(
    "file", sorted((REAL / "matrix").rglob("m.*.yaml")), ids=lambda file: file.name
)
def test_every_example_of_the_specification_is_read_or_passed_over(file: Path) -> None:
    page = read(example(file))
    assert not page.refused
    assert len(page.submissions) + sum(page.passed_over.values()) == 1
