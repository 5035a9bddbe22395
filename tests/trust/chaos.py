"""Chaos: the whole pipeline under every fault that it must survive, and an audit of the rest."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
from figures import Row
from nats.errors import Error as NatsError
from stage import Staged, staged
from trust.auditor import ADVISORIES, TERMINATED, Audit, audit
from trust.crowd import Size, deliveries, malformed
from trust.faults import Faults
from trust.feeding import Feeding
from trust.listening import SUBSCRIBERS, Listener
from trust.part import Say
from trust.understudy import LEDGER
from trust.watching import Watch, idle_cpu

from klankbord_runtime.permissions import OPERATOR, PROVISION
from klankbord_schemas.topology import CONSUMERS, SERVICES
from klankbord_standalone.servers import Installation

TOLD_EVERY = 5.0
RECOVERED_WITHIN = 120.0
"""Seconds after which the audit no longer waits for the last event to be handled."""


@dataclass(frozen=True)
class Plan:
    """What is done in one run."""

    size: Size
    faults: Mapping[str, int]
    replicas: int
    lasts: float
    """Roughly how many seconds the faults take: feeding lasts as long."""
    idle_for: float = 0.5
    """Seconds over which it is seen how busy the services are when nothing happens."""
    broken: str | None = None
    """What of the guarantee is broken on purpose: a key of `understudy.BROKEN`."""


FULL = Plan(
    Size(posts=9_400, poisons=3, hasty=8, skewed=20),
    {
        "worker_kills": 60,
        "rolling_restarts": 10,
        "nats_kills": 15,
        "postgres_kills": 15,
        "nats_half_open": 1,
        "wrong_credentials": 1,
        "consumer_deleted": 1,
        "consumer_drifted": 1,
        "stream_full": 1,
        "postgres_stalled": 1,
    },
    replicas=2,
    lasts=170,
    idle_for=5.0,
)
OUTAGE = Plan(Size(posts=600, hasty=1), {"nats_outage": 1}, 1, 130, idle_for=5.0)
"""Beside it, on an installation of its own: it takes as long as half of the others."""
# written down once more: a plan that becomes smaller must not make the goals smaller
GOALS = {
    "worker_kills": 60,
    "rolling_restarts": 10,
    "nats_kills": 15,
    "postgres_kills": 15,
    "nats_half_open": 1,
    "nats_outage": 1,
    "wrong_credentials": 1,
    "consumer_deleted": 1,
    "consumer_drifted": 1,
    "stream_full": 1,
    "postgres_stalled": 1,
}
SHORT = Plan(
    Size(posts=1_500, poisons=1, hasty=2, skewed=2),
    {"worker_kills": 12, "rolling_restarts": 2, "nats_kills": 2, "postgres_kills": 2},
    replicas=2,
    lasts=15,
)
"""What `make test` has time for."""
OWES = (
    "lost",
    "doubled",
    "out_of_nowhere",
    "dead_letters_unexplained",
    "terminated_silently",
    "recovery_s",
    "rss_peak_mib",
    "forced_kills",
)


@dataclass
class Outcome:
    """What one run came to."""

    audit: Audit = field(default_factory=Audit)
    posts: int = 0
    sent_again: int = 0
    malformed: int = 0
    poisons: int = 0
    skewed: int = 0
    skewed_accepted: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    forced_kills: int = 0
    recovery_s: float = 0.0
    rss_peak_mib: float = 0.0
    rss_growth_mib: float = 0.0
    idle_cpu: float = 0.0
    repeated: int = 0
    """Events that a third party heard more than once, with the same id."""


async def run(seed: int, say: Say) -> list[Row]:
    """The full matrix, and the long outage beside it."""
    async with asyncio.TaskGroup() as group:
        full = group.create_task(play(FULL, seed, say))
        beside = group.create_task(play(OUTAGE, seed + 1, lambda text: say(f"outage: {text}")))
    return rows([full.result(), beside.result()])


async def play(plan: Plan, seed: int, say: Say) -> Outcome:
    """Start an installation, feed it while things are done to it, and audit what is left."""
    program = ["-m", "trust.understudy"]
    if plan.broken is not None:
        program += ["--broken", plan.broken]
    say(f"starting four services with {plan.replicas} replicas each")
    async with staged(
        program, replicas=plan.replicas, prepare=prepare, subscribers=SUBSCRIBERS
    ) as scene:
        faults = Faults(scene, plan.faults, seed, say)
        said = deliveries(plan.size, seed)
        bad = malformed(round(plan.size.posts * plan.size.malformed), seed)
        feeding = Feeding(scene, said, bad, lambda: faults.progress, plan.lasts)
        installation = scene.everything.installation
        listeners = [Listener(installation, subscriber) for subscriber in SUBSCRIBERS]
        watch = Watch(scene.replicas, lambda: faults.progress)
        async with running(*(listener.run for listener in listeners), watch.run):
            say(f"{plan.size.posts} posts, {sum(plan.faults.values())} faults")
            async with asyncio.TaskGroup() as group:
                group.create_task(feeding.run())
                group.create_task(faults.run())
            say("the faults are over: waiting until nothing is on its way")
            recovery = await _recovered(scene, say) - faults.ended_at
            say(f"recovered after {recovery:.1f} s: auditing")
            await _settled(scene)
            await _ready(scene)
            busy = await idle_cpu(scene.replicas, plan.idle_for)
        heard = {listener.subscriber.stream: listener.heard for listener in listeners}
        found = await audit(scene, feeding.accepted, feeding.undecided, heard)
        async with asyncio.TaskGroup() as group:
            for process in scene.replicas:
                await process.let_go()
                group.create_task(faults.stop(process))
    for finding in found.findings:
        say(f"FOUND {finding}")
    return Outcome(
        audit=found,
        posts=len(feeding.accepted) + len(feeding.undecided),
        sent_again=feeding.sent_again,
        malformed=len(bad),
        poisons=plan.size.poisons,
        skewed=feeding.skewed,
        skewed_accepted=feeding.skewed_accepted,
        faults=dict(faults.done),
        forced_kills=faults.forced_kills,
        recovery_s=recovery,
        rss_peak_mib=watch.peak_mib,
        rss_growth_mib=watch.growth_mib,
        idle_cpu=busy,
        repeated=sum(listener.repeated for listener in listeners),
    )


def rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """The figures of several runs as one.

    An advisory may be lost when the server is killed just then, so that fewer messages are known to
    be `terminated` than there are dead letters; the other way round would be a silent loss.
    """
    found = sum((outcome.audit for outcome in outcomes), Audit())
    done = {name: sum(o.faults.get(name, 0) for o in outcomes) for name in GOALS}
    return [
        Row("lost", found.lost, "effects", "== 0", note="; ".join(found.findings[:3])),
        Row("doubled", found.doubled, "effects", "== 0"),
        Row("out_of_nowhere", found.strange, "effects", "== 0"),
        Row("dead_letters_unexplained", found.dead_unexplained, "events", "== 0"),
        Row("terminated_silently", found.terminated_silently, "events", "== 0"),
        Row("dead_letters", found.dead_letters, "events"),
        Row("terminated", found.terminated, "events", note="as the server's advisories say"),
        Row("recovery_s", max(o.recovery_s for o in outcomes), "s", "<= 30"),
        Row("rss_peak_mib", max(o.rss_peak_mib for o in outcomes), "MiB", "< 256"),
        Row("rss_growth_mib", max(o.rss_growth_mib for o in outcomes), "MiB", "<= 32"),
        Row("idle_cpu_percent", max(o.idle_cpu for o in outcomes), "% of a core", "< 5"),
        Row("forced_kills", sum(o.forced_kills for o in outcomes), "stops", "== 0"),
        Row("posts", sum(o.posts for o in outcomes), "posts", ">= 10,000"),
        Row("posts_sent_again", sum(o.sent_again for o in outcomes), "posts", ">= 500"),
        Row("malformed", sum(o.malformed for o in outcomes), "events", ">= 200"),
        Row("poisons", sum(o.poisons for o in outcomes), "posts", ">= 3"),
        Row("clock_skewed", sum(o.skewed for o in outcomes), "deliveries", ">= 20"),
        Row("clock_skewed_accepted", sum(o.skewed_accepted for o in outcomes), "", "== 0"),
        Row("heard_again", sum(o.repeated for o in outcomes), "events", note="same id"),
        *(Row(name, done[name], "times", f">= {goal}") for name, goal in GOALS.items()),
    ]


@asynccontextmanager
async def running(*jobs: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run these beside, and end them; what one of them raised is raised then."""
    tasks = [asyncio.create_task(job()) for job in jobs]
    try:
        yield
    finally:
        left = set(tasks)
        while left:  # nats-py swallows a cancellation that comes at the wrong moment
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=1)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _recovered(scene: Staged, say: Say) -> float:
    """Wait until nothing is on its way: the moment, in the loop's time."""
    now = asyncio.get_running_loop().time
    told = now()
    deadline = told + RECOVERED_WITHIN
    while now() < deadline:
        try:
            left = await _on_its_way(scene)
        except (NatsError, OSError, asyncpg.PostgresError) as error:
            left = {f"{type(error).__name__}: {error}": 1}  # a server comes back: look again
        if not left:
            break
        if now() - told > TOLD_EVERY:
            told = now()
            say("on their way: " + ", ".join(f"{n} {name}" for name, n in left.items()))
        await asyncio.sleep(0.2)
    return now()


async def _on_its_way(scene: Staged, *, third_parties: bool = False) -> dict[str, int]:
    """How many events each consumer has not handled, and each service has said, not published.

    A third party whose acknowledgement was lost is told again after half a minute: that is its own
    affair, and no lag of the services.
    """
    left: dict[str, int] = {}
    async with scene.everything.installation.client(OPERATOR) as client:
        readers = [(c.stream, c.name) for c in CONSUMERS]
        if third_parties:
            readers += [(s.stream, s.user) for s in SUBSCRIBERS]
        for stream, name in readers:
            state = await client.jetstream().consumer_info(stream, name)
            left[name] = (state.num_pending or 0) + (state.num_ack_pending or 0)
    for service in SERVICES:
        (row,) = await scene.fetch(
            service.name, "select coalesce(sum(size), 0)::int as size from outbox_pending"
        )
        left[f"outbox of {service.name}"] = row["size"]
    return {name: count for name, count in left.items() if count}


async def _settled(scene: Staged) -> None:
    """Wait until everything that was heard is measured, and that is heard by third parties."""
    with suppress(TimeoutError):  # the audit says what is missing
        async with asyncio.timeout(RECOVERED_WITHIN):
            quiet = 0
            while quiet < 3:
                rows = await scene.fetch(
                    "reader", "select is_settled from metrics.published_community"
                )
                settled = all(row["is_settled"] for row in rows)
                left = await _on_its_way(scene, third_parties=True)
                quiet = quiet + 1 if settled and not left else 0
                await asyncio.sleep(0.5)


async def _ready(scene: Staged) -> None:
    """Wait until every replica is; what was killed often is started again ever more slowly."""
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        for process in scene.replicas:
            await process.ready(http)


async def prepare(installation: Installation) -> None:
    """Make the ledgers, and a stream of what the server says of messages that were given up: a
    core subscription would miss what is said while the server is killed."""
    for service in SERVICES:
        connection = await asyncpg.connect(installation.postgres_url(service.name))
        await connection.execute(LEDGER)
        await connection.close()
    async with installation.client(PROVISION) as client:
        config = {"name": ADVISORIES, "subjects": [TERMINATED], "storage": "file"}
        answer = await client.request(
            f"$JS.API.STREAM.CREATE.{ADVISORIES}", json.dumps(config).encode(), timeout=5
        )
    if "error" in (told := json.loads(answer.data)):
        raise AssertionError(told["error"])
