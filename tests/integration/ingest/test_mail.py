"""A mailbox on a real Dovecot: mail is heard as it comes, and nothing is lost or doubled."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dovecot import PASSWORD, USER, Dovecot, dovecot, needs_dovecot

from klankbord_ingest.fetch import Fetcher
from klankbord_ingest.imports.mail import read_mail
from klankbord_ingest.kind import Cursor, FetchError, Page
from klankbord_ingest.kinds.mail import HISTORY_PAGE, Mail
from klankbord_ingest.outgoing import Allowed, Gate
from klankbord_ingest.submission import PostSubmission
from klankbord_ingest.web import Hosts, NotFoundError, RefusedTokenError, Web

pytestmark = [pytest.mark.system, needs_dovecot]

PATIENCE = 10.0


@pytest.fixture
async def server(place: Path) -> AsyncIterator[Dovecot]:
    async with dovecot(place) as running:
        yield running


def mail(number: int, words: str = "It hangs.", headers: str = "") -> bytes:
    text = (
        f"From: Jo <jo@example.org>\nSubject: Number {number}\nMessage-ID: <{number}@example.org>\n"
        f"Date: Sun, 22 Nov 2026 10:00:00 +0100\n{headers}\n{words}\n"
    )
    return text.replace("\n", "\r\n").encode()


def asked(server: Dovecot, *passwords: str) -> Web:
    gate = Gate(Allowed.of([f"localhost:{server.port}", f"localhost:{server.tls_port}"]))
    gate.tls.load_verify_locations(server.authority)
    keys = [password.encode() for password in passwords or (PASSWORD,)]
    return Web(Fetcher(gate), Hosts(), {"password": keys})


def source(server: Dovecot, **fields: object) -> Mail:
    given: dict[str, object] = {
        "name": "list",
        "community": "demo",
        "kind": "mail",
        "host": "localhost",
    }
    given |= {"user": USER, "port": server.tls_port, **fields}
    return Mail.model_validate(given)


class Listener:
    """Keeps the cursor and what was heard, as the runner does, and comes again after trouble."""

    def __init__(self, kind: Mail, web: Callable[[], Web]) -> None:
        self._kind = kind
        self._web = web
        self.cursor: Cursor = {}
        self.heard: list[str] = []
        self.troubles: list[str] = []
        self.connected = asyncio.Event()
        self.changed = asyncio.Event()

    async def listen(self) -> None:
        while True:
            try:
                async with aclosing(self._kind.stream(self._web(), self.cursor)) as pages:
                    async for page in pages:
                        self._commit(page)
            except FetchError as error:
                self.troubles.append(error.code)
                await asyncio.sleep(0.05)

    def _commit(self, page: Page) -> None:
        assert not page.refused
        posts = [post for post in page.submissions if isinstance(post, PostSubmission)]
        self.heard += [post.native_id.partition("@")[0] for post in posts]
        self.cursor = page.cursor or self.cursor
        if not page.submissions:
            self.connected.set()
        self.changed.set()

    async def has(self, *numbers: int) -> None:
        """Wait until exactly these were heard, in this order."""
        wanted = list(map(str, numbers))
        async with asyncio.timeout(PATIENCE):
            while self.heard != wanted:
                assert len(self.heard) <= len(wanted), self.heard
                self.changed.clear()
                await self.changed.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.connected.clear()
        task = asyncio.create_task(self.listen())
        try:
            async with asyncio.timeout(PATIENCE):
                await self.connected.wait()
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def deliver(server: Dovecot, *mails: bytes, folder: str = "INBOX") -> None:
    await asyncio.to_thread(server.deliver, *mails, folder=folder)


def remove(server: Dovecot, number: int) -> None:
    with server.client() as client:
        client.select("INBOX")
        client.store(str(number), "+FLAGS", "\\Deleted")
        client.expunge()


async def test_what_comes_is_heard_at_once_and_once(server: Dovecot) -> None:
    await deliver(server, mail(1))
    listener = Listener(source(server), lambda: asked(server))
    async with listener.running():
        await listener.has(1)
        begun = asyncio.get_running_loop().time()
        await deliver(server, mail(2), mail(3))
        await listener.has(1, 2, 3)
        assert asyncio.get_running_loop().time() - begun < 5
        await asyncio.to_thread(remove, server, 1)  # an expunge says nothing
        await deliver(server, mail(4))
        await listener.has(1, 2, 3, 4)

    await deliver(server, mail(5))  # while we are away
    async with listener.running():
        await deliver(server, mail(6))
        await listener.has(1, 2, 3, 4, 5, 6)

        await server.kill()  # while the server is away
        await asyncio.sleep(0.2)
        await server.start()
        await deliver(server, mail(7))
        await listener.has(1, 2, 3, 4, 5, 6, 7)
    assert listener.troubles
    assert set(listener.troubles) == {"unreachable"}

    def unseen() -> bytes:
        with server.client() as client:
            client.select("INBOX", readonly=True)
            return bytes(client.search(None, "UNSEEN")[1][0])

    assert len((await asyncio.to_thread(unseen)).split()) == 6  # none was marked as read


async def test_a_folder_that_was_made_anew_is_read_again(server: Dovecot) -> None:
    folder = "Lijsten.ü & co"
    code = "Lijsten.&APw- &- co"

    def make(*mails: bytes) -> None:
        with server.client() as client:
            client.delete(f'"{code}"')
            client.create(f'"{code}"')
        server.deliver(*mails, folder=f'"{code}"')

    await asyncio.to_thread(make, mail(1), mail(2))
    listener = Listener(
        source(server, folder=folder, security="starttls", port=server.port), lambda: asked(server)
    )
    async with listener.running():
        await listener.has(1, 2)
    first = listener.cursor
    await asyncio.sleep(1.1)  # UIDVALIDITY is a moment in seconds
    await asyncio.to_thread(make, mail(2), mail(3))
    async with listener.running():
        await listener.has(1, 2, 2, 3)  # ingest knows the second by its Message-ID
    assert listener.cursor["validity"] != first["validity"]


async def test_one_list_of_a_mailbox(server: Dovecot) -> None:
    on_list = "List-Id: Developers of X <Dev.Lists.example.org>\n"
    large = f"{on_list}Content-Type: text/plain\n"
    await deliver(
        server,
        mail(1),
        mail(2, headers=on_list),
        mail(3, headers=on_list + "Auto-Submitted: auto-replied\n"),
        mail(4, "short\n-- \n" + "x" * 3_000_000, headers=large),
    )
    kind = source(server, list="dev.lists.example.org")
    assert kind.own_platform == "dev.lists.example.org"
    async with aclosing(kind.stream(asked(server), {})) as pages:
        page = await anext(pages)
    posts = [post for post in page.submissions if isinstance(post, PostSubmission)]
    assert [post.native_id for post in posts] == ["2@example.org", "4@example.org"]
    assert posts[1].content == "short"
    assert page.passed_over == {"other_list": 1, "automatic_mail": 1}
    assert posts[0] == read_mail(mail(2, headers=on_list))  # as an import reads it


async def test_history_comes_page_by_page(server: Dovecot) -> None:
    await deliver(server, *(mail(number) for number in range(HISTORY_PAGE + 10)))
    kind = source(server)
    first = await kind.backfill(asked(server), {}, None)
    assert (len(first.submissions), first.more) == (HISTORY_PAGE, True)
    assert first.cursor is not None
    second = await kind.backfill(asked(server), first.cursor, None)
    assert (len(second.submissions), second.more) == (10, False)
    tomorrow = datetime.now(UTC) + timedelta(days=3)
    assert not (await kind.backfill(asked(server), {}, tomorrow)).submissions


async def first_page(kind: Mail, web: Web) -> None:
    async with aclosing(kind.stream(web, {})) as pages:
        await anext(pages)


async def test_what_is_wrong_is_said(server: Dovecot) -> None:
    async def why(kind: Mail, web: Web, raised: type[FetchError]) -> str:
        with pytest.raises(raised) as refused:
            await first_page(kind, web)
        return str(refused.value)

    told = await why(source(server), asked(server, "another"), RefusedTokenError)
    assert f"does not let {USER} in" in told
    assert "the password is wrong" in told
    told = await why(source(server, folder="Help"), asked(server), NotFoundError)
    assert "no folder 'Help'" in told
    assert "there are: INBOX" in told
    stranger = Web(Fetcher(Gate(Allowed.of([f"localhost:{server.tls_port}"]))), Hosts())
    assert "CERTIFICATE_VERIFY_FAILED" in await why(source(server), stranger, FetchError)
    nobody = Web(Fetcher(Gate(Allowed())), Hosts())
    assert "not a public address" in await why(source(server), nobody, FetchError)
    in_the_open = source(server, security="none", port=server.port)
    await first_page(in_the_open, asked(server))
