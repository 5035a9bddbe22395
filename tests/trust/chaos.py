"""Chaos: the whole pipeline under every fault that it must survive, and an audit of the rest."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from figures import Row
from stage import TODAY, Build, Staged, staged
from trust.auditor import Audit, audit
from trust.beside import beside
from trust.crowd import Size, deliveries, malformed
from trust.faults import Faults
from trust.feeding import Feeding
from trust.ledger import prepare
from trust.listening import SUBSCRIBERS, Listener
from trust.part import Say
from trust.settling import ready, recovered, settled
from trust.watching import Watch, idle_cpu

from klankbord_standalone.servers import Servers


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
    servers: Callable[[Path], Servers] = Servers
    """What it runs on, in a folder."""
    nodes: int = 1
    """How many nats-servers that has."""
    acting: Callable[[Staged, Mapping[str, int], int, Say], Faults] = Faults
    """Who can do these faults to that."""
    build: Build = TODAY
    """Of which build the services are at first."""


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
        outage = group.create_task(play(OUTAGE, seed + 1, lambda text: say(f"outage: {text}")))
    return rows([full.result(), outage.result()])


async def play(plan: Plan, seed: int, say: Say) -> Outcome:
    """Start an installation, feed it while things are done to it, and audit what is left."""
    program = ["-m", "trust.understudy"]
    if plan.broken is not None:
        program += ["--broken", plan.broken]
    say(f"starting four services with {plan.replicas} replicas each")
    async with staged(
        program,
        replicas=plan.replicas,
        prepare=partial(prepare, nodes=plan.nodes),
        subscribers=SUBSCRIBERS,
        servers_in=plan.servers,
        build=plan.build,
    ) as scene:
        faults = plan.acting(scene, plan.faults, seed, say)
        said = deliveries(plan.size, seed)
        bad = malformed(round(plan.size.posts * plan.size.malformed), seed)
        feeding = Feeding(scene, said, bad, lambda: faults.progress, plan.lasts)
        installation = scene.everything.installation
        listeners = [Listener(installation, subscriber) for subscriber in SUBSCRIBERS]
        watch = Watch(scene.replicas, lambda: faults.progress)
        async with beside(*(listener.run for listener in listeners), watch.run):
            say(f"{plan.size.posts} posts, {sum(plan.faults.values())} faults")
            async with asyncio.TaskGroup() as group:
                group.create_task(feeding.run())
                group.create_task(faults.run())
            say("the faults are over: waiting until nothing is on its way")
            recovery = await recovered(scene, say) - faults.ended_at
            say(f"recovered after {recovery:.1f} s: auditing")
            await settled(scene)
            await ready(scene)
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
