"""What to think of how far things may grow: it takes the bus and the machine to see."""

from klankbord_standalone.doctor.bus import BusFacts
from klankbord_standalone.doctor.finding import Checks, Judgement, ok, unchecked, warning
from klankbord_standalone.doctor.machine import MachineFacts
from klankbord_standalone.doctor.words import size


def disk(found: tuple[MachineFacts, BusFacts]) -> Judgement:
    """Whether the streams are bounded by their own limits before they are by the disk."""
    machine, bus = found
    if machine.nats_conf is None or not machine.disks:
        return unchecked("NATS keeps its streams elsewhere")
    streams = [stream for stream in bus.streams.values() if stream is not None]
    growth = sum(max(0, stream.max_bytes - stream.bytes) for stream in streams)
    free = machine.disks[0].free
    told = f"the streams may grow by {size(growth)}, and {size(free)} are free"
    if growth > free:
        return warning(
            told,
            "lower max_bytes in streams.yaml: a stream that is full holds senders up, "
            "a disk that is full stops everything",
        )
    return ok(told)


CHECKS: Checks[tuple[MachineFacts, BusFacts]] = {"disk: what streams may take": disk}
