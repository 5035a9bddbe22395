"""A mailbox without a socket: a server that says what a test tells it to, and hostile ones."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any, cast

import pytest
from pydantic import ValidationError

from klankbord_ingest.imap import (
    MAX_MAIL_BYTES,
    Delivered,
    Imap,
    Wire,
    folder_code,
    folder_name,
    quoted,
)
from klankbord_ingest.kind import FetchError, Page
from klankbord_ingest.kinds import mail
from klankbord_ingest.kinds.mail import Mail, page_of
from klankbord_ingest.submission import PostSubmission
from klankbord_ingest.web import LaterError, RefusedTokenError, Web

GREETING = b"* OK ready\r\n"
ABLE = b"* CAPABILITY IMAP4rev1 IDLE AUTH=PLAIN\r\n"
A_MAIL = (
    b"From: jo@example.org\r\nMessage-ID: <1@example.org>\r\nSubject: Hi\r\n"
    b"Date: Sun, 22 Nov 2026 10:00:00 +0100\r\n\r\nIt hangs.\r\n"
)
LARGE = b"* 1 FETCH (UID 9 BODY[]<0> {1000000}\r\n" + b"x" * 1_000_000 + b")\r\n"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "PAUSE_SECONDS", 0.05)


Answer = bytes | Callable[[str], bytes]


class Server:
    """Answers each command as told: `{}` in an answer stands for the command's tag."""

    def __init__(self, answers: dict[str, Answer], greeting: bytes = GREETING) -> None:
        self.reader = asyncio.StreamReader()
        self.reader.feed_data(greeting)
        self.sent: list[bytes] = []
        self._answers = {"CAPABILITY": ABLE + b"{} OK\r\n", **answers}
        self._tag = b""

    def write(self, data: bytes) -> None:
        line = data.removesuffix(b"\r\n")
        self.sent.append(line)
        word, _, rest = line.partition(b" ")
        if word.startswith(b"K"):
            self._tag, command = word, rest.decode()
        else:
            command = line.decode()
        name = next((name for name in self._answers if command.startswith(name)), None)
        answer = self._answers[name] if name else b"{} BAD what?\r\n"
        said = answer(command) if callable(answer) else answer
        self.reader.feed_data(said.replace(b"{}", self._tag))

    async def drain(self) -> None:
        return

    def close(self) -> None:
        self.reader.feed_eof()

    def get_extra_info(self, _: str) -> tuple[str, int]:
        return ("192.0.2.1", 143)

    @property
    def writer(self) -> asyncio.StreamWriter:
        return cast(asyncio.StreamWriter, self)

    @property
    def imap(self) -> Imap:
        return Imap(Wire(self.reader, self.writer), "mail.example.org")


class PlayedWeb(Web):
    """Opens connections to a `Server`, and to nothing else."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def secret(self, role: str) -> str:
        return {"password": "secret"}[role]

    async def open(
        self, host: str, port: int, ports: frozenset[int], *, is_tls: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return self._server.reader, self._server.writer


def fetched(uid: int, mail: bytes = A_MAIL) -> bytes:
    date = b'INTERNALDATE "22-Nov-2026 10:00:05 +0100"'
    return b"* 1 FETCH (UID %d %s BODY[]<0> {%d}\r\n%s)\r\n" % (uid, date, len(mail), mail)


def mailbox(**answers: Answer) -> Server:
    return Server(
        {
            "AUTHENTICATE": b"+ \r\n",
            "AGpvAHNlY3JldA==": b"{} OK welcome\r\n",
            "EXAMINE": b"* 1 EXISTS\r\n* OK [UIDVALIDITY 3] ok\r\n* OK [UIDNEXT 8] ok\r\n{} OK\r\n",
            "UID SEARCH": b"* SEARCH 7\r\n{} OK\r\n",
            "UID FETCH": fetched(7) + b"{} OK\r\n",
            "IDLE": b"+ idling\r\n* BYE enough\r\n",
            **answers,
        }
    )


def source(**fields: object) -> Mail:
    given: dict[str, object] = {"name": "list", "community": "demo", "kind": "mail"}
    return Mail.model_validate({**given, "host": "mail.example.org", "user": "jo", **fields})


async def pages_of(server: Server, cursor: dict[str, Any], **fields: object) -> list[Page]:
    """What is heard until the server hangs up."""
    heard: list[Page] = []
    async with aclosing(source(**fields).stream(PlayedWeb(server), cursor)) as pages:
        with suppress(FetchError):
            async for page in pages:
                heard.append(page)  # noqa: PERF401  it ends by raising
    return heard


async def test_at_first_the_newest_is_heard_and_then_what_follows() -> None:
    first, alive = await pages_of(mailbox(), {})
    assert len(first.submissions) == 1
    assert alive.cursor == first.cursor
    assert alive.cursor is not None
    assert (alive.cursor["validity"], alive.cursor["uid"]) == (3, 7)


async def test_a_server_that_tells_of_news_without_end_is_not_asked_on_and_on() -> None:
    news = b"* SEARCH\r\n* 1 EXISTS\r\n{} OK\r\n"
    server = mailbox(**{"UID SEARCH": news})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await pages_of(server, {"validity": 3, "uid": 7, "began": "2026-11-01"})
    assert sum(b"SEARCH" in line for line in server.sent) <= 5


async def test_the_last_mail_is_not_heard_again_although_a_server_names_it() -> None:
    pages = await pages_of(mailbox(), {"validity": 3, "uid": 7, "began": "2026-11-01"})
    assert [len(page.submissions) for page in pages] == [0]


async def test_another_uidvalidity_reads_again_what_came_since_listening_began() -> None:
    asked = list[str]()

    def search(command: str) -> bytes:
        asked.append(command)
        return b"* SEARCH 4 7\r\n{} OK\r\n"

    both = fetched(4) + fetched(7) + b"{} OK\r\n"
    server = mailbox(**{"UID SEARCH": search}, **{"UID FETCH": both})
    pages = await pages_of(server, {"validity": 2, "uid": 900, "began": "2026-02-01"})
    assert asked[:2] == ["UID SEARCH SINCE 1-Feb-2026", "UID SEARCH UID 4:*"]
    assert pages[-1].cursor == {"validity": 3, "uid": 7, "began": "2026-02-01"}
    assert len(pages[-1].submissions) == 2


async def test_mails_that_vanished_before_they_were_read_are_passed() -> None:
    server = mailbox(**{"UID FETCH": b"* 1 FETCH (UID 7 BODY[]<0> NIL)\r\n{} OK\r\n"})
    pages = await pages_of(server, {"validity": 3, "uid": 1, "began": "2026-11-01"})
    assert pages[-1].cursor is not None
    assert pages[-1].cursor["uid"] == 7


async def test_a_mail_that_the_server_cannot_read_hinders_no_other() -> None:
    def fetch(command: str) -> bytes:
        is_broken = "4" in command.split()[2]
        return b"{} NO [SERVERBUG] broken\r\n" if is_broken else fetched(7) + b"{} OK\r\n"

    server = mailbox(**{"UID SEARCH": b"* SEARCH 4 7\r\n{} OK\r\n"}, **{"UID FETCH": fetch})
    pages = await pages_of(server, {"validity": 3, "uid": 1, "began": "2026-11-01"})
    assert [error.code for error in pages[-1].refused] == ["unreadable"]
    assert "UID 4: [SERVERBUG] broken" in pages[-1].refused[0].why
    assert len(pages[-1].submissions) == 1


def test_a_page_refuses_one_mail_and_hears_the_rest() -> None:
    automatic = A_MAIL.replace(b"Subject", b"Auto-Submitted: auto-replied\r\nSubject")
    report = b"Content-Type: multipart/report\r\n" + A_MAIL
    bodies = (b"no mail at all", A_MAIL, automatic, report)
    page = page_of([Delivered(uid, None, body) for uid, body in enumerate(bodies)], None)
    assert [error.code for error in page.refused] == ["no_mail"]
    assert "(UID 0)" in page.refused[0].why
    assert page.passed_over == {"automatic_mail": 1, "delivery_report": 1}
    (post,) = page.submissions
    assert isinstance(post, PostSubmission)
    assert (post.native_id, post.context, post.sequence) == ("1@example.org", None, 1)


def test_a_mail_without_id_is_the_same_with_either_line_ends() -> None:
    nameless = A_MAIL.replace(b"Message-ID: <1@example.org>\r\n", b"").replace(
        b"Subject: Hi", b"Subject: A folded\r\n one"
    )
    other = nameless.replace(b"\r\n", b"\n")
    first, second = (page_of([Delivered(1, None, body)], None) for body in (nameless, other))
    assert first.submissions == second.submissions


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"* 1 FETCH (UID 7 BODY[]<0> {4000000000}\r\n", "too_large"),
        (b"* 1 FETCH (UID 7 BODY[]<0> {%d}\r\n" % (MAX_MAIL_BYTES + 65_537), "too_large"),
        (b"* OK " + b"x" * 17_000_000, "too_large"),
        (LARGE * 30, "too_large"),
        (b"* BYE\r\n", "unreachable"),
    ],
)
async def test_a_hostile_answer_ends_the_conversation(answer: bytes, code: str) -> None:
    server = mailbox(**{"UID FETCH": answer})
    async with aclosing(source().stream(PlayedWeb(server), {})) as pages:
        with pytest.raises(FetchError) as refused:
            async for _ in pages:
                pass
    assert refused.value.code == code


async def fails(conversation: Coroutine[Any, Any, None], raised: type[Exception]) -> str:
    with pytest.raises(raised) as refused:
        await conversation
    return str(refused.value)


async def test_a_password_goes_only_where_it_is_safe() -> None:
    told = await fails(_first(mailbox(), security="none", host="localhost"), FetchError)
    assert "another machine" in told
    injected = b"{} OK go\r\n* CAPABILITY AUTH=PLAIN\r\n"
    able = b"* CAPABILITY STARTTLS\r\n{} OK\r\n"
    eager = Server({"STARTTLS": injected, "CAPABILITY": able})
    assert "went on speaking in clear" in await fails(
        _first(eager, security="starttls"), FetchError
    )
    without = mailbox()
    assert "offers no STARTTLS" in await fails(_first(without, security="starttls"), FetchError)
    for server in (eager, without):
        assert not any(line.startswith((b"K3 AUTH", b"K3 LOGIN")) for line in server.sent)
    with pytest.raises(ValidationError, match="in clear"):
        source(security="none")


async def _first(server: Server, **fields: object) -> None:
    async with aclosing(source(**fields).stream(PlayedWeb(server), {})) as pages:
        await anext(pages)


async def test_logging_in_as_servers_want_it() -> None:
    old = Server({"LOGIN": b"{} OK\r\n", "CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n{} OK\r\n"})
    await old.imap.log_in("jo", 'a "b" \\')
    assert old.sent[-1] == b'K2 LOGIN "jo" "a \\"b\\" \\\\"'
    assert "takes no password" in await fails(old.imap.log_in("jo", "ü"), FetchError)
    shut = Server({"CAPABILITY": b"* CAPABILITY LOGINDISABLED\r\n{} OK\r\n"})
    assert "takes no password" in await fails(shut.imap.log_in("jo", "x"), FetchError)
    wrong = mailbox(AUTHENTICATE=b"{} NO [AUTHENTICATIONFAILED] no\r\n")
    assert "app" not in await fails(wrong.imap.log_in("jo", "x"), RefusedTokenError)
    busy = mailbox(AUTHENTICATE=b"{} NO [UNAVAILABLE] later\r\n")
    assert "later" in await fails(busy.imap.log_in("jo", "x"), LaterError)
    asks_again = mailbox(**{"AGpvAHg=": b"+ more\r\n", "*": b"{} BAD cancelled\r\n"})
    assert "cancelled" in await fails(asks_again.imap.log_in("jo", "x"), RefusedTokenError)


async def test_a_server_that_cannot_idle_is_asked_now_and_then() -> None:
    server = Server({"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n{} OK\r\n", "NOOP": b"{} OK\r\n"})
    await server.imap.news(60, 0.001)
    assert server.sent[-1].endswith(b"NOOP")


async def test_idle_ends_in_time_and_at_news() -> None:
    server = Server({"IDLE": b"+ idling\r\n", "DONE": b"{} OK\r\n"})
    await server.imap.news(0.01, 60)
    assert server.sent[-1] == b"DONE"
    heard = Server({"IDLE": b"+ idling\r\n* 4 EXISTS\r\n* 1 RECENT\r\n", "DONE": b"{} OK\r\n"})
    await heard.imap.news(60, 60)
    assert heard.sent[-1] == b"DONE"


@pytest.mark.parametrize("name", ["INBOX", "Lijst & co", "Vrågor/öppna", "台北", "a&b-c"])
def test_names_of_folders_travel(name: str) -> None:
    assert folder_code(name).isascii()
    assert folder_name(folder_code(name)) == name


def test_the_name_in_the_rfc() -> None:
    assert folder_code("~peter/mail/台北/日本語") == "~peter/mail/&U,BTFw-/&ZeVnLIqe-"
    assert folder_name("&broken!-") == "&broken!-"


def test_nothing_slips_into_a_command() -> None:
    with pytest.raises(FetchError):
        quoted("a\r\nK9 DELETE INBOX")
    for field in ("user", "folder", "list", "host"):
        with pytest.raises(ValidationError):
            source(**{field: "a\r\nK9 DELETE INBOX"})


def test_what_it_is_called() -> None:
    assert source().own_platform == "jo@mail.example.org"
    assert source(user="Help@Example.org").own_platform == "help@example.org"
    assert source(list="Dev.lists.example.org").own_platform == "dev.lists.example.org"
    assert source(folder="A").place != source(folder="B").place
