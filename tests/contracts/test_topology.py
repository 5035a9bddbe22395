"""The bus: names that are addresses, streams that do not overlap, one voice for each fact."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from klankbord_schemas import EVENTS, MemberErased
from klankbord_schemas.catalogue import EventClass
from klankbord_schemas.topology import (
    CONSUMERS,
    SAID_BY_EACH,
    SERVICES,
    STREAMS,
    Consumer,
    Stream,
    consumer,
    producers_of,
    readers_of,
    stream_of,
)

SNAPSHOT = Path(__file__).with_name("topology.json")


def as_written() -> dict[str, Any]:
    """What today's code says, in the form of topology.json."""
    return {
        "streams": {
            stream.name: {"subjects": list(stream.subjects), "max_age_seconds": stream.max_age}
            for stream in STREAMS
        },
        "consumers": {
            reader.name: {
                "service": reader.service,
                "stream": reader.stream,
                "subjects": list(reader.subjects),
            }
            for reader in CONSUMERS
        },
        "events": {
            event.type_name(): {
                "subject": event.subject_template(),
                "by": " ".join(service.name for service in producers_of(event)),
            }
            for event in EVENTS
        },
    }


def test_the_addresses_are_the_ones_that_are_in_use() -> None:
    assert as_written() == json.loads(SNAPSHOT.read_text("utf-8")), (
        "an address changed. A consumer under a new name reads its stream again from the start, a "
        "stream under a new name is empty, a subject under a new name is heard by nobody who has "
        f"subscribed. If it is meant, change {SNAPSHOT.name} by hand and tell operators what to do."
    )


@pytest.mark.parametrize(("one", "other"), list(combinations(STREAMS, 2)), ids=lambda it: it.name)
def test_no_two_streams_keep_one_subject(one: Stream, other: Stream) -> None:
    for mine in one.subjects:
        for theirs in other.subjects:
            assert not overlap(mine, theirs)


def test_every_event_is_kept_by_one_stream(event: EventClass) -> None:
    subject = f"{event.subject_prefix()}.community.facet"
    keepers = [
        stream for stream in STREAMS if any(overlap(subject, held) for held in stream.subjects)
    ]
    assert keepers == [stream_of(event)]


def test_every_event_has_one_producer(event: EventClass) -> None:
    producers = [service for service in SERVICES if event in service.produces]
    if event in SAID_BY_EACH:
        assert producers == []
        assert producers_of(event) == list(SERVICES)
    else:
        assert producers == producers_of(event)
        assert len(producers) == 1


def test_every_event_has_the_readers_that_ask_for_it(event: EventClass) -> None:
    assert all(event in reader.events for reader in readers_of(event))


@pytest.mark.parametrize("reader", CONSUMERS, ids=lambda reader: reader.name)
def test_a_consumer_reads_what_its_stream_keeps(reader: Consumer) -> None:
    assert {stream_of(event).name for event in reader.events} == {reader.stream}
    assert reader.service in {service.name for service in SERVICES}
    assert consumer(reader.name) is reader


def test_every_service_is_asked_to_forget() -> None:
    for service in SERVICES:
        reader = consumer(f"{service.name}-erasures")
        assert (reader.service, reader.events) == (service.name, (MemberErased,))


def test_names_are_used_once() -> None:
    for names in ([it.name for it in STREAMS], [it.name for it in CONSUMERS]):
        assert len(set(names)) == len(names)


def test_durable_names_tell_whose_they_are() -> None:
    for reader in CONSUMERS:
        assert reader.name.startswith(f"{reader.service}-"), "and hold no dot, star or space"
        assert reader.name.replace("-", "").isalnum()


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a.b.>", "a.b.c", True),
        ("a.b.>", "a.b", False),
        ("a.*.c", "a.b.>", True),
        ("a.b", "a.c", False),
        ("a.b", "a.b.c", False),
        (">", "a", True),
    ],
)
def test_overlap_is_judged_as_nats_judges_it(one: str, other: str, expected: bool) -> None:
    assert overlap(one, other) is expected
    assert overlap(other, one) is expected


def overlap(one: str, other: str) -> bool:
    """Whether some subject matches both patterns."""
    mine, theirs = one.split("."), other.split(".")
    for left, right in zip(mine, theirs, strict=False):
        if ">" in {left, right}:
            return True
        if "*" not in {left, right} and left != right:
            return False
    return len(mine) == len(theirs)
