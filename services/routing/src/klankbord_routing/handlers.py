"""The doors: what comes over the bus."""

from klankbord_routing.telemetry import Telemetry
from klankbord_routing.usecases import Routing
from klankbord_runtime.service import Service
from klankbord_runtime.work import Work
from klankbord_schemas import PostFlagged, PostReceived


def declare(service: Service, routing: Routing, telemetry: Telemetry) -> None:
    """Say what the service consumes."""

    service.forgets(routing.forget)

    @service.consumer("routing-posts")
    async def on_posts(events: list[PostReceived], work: Work) -> None:
        await routing.hear_posts(events, work)
        work.on_commit(lambda: telemetry.said(work.emitted))

    @service.consumer("routing-flags")
    async def on_flags(events: list[PostFlagged], work: Work) -> None:
        await routing.hear_flags(events, work)
        work.on_commit(lambda: telemetry.said(work.emitted))
