"""Malformed input: mutated events, generated structures, hostile files, and the real HTTP doors.

Holds when nothing comes out but what a reader says it raises, no service answers 5xx (but 503 and
its `Retry-After`) or logs an error, and no input takes more than 5 s or 64 MiB.
"""

import asyncio
import json
import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from figures import Row
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from structures import Json, bodies, json_values, try_many
from trust.hostile import read_hostile
from trust.http import fuzz_http
from trust.part import Say
from trust.tally import Memory, Tally

from klankbord_ingest.facts import author_of, interaction_of, member_of, named_author_of, post_of
from klankbord_ingest.kind import JSON, RefusedError
from klankbord_ingest.sequence import History, NewVersion, place_all, version_of
from klankbord_ingest.source import Source
from klankbord_ingest.submission import InteractionSubmission, PostSubmission
from klankbord_ingest.webhook import read_whole
from klankbord_moderation.flood import Sightings
from klankbord_moderation.judge import Judge
from klankbord_routing.intent import shipped_cues
from klankbord_routing.plain import Plain
from klankbord_routing.rules import parse_rules
from klankbord_runtime.consumer import _why
from klankbord_runtime.deadletter import DeadLetter
from klankbord_schemas import (
    EVENTS,
    InteractionReceived,
    MemberSeen,
    PostReceived,
    post_identity,
)
from klankbord_schemas.catalogue import EventClass
from klankbord_schemas.community import Community
from klankbord_schemas.event import MAX_EVENT_BYTES, Event

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "libs/schemas/golden"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MUTATED, STRUCTURES, REQUESTS = 200_000, 3_000, 2_000
MOST_SECONDS, MOST_MIB = 5, 64

BYTES_THAT_HURT = (
    b"\0", b"\\u0000", b"\\ud800", b"\xed\xa0\x80", b"\xff", b"NaN", b"1e999", b"-Infinity",
    b"9223372036854775808", b"null", b"[]", b"{}", b'"', b"\\", b",", b":", b"}", b"]",
    b"\xef\xbb\xbf", b"[" * 300, b'"data":{}', b'"id":"', b"9999-12-31T23:59:59-23:59",
)  # fmt: skip


OWES = ("fuzz_inputs", "fuzz_failures")


async def run(seed: int, say: Say) -> list[Row]:
    """Everything, in some 90 s."""
    say(f"{MUTATED:,} mutated events")
    tally = mutated_events(seed, MUTATED)
    say(f"{STRUCTURES:,} generated structures")
    tally.add(await asyncio.to_thread(generated_structures, seed, STRUCTURES))
    say("hostile files")
    with tempfile.TemporaryDirectory(prefix="klankbord-fuzz-") as folder:
        tally.add(await asyncio.to_thread(read_hostile, Path(folder)))
    say(f"{REQUESTS:,} requests to every service")
    tally.add(await fuzz_http(seed, REQUESTS))
    return rows(tally)


def rows(tally: Tally) -> list[Row]:
    """The figures of the table."""
    return [
        Row("fuzz_inputs", tally.inputs, "inputs", f">= {MUTATED + STRUCTURES + REQUESTS + 80}"),
        Row(
            "fuzz_failures",
            len(tally.failures),
            "inputs",
            "== 0",
            note="; ".join(tally.failures)[:500],
        ),
        Row("fuzz_slowest_s", tally.slowest[0], "s", f"<= {MOST_SECONDS}", note=tally.slowest[1]),
        Row("fuzz_largest_mib", tally.largest[0], "MiB", f"<= {MOST_MIB}", note=tally.largest[1]),
    ]


# --- events ------------------------------------------------------------------------------------


def mutated_events(seed: int, number: int) -> Tally:
    """Stored events with bytes changed: each is read, or refused with a reason that can be kept."""
    chance = random.Random(seed)
    corpus = list(_stored_events())
    tally = Tally()
    memory = Memory(os.getpid())
    for event, body in corpus:
        _check(event, body, tally)
    for _ in range(number):
        event, body = chance.choice(corpus)
        _check(event, _mutated(body, chance, corpus), tally)
    tally.took("all mutated events together", 0, memory.grown())
    return tally


def _stored_events() -> Iterator[tuple[EventClass, bytes]]:
    by_type = {event.type_name(): event for event in EVENTS}
    for file in sorted(GOLDEN.glob("v*/*/examples/*.json")):
        body = file.read_bytes()
        yield by_type[json.loads(body)["type"]], body


def _check(event: EventClass, body: bytes, tally: Tally) -> None:
    tally.inputs += 1
    begun = time.perf_counter()
    try:
        read = event.from_json(body)
    except ValidationError as error:
        letter = DeadLetter.model_construct(
            stream="POSTS",
            stream_sequence=1,
            consumer="moderation-posts",
            subject=event.subject_prefix(),
            reason="invalid",
            detail=_why(error),
            deliveries=1,
            died=NOW,
            body=body,
        )
        if not letter.detail or not letter.model_dump_json():
            tally.failed(event.__name__, body)
    except Exception as error:  # noqa: BLE001  to find these is what this is for
        tally.failed(event.__name__, (error, body))
    else:
        if (why := unstorable(read)) or event.from_json(read.to_json()) != read:
            tally.failed(event.__name__, (why, body))
    tally.took(event.__name__, time.perf_counter() - begun)


def _mutated(body: bytes, chance: random.Random, corpus: list[tuple[EventClass, bytes]]) -> bytes:
    changed = bytearray(body)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(changed) + 1)
        end = min(len(changed), at + chance.choice((1, 1, 2, 8, 64)))
        match chance.randrange(6):
            case 0:
                changed[at:end] = chance.randbytes(end - at)
            case 1:
                del changed[at:end]
            case 2:
                changed[at:at] = chance.choice(BYTES_THAT_HURT)
            case 3:
                changed[at:end] = chance.choice(BYTES_THAT_HURT)
            case 4:
                changed[at:at] = changed[at:end] * chance.choice((1, 2, 50))
            case _:
                _, other = chance.choice(corpus)
                begin = chance.randrange(len(other))
                changed[at:end] = other[begin : begin + 64]
    return bytes(changed)


def unstorable(value: object) -> str | None:
    """What in an event PostgreSQL or JSON could not hold; nothing, as the schemas promise."""
    if isinstance(value, BaseModel):
        return next(filter(None, (unstorable(inner) for _, inner in value)), None)
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(unstorable, value)), None)
    if isinstance(value, dict):
        return unstorable([*value, *value.values()])
    if isinstance(value, str):
        bad = "\0" in value or any("\ud800" <= character <= "\udfff" for character in value)
        return f"text {value[:50]!r}" if bad else None
    if isinstance(value, float):
        return None if math.isfinite(value) else f"number {value}"
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else f"number {value}"
    return None


# --- structures --------------------------------------------------------------------------------

SOURCE = Source(
    "forum",
    Community(slug="acme", name="Acme", time_zone="Europe/Amsterdam", languages=("en", "nl")),
    "webhook",
    "forum",
    "attested",
)
KEY = bytes(32)
odd_texts = st.text(
    st.sampled_from(
        "aeé ilo01@$.!?,:/-_`>#*\n\t\u0301\u0489\u200b\u202e\u2066\u2028\ufeff\uffff\x07аеоісΑѕ"
        "ａｂ𝒶𝟘🙂👩‍💻ﷺǅßİıſ한ㅎ\u1160\u11ff\U000e0041"
    ),
    max_size=300,
) | st.lists(
    st.sampled_from(["free money", "crasht niet", "https://a.b/c?d", "```", "<b>", "@jo", "😡!?"])
).map(" ".join)


def generated_structures(seed: int, number: int) -> Tally:
    """Structures that a schema describes, and others: through submission, judge and intent."""
    tally = Tally()
    judge, cues = Judge.read(_shipped("moderation", "policy.yaml")), shipped_cues()
    rules = parse_rules(_shipped("routing", "routing.yaml"))

    def said(body: Json) -> None:
        event = PostReceived.from_json(json.dumps(body).encode())
        heard = judge.hear(event)
        labels = judge.labels(heard, Sightings(heard.sighting(key) for key in heard.keys))
        plain = Plain.of(event.data.name, event.data.content)
        assigned = rules.assign(event, plain, cues.read(plain, event.data.language))
        assert not rules.is_history(event) or assigned is not None
        for label in labels:
            assert unstorable(label) is None

    posts = bodies(PostReceived.json_schema())
    odd = st.builds(
        lambda body, words: body | {"data": body["data"] | words},
        posts,
        st.fixed_dictionaries({"content": odd_texts, "name": odd_texts}),
    )
    _try(tally, "event", posts | odd, said, seed, number // 2)

    schemas = [
        model.model_json_schema(by_alias=True) for model in (PostSubmission, InteractionSubmission)
    ]
    right = st.one_of([bodies(schema) for schema in schemas])
    fields = st.sampled_from(sorted({name for schema in schemas for name in schema["properties"]}))
    twisted = st.builds(
        lambda body, wrong: body | wrong,
        right,
        st.dictionaries(fields, json_values | odd_texts, max_size=3),
    )
    batches = st.fixed_dictionaries({"posts": st.lists(right | twisted | json_values, max_size=4)})
    anything = right | twisted | batches | json_values
    _try(tally, "submission", anything, _take_in, seed, number - number // 2)
    return tally


def _take_in(document: object) -> None:
    try:
        submissions = read_whole(JSON, json.dumps(document).encode(), SOURCE)
    except RefusedError as refused:
        json.dumps([error.why for error in refused.errors]).encode()
        return
    for one in submissions:
        author = author_of(one, SOURCE, KEY)
        event: Event[Any]
        if isinstance(one, PostSubmission):
            post = post_identity("acme", "forum", one.native_id)
            verdicts, _ = place_all(History(), [version_of(one, NOW)])
            sequence = next(v.sequence for v in verdicts if isinstance(v, NewVersion))
            language = one.language or "und"
            event = PostReceived.of(
                post_of(one, SOURCE, post, author, language, NOW), sequence, NOW
            )
        else:
            said = interaction_of(one, SOURCE, author, NOW)
            event = InteractionReceived.of(said, NOW, stated=one.published)
        _storable_and_small(event)
        if (named := named_author_of(one, SOURCE, KEY)) is not None:
            _storable_and_small(MemberSeen.of(member_of(one, SOURCE, named), NOW))


def _storable_and_small(event: Event[Any]) -> None:
    assert unstorable(event) is None
    assert len(event.to_json()) <= MAX_EVENT_BYTES
    assert type(event).from_json(event.to_json()) == event


def _try(
    tally: Tally,
    name: str,
    strategy: st.SearchStrategy[Any],
    use: Callable[[Any], None],
    seed: int,
    number: int,
) -> None:
    def one(value: Any) -> None:
        with tally.input(f"{name}: {json.dumps(value)[:100]}"):
            use(value)

    try_many(strategy, one, seed, number)


def _shipped(service: str, name: str) -> bytes:
    return (ROOT / f"services/{service}/src/klankbord_{service}/{name}").read_bytes()
