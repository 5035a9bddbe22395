"""What to think of NATS."""

from datetime import timedelta

from klankbord_standalone.doctor.bus import BusFacts, ConsumerFacts, StreamFacts
from klankbord_standalone.doctor.clock import clock_judged
from klankbord_standalone.doctor.finding import (
    Checks,
    Judgement,
    Unknown,
    named,
    ok,
    problem,
    unchecked,
    warning,
)
from klankbord_standalone.doctor.words import length, size

OLDEST_NATS = (2, 12)
"""The first one with atomic batches, which the outbox is published in."""
LATE = timedelta(minutes=5)
"""How old an unread event may be before someone should look."""
NEARLY_FULL, FULL = 0.8, 0.95
"""Parts of a stream's max_bytes."""


def version(bus: BusFacts) -> Judgement:
    """Whether this nats-server is one that Klankbord works with."""
    told = f"nats-server {bus.version[0]}.{bus.version[1]}"
    if bus.version < OLDEST_NATS:
        return problem(f"{told} is too old", f"run {OLDEST_NATS[0]}.{OLDEST_NATS[1]} or newer")
    return ok(told)


def clock(bus: BusFacts) -> Judgement:
    """Whether NATS and this machine agree on the time."""
    if isinstance(bus.ahead, Unknown):
        return unchecked(bus.ahead.why)
    return clock_judged(bus.ahead)


def topology(bus: BusFacts) -> Judgement:
    """Whether every stream and consumer is there, and as the topology wants it."""
    missing = [f"stream {name} is missing" for name, s in bus.streams.items() if s is None]
    missing += [f"consumer {name} is missing" for name, c in bus.consumers.items() if c is None]
    differing = [f"stream {s.name}: {d}" for s in _streams(bus) for d in s.drift]
    differing += [f"consumer {c.name}: {d}" for c in _consumers(bus) for d in c.drift]
    if missing or differing:
        return problem(named(missing + differing), "klankbord provision")
    return ok(f"{len(bus.streams)} streams and {len(bus.consumers)} consumers as they should be")


def permissions(bus: BusFacts) -> Judgement:
    """Whether each service's user may do what it must; tried with what is refused unstored."""
    refused = [f"{user} may not {what}" for user, whats in bus.refused.items() for what in whats]
    if refused:
        return problem(
            named(refused),
            "klankbord credentials FOLDER writes auth.conf anew; give it to nats-server and "
            "restart that",
        )
    return ok(f"{len(bus.refused)} services may say and read what they must")


def lag(bus: BusFacts) -> Judgement:
    """Whether the services keep up."""
    late = [
        f"{c.name} is {length(c.oldest_unread)} behind, {c.waiting:,} events"
        for c in _consumers(bus)
        if c.oldest_unread is not None and c.oldest_unread > LATE
    ]
    if late:
        return warning(named(late), "see whether that service runs, and what its log says")
    waiting = [f"{c.name} {c.waiting:,}" for c in _consumers(bus) if c.waiting]
    return ok(f"on their way: {named(waiting) or 'none'}; none older than {length(LATE)}")


def unread(bus: BusFacts) -> Judgement:
    """Whether an event may be dropped before it was read: there the promise ends."""
    ages = {s.name: s.max_age for s in _streams(bus)}
    near = [
        f"{c.name}: {length(c.oldest_unread)} of {length(age)}"
        for c in _consumers(bus)
        if c.oldest_unread is not None
        and (age := ages.get(c.stream)) is not None
        and c.oldest_unread > age / 2
    ]
    if near:
        return problem(
            f"unread events pass half of what their stream keeps: {named(near)}",
            "let that service run; until it has caught up, a longer max_age in streams.yaml and "
            "`klankbord provision`",
        )
    return ok("no unread event is near the end of what its stream keeps")


def missed(bus: BusFacts) -> Judgement:
    """Whether events went that a consumer had not read."""
    firsts = {s.name: s.first_sequence for s in _streams(bus)}
    gone = {
        c.name: firsts[c.stream] - 1 - c.acknowledged
        for c in _consumers(bus)
        if c.reads_whole and c.waiting and c.acknowledged < firsts.get(c.stream, 0) - 1
    }
    if gone:
        told = named(f"{consumer} ({count:,})" for consumer, count in gone.items())
        return problem(
            f"events went unread (too old, erased, or deleted by hand): {told}",
            "`klankbord outbox replay --since TIME` says again what the outboxes still have",
        )
    return ok("no event went before it was read")


def tail(bus: BusFacts) -> Judgement:
    """Whether a stream ends before what its readers have read: NATS lost its end."""
    lasts = {s.name: s.last_sequence for s in _streams(bus)}
    lost = [
        f"{c.stream} ends at {lasts[c.stream]:,}, and {c.name} has read up to {c.acknowledged:,}"
        for c in _consumers(bus)
        if c.stream in lasts and c.acknowledged > lasts[c.stream]
    ]
    if lost:
        return problem(named(lost), "klankbord outbox replay --since TIME (docs/operations.md)")
    return ok("every stream reaches as far as its readers have read")


def dead_letters(bus: BusFacts) -> Judgement:
    """Whether there are events that a consumer could not handle."""
    if bus.dead:
        told = named(f"{count:,} of {consumer}" for consumer, count in sorted(bus.dead.items()))
        return problem(
            f"dead letters: {told}", "klankbord dlq list; mend, then klankbord dlq replay"
        )
    return ok("none")


def room(bus: BusFacts) -> Judgement:
    """Whether a stream is nearly full: then it refuses, and the doors push back."""
    filled = {s.name: s.bytes / s.max_bytes for s in _streams(bus) if s.max_bytes > 0}
    told = [f"{name} {part:.0%}" for name, part in filled.items() if part > NEARLY_FULL]
    if told:
        tell = problem if max(filled.values()) > FULL else warning
        return tell(
            f"nearly full: {named(told)}",
            "raise max_bytes (or lower max_age) in streams.yaml, then klankbord provision",
        )
    return ok(f"the fullest stream is at {max(filled.values(), default=0):.0%}")


def durable(bus: BusFacts) -> Judgement:
    """Whether NATS confirms what is on the disk, and not only in its cache."""
    if isinstance(bus.monitoring, Unknown):
        return unchecked(bus.monitoring.why)
    if not bus.monitoring.sync_always:
        return problem(
            "nats-server confirms events that a power cut takes away",
            "`sync_interval: always` in the block jetstream of nats.conf, and restart it",
        )
    return ok("sync_interval: always")


def store(bus: BusFacts) -> Judgement:
    """Whether nats-server may keep what the streams may grow to."""
    if isinstance(bus.monitoring, Unknown):
        return unchecked(bus.monitoring.why)
    told = (
        f"the streams may grow to {size(bus.monitoring.reserved)}, "
        f"nats-server may keep {size(bus.monitoring.max_store)}"
    )
    if bus.monitoring.reserved > bus.monitoring.max_store:
        return problem(told, "raise max_file_store in nats.conf, or lower max_bytes")
    return ok(told)


def _streams(bus: BusFacts) -> list[StreamFacts]:
    return [stream for stream in bus.streams.values() if stream is not None]


def _consumers(bus: BusFacts) -> list[ConsumerFacts]:
    return [consumer for consumer in bus.consumers.values() if consumer is not None]


CHECKS: Checks[BusFacts] = {
    "NATS: version": version,
    "NATS: clock": clock,
    "NATS: streams and consumers": topology,
    "NATS: permissions": permissions,
    "NATS: on the disk": durable,
    "NATS: what it may keep": store,
    "streams: room": room,
    "streams: their end": tail,
    "consumers: lag": lag,
    "consumers: unread": unread,
    "consumers: missed": missed,
    "dead letters": dead_letters,
}
