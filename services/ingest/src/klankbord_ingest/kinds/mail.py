"""A mailbox or a mailing list, heard by IMAP.

https://www.rfc-editor.org/rfc/rfc9051 (IMAP), https://www.rfc-editor.org/rfc/rfc2177 (IDLE),
https://www.rfc-editor.org/rfc/rfc2919 (List-Id). A mail is read as `imports/mail.py` reads it, so
that it is the same post whether it was heard or imported.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from klankbord_ingest.imap import (
    AT_ONCE,
    Delivered,
    Folder,
    Imap,
    RefusedCommandError,
    Security,
    logged_in,
)
from klankbord_ingest.imports.mail import list_of, read_mail
from klankbord_ingest.imports.mbox import MAX_MAIL_LINES
from klankbord_ingest.imports.row import Refusal
from klankbord_ingest.kind import (
    Backfill,
    Cursor,
    FieldError,
    Page,
    Secret,
    Stream,
    Submission,
    Web,
    together,
)
from klankbord_ingest.platform_json import whole_number
from klankbord_schemas.trust import PublishedTrust

IDLE_SECONDS = 9 * 60.0
"""How long one IDLE lasts. A server may hang up after 30 minutes; a router that forgets a quiet
connection, and tells nobody, does so after 10 or more."""
PAUSE_SECONDS = 1.0
"""The pause after a look that found nothing."""
POLL_SECONDS = 60.0
"""How often a server without IDLE is asked."""
HISTORY_PAGE = 8 * AT_ONCE
"""How many mails of the past one connection brings."""
DROPPED = frozenset({"automatic_mail", "delivery_report"})
"""Mails that nobody wrote."""
A_DAY = timedelta(days=1)
STANDARD_PORTS: dict[Security, int] = {"tls": 993, "starttls": 143, "none": 143}

HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:-]{0,252}$|^::1$")]
Words = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=500)]
"""Text without line breaks or other control characters."""
ListId = Annotated[str, StringConstraints(pattern=r"^[^\s<>]+$", to_lower=True, max_length=255)]


class Mail(Stream, Backfill):
    """A folder of an IMAP mailbox, in which nothing is changed or marked as read."""

    secrets: ClassVar[dict[str, Secret]] = {
        "password": Secret(
            "the password of the mailbox; where the provider makes passwords for single programs "
            "(app passwords), one of those",
            min_bytes=1,
        ),
    }

    kind: Literal["mail"]
    published_trust: PublishedTrust = "claimed"
    host: HostName
    """The IMAP server."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """993, or 143 with `security: starttls`, where it is left out."""
    user: Words
    """The name to log in with, often the address."""
    folder: Words = "INBOX"
    """The folder that is listened to."""
    security: Security = "tls"
    """`tls` from the start, `starttls`, or `none`, with which only this very machine is asked."""
    list_id: ListId | None = Field(default=None, alias="list")
    """Only mails of this mailing list: its List-Id, such as `dev.lists.example.org`."""

    @model_validator(mode="after")
    def _in_the_open_only_at_home(self) -> Self:
        if self.security == "none" and not _is_loopback(self.host):
            raise ValueError(
                "security `none` would send the password in clear to another machine; "
                "write `tls` or `starttls`"
            )
        return self

    @property
    def own_platform(self) -> str:
        """The list, else the mailbox: what comes there twice is one."""
        mailbox = self.user if "@" in self.user else f"{self.user}@{self.host}"
        return (self.list_id or mailbox).lower()

    @property
    def place(self) -> str:
        """UIDs are those of one folder of one mailbox."""
        return f"{self.user}@{self.host}:{self._port}/{self.folder}"

    async def stream(self, web: Web, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """Mails as they come in; at the very first, the newest that are there."""
        async with logged_in(web, self.host, self._port, self.security, self.user) as imap:
            folder = await imap.open_folder(self.folder)
            where = await _start(imap, folder, cursor)
            if not cursor:
                newest = f"{max(1, folder.count - AT_ONCE + 1)}:{folder.count}"
                uids = await imap.search(newest) if folder.count else []
                yield await self._page(imap, uids[-AT_ONCE:], where)
            yield Page(cursor=where)
            while True:
                is_idle = True
                async for page in self._following(imap, where):
                    is_idle = False
                    where = page.cursor or where
                    yield page
                if is_idle:  # a server that tells of news without end is not asked on and on
                    await asyncio.sleep(PAUSE_SECONDS)
                await imap.news(IDLE_SECONDS, POLL_SECONDS)

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        """Mails that came into the folder since that day, in the order in which they came."""
        async with logged_in(web, self.host, self._port, self.security, self.user) as imap:
            folder = await imap.open_folder(self.folder)
            is_same = cursor.get("validity") == folder.validity
            seen = whole_number(cursor.get("uid")) if is_same else 0
            day = f" SINCE {_day(since.date() - A_DAY)}" if since else ""
            found = [uid for uid in await imap.search(f"UID {seen + 1}:*{day}") if uid > seen]
            where: Cursor = {"validity": folder.validity, "uid": seen}
            pages = [await self._page(imap, uids, where) for uids in _batches(found[:HISTORY_PAGE])]
        return replace(together([Page(cursor=where), *pages]), more=len(found) > HISTORY_PAGE)

    @property
    def _port(self) -> int:
        return self.port or STANDARD_PORTS[self.security]

    async def _following(self, imap: Imap, where: Cursor) -> AsyncGenerator[Page, None]:
        """What came after the cursor, the oldest first."""
        seen = whole_number(where["uid"])
        # `8:*` names the last mail even where its UID is less than 8.
        found = [uid for uid in await imap.search(f"UID {seen + 1}:*") if uid > seen]
        for uids in _batches(found):
            yield await self._page(imap, uids, where)

    async def _page(self, imap: Imap, uids: Sequence[int], where: Cursor) -> Page:
        """These mails, and the place after the last of them."""
        mails, broken = await _fetched(imap, uids)
        page = await asyncio.to_thread(page_of, mails, self.list_id)
        seen = max([whole_number(where["uid"]), *uids])
        return replace(page, refused=[*page.refused, *broken], cursor={**where, "uid": seen})


def page_of(mails: Iterable[Delivered], list_id: str | None) -> Page:
    """What these mails say.

    Args:
        mails: in the order of their UIDs.
        list_id: the one mailing list that is listened to; None hears all.
    """
    submissions: list[Submission] = []
    refused: list[FieldError] = []
    passed_over: dict[str, int] = {}
    for index, mail in enumerate(mails):
        said = _read(mail, list_id)
        if not isinstance(said, Refusal):
            submissions.append(said)
        elif said.code in DROPPED or said.code == OTHER_LIST:
            passed_over[said.code] = passed_over.get(said.code, 0) + 1
        else:
            refused.append(FieldError(index, said.field, f"{said.why} (UID {mail.uid})", said.code))
    return Page(submissions, refused, passed_over)


OTHER_LIST = "other_list"


async def _fetched(imap: Imap, uids: Sequence[int]) -> tuple[list[Delivered], list[FieldError]]:
    """These mails, and which of them the server cannot read itself."""
    try:
        return (await imap.mails(uids) if uids else []), []
    except RefusedCommandError as error:
        if len(uids) == 1:
            why = f"the server cannot read the mail with UID {uids[0]}: {error}"
            return [], [FieldError(None, "", why, "unreadable")]
    alone = [await _fetched(imap, [uid]) for uid in uids]
    return [mail for mails, _ in alone for mail in mails], [
        why for _, ones in alone for why in ones
    ]


def _read(mail: Delivered, list_id: str | None) -> Submission | Refusal:
    if mail.body.count(b"\n") > MAX_MAIL_LINES:
        return Refusal("too_large", f"the mail has more than {MAX_MAIL_LINES:,} lines")
    # As a mailbox on a disk has it: then a mail without Message-ID gets the same id either way.
    body = mail.body.replace(b"\r\n", b"\n")
    if list_id and list_of(body) != list_id:
        return Refusal(OTHER_LIST, "it came by no list, or by another")
    return read_mail(body, mail.received)


async def _start(imap: Imap, folder: Folder, cursor: Cursor) -> Cursor:
    """Where to go on in a folder.

    When UIDVALIDITY changed, every UID means another mail. Then all that came since listening
    began is read again: what was heard is known by its Message-ID.
    """
    last = max(0, folder.following - 1)
    if not cursor:
        began = datetime.now(UTC).date() - A_DAY
        return {"validity": folder.validity, "uid": last, "began": began.isoformat()}
    if cursor.get("validity") == folder.validity:
        return cursor
    began = date.fromisoformat(str(cursor["began"]))
    again = await imap.search(f"SINCE {_day(began)}")
    seen = again[0] - 1 if again else last
    return {**cursor, "validity": folder.validity, "uid": seen}


def _batches(uids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (uids[begin : begin + AT_ONCE] for begin in range(0, len(uids), AT_ONCE))


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _day(day: date) -> str:
    """A day as IMAP writes it, whatever the language of the machine: `1-Feb-2026`."""
    return f"{day.day}-{MONTHS[day.month - 1]}-{day.year}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
