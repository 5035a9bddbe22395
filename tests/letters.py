"""A mailbox of a mailing list as real ones are: threads, quotes, encodings, attachments, machines.

The same for the same number of mails, byte for byte, and written as it is made.
"""

import base64
import quopri
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from random import Random

from bench.talk import Talk

SEED = 20261122
BEGIN = datetime(2019, 1, 1, tzinfo=UTC)
MEMBERS = 900
THREADS_OPEN = 200
"""How many threads are talked in at a time."""
ANSWERS = 0.7
AUTOMATIC = 0.01
"""The share of mails that a machine sent as an answer."""
ATTACHED = 0.03


def letters(count: int) -> Iterator[tuple[bytes, bool]]:
    """That many mails with their line `From `, and whether each was written by somebody."""
    chance, talk = Random(SEED), Talk(SEED)
    threads: list[tuple[str, list[int]]] = []
    for number in range(count):
        at = BEGIN + number * timedelta(minutes=30)
        member = min(chance.randrange(MEMBERS), chance.randrange(MEMBERS))
        text = talk.text(number)
        if threads and chance.random() < ANSWERS:
            subject, before = chance.choice(threads)
            head = [f"Subject: Re: {subject}", f"In-Reply-To: {_id(before[-1])}"]
            head.append("References: " + "\n ".join(_id(one) for one in before[-10:]))
            text = f"On Monday somebody wrote:\n> {text[:70]}\n> and more\n\n{text}"
            before.append(number)
        else:
            subject = f"{text[:40].strip()} ({number})".replace("\n", " ")
            head = [f"Subject: {subject}"]
            threads.append((subject, [number]))
            del threads[:-THREADS_OPEN]
        is_automatic = chance.random() < AUTOMATIC
        if is_automatic:
            head.append("Auto-Submitted: auto-replied")
        head += [
            f"From: Member {member} <member-{member}@example.org>",
            "To: list@lists.example.org",
            "List-Id: The list <list.lists.example.org>",
            f"Date: {format_datetime(at)}",
            f"Message-ID: {_id(number)}",
        ]
        encoded = _encoded(f"{text}\n-- \nMember {member}\n", chance)
        separator = f"From member-{member}@example.org {at:%a %b %d %H:%M:%S %Y}\n"
        yield (
            separator.encode() + "\n".join(head).encode() + b"\n" + encoded + b"\n",
            not is_automatic,
        )


def write_mbox(path: Path, count: int) -> int:
    """Write an mbox; gives how many of its mails somebody wrote."""
    written = 0
    with path.open("wb") as file:
        for mail, is_written in letters(count):
            file.write(mail)
            written += is_written
    return written


def _id(number: int) -> str:
    return f"<{number:06}.{SEED}@example.org>"


def _encoded(text: str, chance: Random) -> bytes:
    """The rest of the head, and the body, in one of the ways in which mail programs write it."""
    plain = text.replace("\nFrom ", "\n>From ").encode()
    if chance.random() < ATTACHED:
        attached = base64.encodebytes(chance.randbytes(20_000))
        return (
            b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="b"\n\n--b\n'
            b"Content-Type: text/plain; charset=utf-8\n\n" + plain + b"--b\n"
            b"Content-Type: image/png; name=a.png\nContent-Transfer-Encoding: base64\n"
            b"Content-Disposition: attachment; filename=a.png\n\n" + attached + b"--b--\n"
        )
    way = chance.randrange(3)
    head = b"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
    if way == 0:
        return head + b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(text.encode())
    if way == 1:
        quoted = quopri.encodestring(plain)
        return head + b"Content-Transfer-Encoding: quoted-printable\n\n" + quoted
    return head + b"\n" + plain
