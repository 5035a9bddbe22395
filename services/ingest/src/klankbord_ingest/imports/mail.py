"""One e-mail (RFC 5322) as a post: who wrote it, what it answers, and what is new in it.

Real mail breaks every rule, so everything has a fallback: a mail without Message-ID is named by
its digest, one without Date is dated by when it was received, and an unknown encoding is read as
best one can.
"""

import re
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

from klankbord_ingest.imports.row import SHOWN, Refusal, validated
from klankbord_ingest.markup import TooDeepError, plain_text
from klankbord_ingest.native_id import kept_native_id, made_native_id
from klankbord_ingest.submission import Submission
from klankbord_schemas.types import MAX_LINE

MAX_HEADER = 20_000
"""How many characters of a header are read: a thread of hundreds of references has as many."""

_MESSAGE_ID = re.compile(r"<([^<>\s]+)>")
_LIST_ID = re.compile(r"<([^<>\s]+)>[^<>]*$")
_SIGNATURE = re.compile(r"^-- ?$", re.MULTILINE)
_EMPTY_LINES = re.compile(r"\n{3,}")
_HEADERS_OF_MAIL = ("from", "sender", "to", "date", "subject", "message-id", "received")
_LOOP_PRECEDENCE = frozenset({"auto_reply", "junk"})


def read_mail(body: bytes, received: datetime | None = None) -> Submission | Refusal:
    """The post that a mail is, or why it is none.

    Args:
        body: the mail as it was sent.
        received: when it arrived, where the mailbox says so; used if the mail itself does not.
    """
    shown = body[:SHOWN].decode("utf-8", "replace")
    try:
        # The oldest policy: the newer ones raise on headers that real mail has.
        mail = BytesParser().parsebytes(body)
        refusal = _refusal(mail, shown)
        return refusal or validated(_document(mail, body, received), shown)
    except RecursionError:
        return Refusal("no_mail", "the mail's parts are nested too deep to be read", row=shown)
    except TooDeepError as error:
        return Refusal("too_deep", str(error), "content", shown)
    except Exception as error:  # noqa: BLE001  Python's parser of mail on hostile bytes raises anything
        why = f"the mail breaks the reader: {type(error).__name__}: {error}"
        return Refusal("no_mail", why, row=shown)


def list_of(body: bytes) -> str:
    """The List-Id of a mail (RFC 2919) in lower case; empty where it came by no list."""
    written = _text(BytesHeaderParser().parsebytes(body), "list-id")
    found = _LIST_ID.search(written)
    return (found[1] if found else written).lower()


def _refusal(mail: Message, shown: str) -> Refusal | None:
    """Why a mail is no post: it is none at all, or nobody wrote it."""
    if not any(name in mail for name in _HEADERS_OF_MAIL):
        why = "this is no mail: it has none of the headers From, To, Date, Subject, Message-ID"
        return Refusal("no_mail", why, row=shown)
    if mail.get_content_type() == "multipart/report":
        return Refusal("delivery_report", "it reports on the delivery of a mail", row=shown)
    # RFC 3834; Precedence and the empty return path are what came before it.
    answered_by_machine = (
        _text(mail, "auto-submitted").lower() not in {"", "no"}
        or _text(mail, "return-path") == "<>"
        or _text(mail, "precedence").lower() in _LOOP_PRECEDENCE
    )
    if answered_by_machine:
        return Refusal("automatic_mail", "a machine sent it as an answer", row=shown)
    return None


def _document(mail: Message, body: bytes, received: datetime | None) -> dict[str, Any]:
    references = _message_ids(mail, "references")
    answered = _message_ids(mail, "in-reply-to") or references[-1:]
    thread = (references or answered)[:1]
    message_id = (_message_ids(mail, "message-id") or [_text(mail, "message-id")])[0]
    content = _new_words(_words(mail))
    subject = " ".join(_text(mail, "subject").split())
    archived = _text(mail, "archived-at").strip("<>")
    return {
        "nativeId": kept_native_id(message_id) or _made_id(mail, content, body),
        # A mail never changes. A copy with other words came over a list that adds its footer.
        "sequence": 1,
        "published": _moment(mail) or received,
        "attributedTo": _author(mail),
        "inReplyTo": kept_native_id(answered[0]) if answered else None,
        "context": kept_native_id(thread[0]) if thread else None,
        "name": subject[:MAX_LINE] or None,
        "content": content,
        "url": archived if archived.startswith("http") and len(archived) <= MAX_LINE else None,
    }


def _made_id(mail: Message, content: str, body: bytes) -> str:
    """A name for a mail without one: the same for every copy of it, whatever way it travelled."""
    said = [_text(mail, "from"), _text(mail, "date"), _text(mail, "subject"), content]
    return made_native_id(*said) if any(said) else made_native_id(body.decode("latin-1"))


def _author(mail: Message) -> dict[str, str] | None:
    written = [_text(mail, name) for name in ("from", "sender") if _text(mail, name)]
    for name, address in getaddresses(written):
        if address:
            author = {"id": kept_native_id(address.lower())}
            return author | {"name": name[:MAX_LINE]} if name else author
    return None


def _moment(mail: Message) -> datetime | None:
    """When it was sent, else when the last server on its way took it in."""
    dates = [_text(mail, "date")]
    dates += [str(hop).rpartition(";")[2] for hop in mail.get_all("received", [])]
    for date in dates:
        try:
            moment = parsedate_to_datetime(date.strip())
        except (ValueError, OverflowError):  # the latter for a year of twenty digits
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _message_ids(mail: Message, header: str) -> list[str]:
    return _MESSAGE_ID.findall(_text(mail, header))


def _text(mail: Message, header: str) -> str:
    """A header as text: encoded words (RFC 2047) decoded, raw bytes read as best one can."""
    # Decoding takes a time that grows with the square of the length.
    raw = str(mail.get(header, ""))[:MAX_HEADER]
    try:
        parts = decode_header(raw)
    except (HeaderParseError, ValueError):
        parts = [(raw, None)]
    words = [
        part if isinstance(part, str) else _decoded(part, charset or "ascii")
        for part, charset in parts
    ]
    return _storable("".join(words)).strip()


def _words(mail: Message) -> str:
    """What the mail says: its text, else its HTML as text. Attachments are left out."""
    html = None
    for part in mail.walk():
        if part.is_multipart() or part.get_filename() or _is_attached(part):
            continue
        kind = part.get_content_type()
        if kind == "text/plain":
            return _part_text(part)
        if kind == "text/html" and html is None:
            html = part
    if html is None:
        return ""
    return plain_text(_part_text(html))


def _is_attached(part: Message) -> bool:
    return _text(part, "content-disposition").lower().startswith("attachment")


def _part_text(part: Message) -> str:
    payload = part.get_payload(decode=True)
    body = payload if isinstance(payload, bytes) else b""
    return _storable(_decoded(body, str(part.get_content_charset("utf-8"))))


def _decoded(body: bytes, charset: str) -> str:
    """Text in the encoding it names; where that is unknown or wrong, in UTF-8, else in Latin-1."""
    for encoding in (charset, "utf-8"):
        try:
            return body.decode(encoding)
        except (LookupError, ValueError):
            continue
    return body.decode("latin-1")


def _storable(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _new_words(text: str) -> str:
    """The text without the lines that quote (`> …`) and without the signature (`-- `, RFC 3676)."""
    own = _SIGNATURE.split(text.replace("\r\n", "\n"), maxsplit=1)[0]
    kept = "\n".join(line.rstrip() for line in own.split("\n") if not line.startswith(">"))
    return _EMPTY_LINES.sub("\n\n", kept).strip()
