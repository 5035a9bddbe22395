"""Trying a source: what works, and what is wrong with a token, an address or a permission."""

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from klankbord_ingest.hearing import told
from klankbord_ingest.kind import Backfill, Page, Pull, Push, Stream
from klankbord_ingest.outgoing import FetchError
from klankbord_ingest.source import SourceEntry
from klankbord_ingest.web import Web
from klankbord_runtime.faults import TRANSIENT

STREAM_SECONDS = 15.0
"""How long a stream is given to say that it is connected."""

PULL_SECONDS = 90.0
"""How long a platform that is asked is given to answer all that makes a page."""

ADVICE = {
    "bad_address": "look at the address in klankbord.yaml",
    "not_public": "if it is a server of yours, allow it with KLANKBORD_OUTGOING__ALLOW where "
    "Klankbord is started; then klankbord source resume asks at once",
    "port_not_allowed": "if the port is right, allow it with KLANKBORD_OUTGOING__ALLOW",
    "unreachable": "is the address right, and does the server answer from this machine?",
    "too_slow": "the server is slow or overloaded; Klankbord goes on trying",
    "too_large": "the answer is larger than Klankbord reads; ask for less, if the kind lets you",
    "token_refused": "make a new token (or look up the password) on the platform, and write it "
    "into the source's file",
    "not_permitted": "give the token the permissions that the page of this kind lists",
    "not_found": "look at the address and the names in klankbord.yaml; a private place also "
    "answers so to a token that may not see it",
    "gone": "the place was removed; take the source off the list or change its address",
    "too_many_requests": "nothing is wrong; Klankbord waits for as long as the platform asks",
    "unavailable": "the platform has trouble; Klankbord goes on trying",
    "no_tls": "say `security: tls`, or `starttls` where the server offers it",
    "no_feed": "does the address lead to a feed, not to a page?",
    "no_json": "does the address lead to the interface, not to a page?",
}
"""What to do, by the code of a `FetchError`."""


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """One thing that was tried."""

    ok: bool
    what: str
    """What was found, in words for the operator."""
    advice: str = ""
    """What to do about it."""


async def try_out(
    entry: SourceEntry, web: Web, address: str, disabled: str | None, now: datetime
) -> list[Finding]:
    """Try every way of listening to a source, without keeping anything.

    Args:
        entry: the source as it is listed.
        web: the web as the source sees it.
        address: where its platform sends to, if it sends.
        disabled: why it cannot be listened to, where a secret is missing or unfit.
        now: the moment.
    """
    if disabled is not None:
        return [Finding(ok=False, what=disabled, advice="it is read again within ten seconds")]
    found: list[Finding] = []
    if isinstance(entry, Push) and entry.uses("push"):
        who = "anybody may: nothing is signed" if entry.is_open else "its secret is in place"
        found.append(Finding(ok=True, what=f"it may send to {address}; {who}"))
    if isinstance(entry, Pull) and entry.uses("pull"):
        found.append(await _tried("asking", _pulled(entry, web, now), web))
    if isinstance(entry, Stream) and entry.uses("stream"):
        found.append(await _tried("the connection", _streamed(entry, web), web))
    if isinstance(entry, Backfill):
        found.append(Finding(ok=True, what="its history can be fetched: klankbord source backfill"))
    return found or [Finding(ok=True, what="it is only imported; there is nothing to try")]


async def _pulled(entry: Pull, web: Web, now: datetime) -> Finding:
    async with asyncio.timeout(PULL_SECONDS):
        page = await entry.fetch(web, {}, now)
    return _said("it answers", page, web)


async def _streamed(entry: Stream, web: Web) -> Finding:
    async with asyncio.timeout(STREAM_SECONDS), aclosing(entry.stream(web, {})) as pages:
        async for page in pages:
            return _said("it is connected", page, web)
    return Finding(ok=False, what="it ended the connection without a word")


def _said(how: str, page: Page, web: Web) -> Finding:
    passed_over = sum(page.passed_over.values())
    parts = [f"posts and interactions in its first answer: {len(page.submissions)}"]
    if passed_over:
        reasons = ", ".join(f"{reason} {count}" for reason, count in page.passed_over.items())
        parts.append(f"{passed_over} passed over ({reasons})")
    if web.rate_left is not None:
        parts.append(f"{web.rate_left} more requests before its limit")
    refused = told(page.refused, len(page.submissions))
    return Finding(ok=refused is None, what=f"{how}: {'; '.join(parts)}", advice=refused or "")


async def _tried(what: str, trial: Awaitable[Finding], web: Web) -> Finding:
    try:
        return await trial
    except TimeoutError:
        why = f"{what} took too long, and was given up"
        return Finding(ok=False, what=why, advice=ADVICE["too_slow"])
    except FetchError as error:
        why = web.without_secrets(str(error))
        return Finding(ok=False, what=f"{what} failed: {why}", advice=ADVICE.get(error.code, ""))
    except TRANSIENT:
        raise
    except Exception as error:
        log.exception(what)
        why = f"{what} failed: Klankbord failed over it: {type(error).__name__}"
        return Finding(ok=False, what=why, advice="see the log of ingest")
