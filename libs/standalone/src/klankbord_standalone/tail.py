"""`klankbord tail`: every event of a subject, once, as it comes."""

import json
import re
import signal
from asyncio import Event as Flag
from asyncio import get_running_loop
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from rich.text import Text

from klankbord_runtime.permissions import OPERATOR, stream_of_subject
from klankbord_standalone.explained import UsageError
from klankbord_standalone.servers import Installation

BATCH = 100
WAIT = 1.0
DURABLE = re.compile(r"[A-Za-z0-9_-]{1,200}")
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class Since:
    """Where a tail begins."""

    policy: DeliverPolicy
    moment: datetime | None = None


def parse_since(text: str, now: datetime) -> Since:
    """Read `all`, `new`, an age such as `90m`, `2h`, `7d`, or a date or time.

    Raises:
        UsageError: it is none of these.
    """
    if text == "all":
        return Since(DeliverPolicy.ALL)
    if text == "new":
        return Since(DeliverPolicy.NEW)
    if age := re.fullmatch(r"(\d+)([mhdw])", text):
        moment = now - timedelta(**{UNITS[age[2]]: int(age[1])})
        return Since(DeliverPolicy.BY_START_TIME, moment)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no beginning: give all, new, an age such as 90m, 2h or 7d, "
            "or a time such as 2026-11-01 or 2026-11-01T09:30+01:00"
        ) from None
    return Since(DeliverPolicy.BY_START_TIME, moment.astimezone(UTC))


async def tail(
    installation: Installation, subject: str, since: Since, durable: str | None, *, follow: bool
) -> AsyncGenerator[dict[str, Any], None]:
    """The events of a subject, each once by its id; ends at the last one unless it follows.

    With a durable name the place is kept at the server, and the next tail of that name goes on
    there: an event counts as seen when the caller asks for the next one.

    Raises:
        NoOneStreamError: no stream keeps the subject, or several do.
        UsageError: the durable name cannot be one, or keeps the place in another subject.
    """
    if durable is not None and DURABLE.fullmatch(durable) is None:
        raise UsageError(
            f"--durable {durable!r} cannot be a name: use letters, digits, _ and -, at most 200"
        )
    stream = stream_of_subject(subject).name
    stop = _on_ctrl_c()
    async with installation.client(OPERATOR, reconnect=True) as client:
        subscription = await client.jetstream().pull_subscribe(
            subject,
            durable=f"tail-{durable}" if durable else None,
            stream=stream,
            config=ConsumerConfig(
                deliver_policy=since.policy,
                opt_start_time=since.moment,
                ack_policy=AckPolicy.EXPLICIT,
                max_deliver=-1,
                inactive_threshold=None if durable else 300,
            ),
        )
        if durable:
            kept = (await subscription.consumer_info()).config.filter_subject
            if kept != subject:
                raise UsageError(
                    f"--durable {durable} keeps the place in {kept}: tail that subject, "
                    "or keep this one under another name"
                )
        seen: set[str] = set()
        try:
            while not stop.is_set():
                try:
                    messages = await subscription.fetch(BATCH, timeout=WAIT)
                except TimeoutError:  # nats-py raises its own, a subclass, or the builtin
                    if follow:
                        continue
                    return
                for message in messages:
                    event = json.loads(message.data)
                    if event["id"] not in seen:
                        seen.add(event["id"])
                        yield event
                    await message.ack()
                    if stop.is_set():
                        break
        finally:
            await client.flush()  # the last acknowledgements


def line_of(event: dict[str, Any]) -> Text:
    """One event as one readable line."""
    data = event["data"]
    noun_verb = ".".join(event["type"].split(".")[2:4])
    who = data.get("department") or data.get("metric") or data.get("source") or data["community"]
    what = {
        "feedback.routed": lambda: f"{data['intent']} ({data['priority']}) {data['content']}",
        "feedback.withdrawn": lambda: f"{data['because']}: {data['explanation']}",
        "post.flagged": lambda: ", ".join(
            f"{label['val']} ({label['mode']}): {label['explanation']}" for label in data["labels"]
        ),
        "community.measured": lambda: (
            f"{data.get('value', 'no')} {data['unit']} "
            f"({data['window']['grain']} of {data['window']['start'][:10]})"
        ),
        "query.matched": lambda: (
            f"{data['query']} finds {', '.join(found['text'] for found in data['found'])} "
            f"{data.get('url') or ''}"
        ),
        "source.silent": lambda: (
            f"silent since {data['since'][:16].replace('T', ' ')} UTC; "
            f"some {data['expected']:.0f} posts should have come"
        ),
    }.get(noun_verb, lambda: str(data.get("content") or data.get("kind") or ""))()
    moment = event["time"][:19].replace("T", " ")
    line = Text.assemble((moment, "dim"), "  ", (noun_verb, "cyan"), "  ", (who, "bold"), "  ")
    return line.append(" ".join(what.split()))


def _on_ctrl_c() -> Flag:
    stop = Flag()
    for number in (signal.SIGINT, signal.SIGTERM):
        get_running_loop().add_signal_handler(number, stop.set)
    return stop
