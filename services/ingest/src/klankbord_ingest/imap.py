"""IMAP (RFC 9051, and RFC 3501 before it), as little of it as listening to a mailbox takes.

A server is a stranger: no line, mail or answer of it is read beyond a limit, and nothing is changed
in a mailbox. It is opened read-only (EXAMINE), and mails are read with BODY.PEEK, which marks none
of them as read.
"""

import asyncio
import base64
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Literal, NamedTuple, TypeAlias

from klankbord_ingest.outgoing import FetchError
from klankbord_ingest.web import LaterError, NotFoundError, RefusedTokenError, Web

PORTS = frozenset({143, 993})
"""Those of IMAP, which need no permission."""
MAX_LINE_BYTES = 16 * 1024 * 1024
"""The longest line: a search names two million mails in it."""
MAX_MAIL_BYTES = 1024 * 1024
"""How much is read of a mail. Headers and text come first; the rest is attachments."""
AT_ONCE = 25
"""How many mails are asked for at once."""
MAX_ANSWER_BYTES = AT_ONCE * (MAX_MAIL_BYTES + 64 * 1024)
"""The longest answer to one command."""
ANSWER_SECONDS = 60.0
"""How long a command may take."""
MOST_NAMES = 20
"""How many folders are named to who misspelt one."""
CHUNK = 64 * 1024

Security: TypeAlias = Literal["tls", "starttls", "none"]

_LITERAL = re.compile(rb"\{(\d{1,10})\+?\}$")
_UID = re.compile(rb"\bUID (\d{1,10})\b")
_INTERNALDATE = re.compile(rb'\bINTERNALDATE "([^"]{1,40})"')
_CODED = re.compile(r"([^\x20-\x7e]+)")
_UNAVAILABLE = ("[UNAVAILABLE]", "[INUSE]", "[LIMIT]", "[OVERQUOTA]")


class Response(NamedTuple):
    """One response of a server."""

    text: bytes
    """Its line, without the literals in it."""
    literals: Sequence[bytes]


class RefusedCommandError(Exception):
    """The server says NO or BAD to a command. Its text is the server's."""


@dataclass(frozen=True)
class Folder:
    """A folder that is open."""

    validity: int
    """Its UIDVALIDITY: while it is the same, so are the UIDs of its mails."""
    following: int
    """Its UIDNEXT: no mail has a higher UID than the one before; 0 where the server is silent."""
    count: int
    """How many mails are in it."""


@dataclass(frozen=True)
class Delivered:
    """A mail as a server has it."""

    uid: int
    received: datetime | None
    """When it came into the mailbox."""
    body: bytes
    """The mail as it was sent, or its first `MAX_MAIL_BYTES`."""


class Wire:
    """The lines of a connection, none of them longer than is allowed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ahead = bytearray()
        self._taken = 0
        """How much was read since the last command."""

    async def send(self, line: bytes) -> None:
        """Send a line; what is read from now on counts anew."""
        self._taken = 0
        self._writer.write(line + b"\r\n")
        await self._writer.drain()

    async def response(self) -> Response:
        """The next response, its literals taken out."""
        text, literals = bytearray(), list[bytes]()
        while True:
            text += await self._line()
            if len(text) > MAX_LINE_BYTES:
                raise _too_large(f"a line of more than {MAX_LINE_BYTES:,} bytes")
            found = _LITERAL.search(text)
            if found is None:
                return Response(bytes(text), literals)
            size = int(found[1])
            if size > MAX_MAIL_BYTES + CHUNK:
                raise _too_large(
                    f"a text of {size:,} bytes where {MAX_MAIL_BYTES:,} were asked for"
                )
            literals.append(await self._exactly(size))
            del text[found.start() :]

    async def is_silent(self) -> bool:
        """Whether nothing came that was not read yet, so that TLS may begin."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                self._ahead += await self._reader.read(CHUNK)
        return not self._ahead

    async def _line(self) -> bytes:
        begin = 0
        while (end := self._ahead.find(b"\r\n", begin)) < 0:
            begin = max(0, len(self._ahead) - 1)
            if begin > MAX_LINE_BYTES:
                raise _too_large(f"a line of more than {MAX_LINE_BYTES:,} bytes")
            await self._more()
        line = bytes(self._ahead[:end])
        del self._ahead[: end + 2]
        return line

    async def _exactly(self, size: int) -> bytes:
        while len(self._ahead) < size:
            await self._more()
        body = bytes(self._ahead[:size])
        del self._ahead[:size]
        return body

    async def _more(self) -> None:
        chunk = await self._reader.read(CHUNK)
        if not chunk:
            raise FetchError("unreachable", "the mail server closed the connection")
        self._taken += len(chunk)
        if self._taken > MAX_ANSWER_BYTES:
            raise _too_large(f"more than {MAX_ANSWER_BYTES:,} bytes to one command")
        self._ahead += chunk


def _too_large(what: str) -> FetchError:
    return FetchError("too_large", f"the mail server sends {what}")


class Imap:
    """A conversation with a mail server, one command at a time."""

    def __init__(self, wire: Wire, host: str) -> None:
        self._wire = wire
        self._host = host
        self._number = 0
        self._capabilities: frozenset[str] | None = None
        self._has_news = False
        """Whether mail came since somebody looked."""

    async def greeted(self) -> None:
        """Wait for the server's greeting.

        Raises:
            FetchError: it does not greet, or sends us away.
        """
        async with self._patience():
            text = (await self._wire.response()).text
        if not text.upper().startswith(b"* OK"):
            raise FetchError(
                "unreachable", f"{self._host} does not greet as IMAP does: {_shown(text)}"
            )

    async def capabilities(self) -> frozenset[str]:
        """What the server can do, in capitals."""
        if self._capabilities is None:
            lines = [text.upper().split() for text, _ in await self._command("CAPABILITY")]
            told = [words[2:] for words in lines if words[1:2] == [b"CAPABILITY"]]
            self._capabilities = frozenset(_decoded(word) for words in told for word in words)
        return self._capabilities

    async def secured(self, start_tls: Callable[[], Awaitable[None]]) -> None:
        """Go on in TLS (STARTTLS). What the server said before it is forgotten.

        Raises:
            FetchError: it cannot, or said more than it was asked: someone may sit between.
        """
        if "STARTTLS" not in await self.capabilities():
            why = f"{self._host} offers no STARTTLS; use `security: tls` (port 993)"
            raise FetchError("no_tls", why)
        await self._command("STARTTLS")
        if not await self._wire.is_silent():
            raise FetchError("no_tls", f"{self._host} went on speaking in clear after STARTTLS")
        async with self._patience():
            await start_tls()
        self._capabilities = None

    async def log_in(self, user: str, password: str) -> None:
        """Say who we are.

        Raises:
            RefusedTokenError: the server does not let that user in with that password.
            LaterError: it cannot say now.
            FetchError: it takes no password.
        """
        able = await self.capabilities()
        try:
            if "AUTH=PLAIN" in able:  # RFC 4616; it takes any letter
                secret = base64.b64encode(f"\0{user}\0{password}".encode())
                await self._command("AUTHENTICATE PLAIN", then=secret)
            elif "LOGINDISABLED" in able or not (user + password).isascii():
                why = f"{self._host} takes no password in the way that Klankbord can give it"
                raise FetchError("not_permitted", why)
            else:
                await self._command(f"LOGIN {quoted(user)} {quoted(password)}")
        except RefusedCommandError as error:
            why = f"{self._host} does not let {user} in: {error}"
            if str(error).upper().startswith(_UNAVAILABLE):
                raise LaterError("unavailable", why, None) from error
            help_ = "the password is wrong, or the provider wants one made for programs"
            raise RefusedTokenError("token_refused", f"{why} ({help_})") from error
        self._capabilities = None

    async def open_folder(self, name: str) -> Folder:
        """Open a folder for reading only.

        Raises:
            NotFoundError: there is none of that name, or this user may not read it.
            FetchError: it gives its mails no UIDs.
        """
        try:
            told = await self._command(f"EXAMINE {quoted(folder_code(name))}")
        except RefusedCommandError as error:
            known = ", ".join(await self._folders()) or "none"
            why = f"{self._host} opens no folder {name!r}: {error}; there are: {known}"
            raise NotFoundError("not_found", why) from error
        text = b"\n".join(response.text for response in told)
        validity = re.search(rb"\[UIDVALIDITY (\d{1,10})\]", text, re.I)
        following = re.search(rb"\[UIDNEXT (\d{1,10})\]", text, re.I)
        count = re.search(rb"^\* (\d{1,10}) EXISTS", text, re.I | re.M)
        if validity is None or count is None:
            raise FetchError("bad_answer", f"{self._host} numbers no mails in {name!r}")
        return Folder(int(validity[1]), int(following[1]) if following else 0, int(count[1]))

    async def search(self, criteria: str) -> list[int]:
        """The UIDs of the mails that meet these criteria, ascending."""
        self._has_news = False
        told = await self._command(f"UID SEARCH {criteria}")
        lists = [text.split()[2:] for text, _ in told if text.upper().startswith(b"* SEARCH")]
        return sorted({int(uid) for uids in lists for uid in uids if uid.isdigit()})

    async def mails(self, uids: Iterable[int]) -> list[Delivered]:
        """These mails, at most `AT_ONCE`; those that are gone by now are left out."""
        wanted = frozenset(uids)
        numbers = ",".join(map(str, sorted(wanted)))
        items = f"(UID INTERNALDATE BODY.PEEK[]<0.{MAX_MAIL_BYTES}>)"
        told = await self._command(f"UID FETCH {numbers} {items}")
        found = (_delivered(response) for response in told)
        return sorted(
            (mail for mail in found if mail and mail.uid in wanted), key=lambda mail: mail.uid
        )

    async def news(self, seconds: float, pause: float) -> None:
        """Wait until the server says that mail came, or so long (IDLE, RFC 2177).

        Args:
            seconds: how long at most; a server may hang up after half an hour.
            pause: how long where the server cannot say when mail came.
        """
        able = await self.capabilities()
        if self._has_news:
            return
        if "IDLE" not in able:
            await asyncio.sleep(pause)
            await self._command("NOOP")
            self._has_news = True
            return
        tag = await self._send("IDLE")
        ended = False
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._has_news and not ended:
                    ended = self._heard(await self._wire.response(), tag)
        if not ended:
            await self._wire.send(b"DONE")
            async with self._patience():
                while not self._heard(await self._wire.response(), tag):
                    pass

    async def _folders(self) -> list[str]:
        told = await self._command('LIST "" "*"')
        lines = [text + b"".join(literals) for text, literals in told]
        listed = [line for line in lines if line.upper().startswith(b"* LIST")]
        return [folder_name(_last_word(_decoded(line))) for line in listed][:MOST_NAMES]

    async def _command(self, command: str, then: bytes | None = None) -> list[Response]:
        """Every response to a command.

        Args:
            command: without its tag.
            then: what is sent when the server asks for more.

        Raises:
            RefusedCommandError: the server says NO or BAD.
        """
        told: list[Response] = []
        async with self._patience():
            tag = await self._send(command)
            while True:
                response = await self._wire.response()
                if response.text.startswith(b"+"):
                    # A second challenge means that the first answer was wrong: `*` ends it.
                    await self._wire.send(b"*" if then is None else then)
                    then = None
                elif self._heard(response, tag):
                    return told
                else:
                    told.append(response)

    async def _send(self, command: str) -> bytes:
        self._number += 1
        tag = b"K%d" % self._number
        await self._wire.send(tag + b" " + command.encode("ascii"))
        return tag

    def _heard(self, response: Response, tag: bytes) -> bool:
        """Note what a response says beside the command; whether it ends it.

        Raises:
            RefusedCommandError: it says NO or BAD.
            FetchError: the server says goodbye.
        """
        text = response.text
        if text.startswith(tag + b" "):
            status, _, said = text[len(tag) + 1 :].partition(b" ")
            if status.upper() != b"OK":
                raise RefusedCommandError(_shown(said))
            return True
        words = text.upper().split(maxsplit=2)
        if words[1:2] == [b"BYE"]:
            raise FetchError("unreachable", f"{self._host} hangs up: {_shown(text[5:])}")
        if words[2:3] == [b"EXISTS"]:
            self._has_news = True
        return False

    @asynccontextmanager
    async def _patience(self) -> AsyncGenerator[None, None]:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                yield
        except TimeoutError:
            why = f"{self._host} does not answer within {ANSWER_SECONDS:g} seconds"
            raise FetchError("too_slow", why) from None


@asynccontextmanager
async def logged_in(
    web: Web, host: str, port: int, security: Security, user: str
) -> AsyncGenerator[Imap, None]:
    """A conversation in which the server knows us; it ends with the connection.

    Args:
        web: opens the connection, and has the secret of the role `password`.
        host: a name or an address.
        port: its port.
        security: how the connection is kept from others' eyes; `none` only to this machine.
        user: who asks.

    Raises:
        FetchError: it cannot be reached, does not let us in, or breaks IMAP.
    """
    reader, writer = await web.open(host, port, PORTS, is_tls=security == "tls")
    try:
        if security == "none" and not ip_address(writer.get_extra_info("peername")[0]).is_loopback:
            why = f"{host} is another machine: without TLS anyone between could read the password"
            raise FetchError("no_tls", why)
        imap = Imap(Wire(reader, writer), host)
        await imap.greeted()
        if security == "starttls":
            await imap.secured(lambda: web.start_tls(writer, host))
        await imap.log_in(user, web.secret("password"))
        yield imap
    except RefusedCommandError as error:
        raise FetchError("bad_answer", f"{host} refuses a command: {error}") from error
    except OSError as error:
        why = f"the connection to {host} broke: {error or type(error).__name__}"
        raise FetchError("unreachable", why) from error
    finally:
        writer.close()


def quoted(text: str) -> str:
    """A text as a quoted string, which has no line breaks.

    Raises:
        FetchError: it has.
    """
    if not text.isascii() or not text.isprintable():
        raise FetchError("bad_address", f"{text!r} holds what IMAP cannot carry")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def folder_code(name: str) -> str:
    """A folder's name as it travels (RFC 3501, section 5.1.3)."""
    return _CODED.sub(
        lambda found: f"&{_base64(found[1].encode('utf-16-be'))}-", name.replace("&", "&-")
    )


def folder_name(code: str) -> str:
    """The name that such a code is; the code itself where it is none."""

    def read(found: re.Match[str]) -> str:
        if not found[1]:
            return "&"
        padded = found[1].replace(",", "/") + "=" * (-len(found[1]) % 4)
        return base64.b64decode(padded).decode("utf-16-be")

    try:
        return re.sub(r"&([^-]*)-", read, code)
    except ValueError:
        return code


def _base64(body: bytes) -> str:
    return base64.b64encode(body).decode().rstrip("=").replace("/", ",")


def _delivered(response: Response) -> Delivered | None:
    """The mail that a FETCH response brings; None if it brings none, or one without a body."""
    uid = _UID.search(response.text)
    if uid is None or b" FETCH " not in response.text.upper() or not response.literals:
        return None
    date = _INTERNALDATE.search(response.text)
    return Delivered(int(uid[1]), _moment(date[1]) if date else None, response.literals[-1])


def _moment(date: bytes) -> datetime | None:
    try:
        moment = parsedate_to_datetime(_decoded(date).strip())
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _last_word(line: str) -> str:
    """The last word of a line, or what stands between its last quotation marks."""
    found = re.search(r'"((?:[^"\\]|\\.)*)"$|(\S+)$', line)
    if found is None:
        return ""
    return re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2]


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _shown(text: bytes) -> str:
    return " ".join(_decoded(text[:300]).split())[:200]
