"""A mailbox on a small IMAP server that IDLEs."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from email.utils import format_datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

from conformance.platform import Post, StreamPlatform


class Mailbox(StreamPlatform):
    kind = "mail"
    edits = False
    deletes = False
    secrets: ClassVar[Mapping[str, str]] = {"password": "a password of the mailbox"}

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[bytes] = []
        """The first has UID 1."""
        self._idling: dict[asyncio.StreamWriter, bool] = {}

    def options(self, base: str) -> dict[str, Any]:
        port = urlsplit(base).port
        return {"host": "127.0.0.1", "port": port, "security": "none", "user": "jo"}

    def native_id(self, id_: str) -> str:
        return f"{id_}@example.org"

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[str, None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"imap://127.0.0.1:{port}"
        finally:
            await self.break_off()
            server.close()

    async def tell(self, post: Post) -> None:
        head = f"From: jo@example.org\nMessage-ID: <{self.native_id(post.id)}>\nSubject: Hi\n"
        await self._deliver(f"{head}Date: {format_datetime(post.at)}\n\n{post.text}\n".encode())

    async def spoil(self) -> None:
        await self._deliver(b"this is no mail\n")

    async def break_off(self) -> None:
        for writer in list(self._idling):
            writer.close()

    async def _deliver(self, mail: bytes) -> None:
        self.mails.append(mail.replace(b"\n", b"\r\n"))
        for writer, is_idling in self._idling.items():
            if is_idling:
                writer.write(b"* %d EXISTS\r\n" % len(self.mails))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._idling[writer] = False
        writer.write(b"* OK ready\r\n")
        tag, told = b"", 0
        with suppress(ConnectionError):
            while line := (await reader.readline()).strip():
                self._idling[writer] = False
                if line != b"DONE":
                    tag, _, line = line.partition(b" ")
                if line == b"AUTHENTICATE PLAIN":
                    writer.write(b"+ \r\n")
                    await reader.readline()
                if line == b"IDLE":
                    self._idling[writer] = True
                    writer.write(b"+ idling\r\n")
                    if told != len(self.mails):
                        writer.write(b"* %d EXISTS\r\n" % len(self.mails))
                    continue
                if line.startswith((b"EXAMINE", b"UID SEARCH")):
                    told = len(self.mails)
                writer.write(self._answer(line.decode()) + tag + b" OK done\r\n")
        del self._idling[writer]
        writer.close()

    def _answer(self, command: str) -> bytes:
        count = len(self.mails)
        if command == "CAPABILITY":
            return b"* CAPABILITY IMAP4rev1 IDLE AUTH=PLAIN\r\n"
        if command.startswith("EXAMINE"):
            told = b"* %d EXISTS\r\n* OK [UIDVALIDITY 1]\r\n* OK [UIDNEXT %d]\r\n"
            return told % (count, count + 1)
        if found := re.fullmatch(r"UID SEARCH (?:UID )?(\d+):(\d+|\*)", command):
            # RFC 9051: `5:*` names the last one too where that is less than 5
            first = min(int(found[1]), count)
            uids = " ".join(str(uid) for uid in range(max(first, 1), count + 1))
            return f"* SEARCH {uids}\r\n".encode()
        if found := re.match(r"UID FETCH ([\d,]+) ", command):
            return b"".join(self._fetched(int(uid)) for uid in found[1].split(","))
        return b""

    def _fetched(self, uid: int) -> bytes:
        mail = self.mails[uid - 1]
        return b"* %d FETCH (UID %d BODY[]<0> {%d}\r\n%s)\r\n" % (uid, uid, len(mail), mail)


PLATFORMS = [Mailbox]
