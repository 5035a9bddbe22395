"""The doors: what comes over the bus, and the clock."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from klankbord_metrics.telemetry import Telemetry
from klankbord_metrics.unhurried import Unhurried
from klankbord_metrics.usecases import Metrics
from klankbord_runtime.service import Service
from klankbord_runtime.work import Work
from klankbord_schemas import (
    FeedbackRouted,
    FeedbackWithdrawn,
    InteractionReceived,
    PostFlagged,
    PostReceived,
)

MOST_ROUNDS = 50
REST = 5
"""How many times as long as measuring took it rests, so that it stays a sixth of the work: a
thousand busy communities, or a day of a million posts, take seconds to measure."""


def declare(service: Service, metrics: Metrics, telemetry: Telemetry) -> None:
    """Say what the service consumes and what it does periodically."""
    service.forgets(metrics.forget)
    _listen(service, metrics, telemetry)
    _tick(service, metrics, telemetry)


def _listen(service: Service, metrics: Metrics, telemetry: Telemetry) -> None:
    """What comes over the bus."""

    @service.consumer("metrics-posts")
    async def on_posts(events: list[PostReceived], work: Work) -> None:
        await metrics.hear_posts(events, work)
        work.on_commit(lambda: telemetry.heard(events, datetime.now(UTC)))

    @service.consumer("metrics-interactions")
    async def on_interactions(events: list[InteractionReceived], work: Work) -> None:
        await metrics.hear_interactions(events, work)
        work.on_commit(lambda: telemetry.heard(events, datetime.now(UTC)))

    @service.consumer("metrics-flags")
    async def on_flags(events: list[PostFlagged], work: Work) -> None:
        await metrics.note_flags(events, work)

    @service.consumer("metrics-feedback")
    async def on_feedback(events: list[FeedbackRouted | FeedbackWithdrawn], work: Work) -> None:
        await metrics.note_cases(events, work)


def _tick(service: Service, metrics: Metrics, telemetry: Telemetry) -> None:
    """What the clock says."""
    measuring = Unhurried(REST)

    async def repeat(step: Callable[[Work], Awaitable[bool]]) -> None:
        """Repeat a step, in a transaction each, while it leaves more to do; but not for ever, so
        that under a load which it cannot follow the others get their turn."""
        for _ in range(MOST_ROUNDS):
            async with service.work() as work:
                more = await step(work)
            telemetry.said(work.emitted)
            if not more:
                break

    @service.every(seconds=1.0)
    async def tick() -> None:
        async with service.work() as work:
            await metrics.follow_communities(work)
        await repeat(metrics.count)
        if measuring.has_rested:
            with measuring:
                await repeat(metrics.measure)

    @service.every(seconds=5.0)
    async def show_totals() -> None:
        async with service.work() as work:
            telemetry.show(await metrics.totals(work), await metrics.uncounted(work))
