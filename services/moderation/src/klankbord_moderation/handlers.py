"""The doors: what comes over the bus."""

from klankbord_moderation.telemetry import Telemetry
from klankbord_moderation.usecases import Moderation
from klankbord_runtime.service import Service
from klankbord_runtime.work import Work
from klankbord_schemas import PostReceived


def declare(service: Service, moderation: Moderation, telemetry: Telemetry) -> None:
    """Say what the service consumes."""

    service.forgets(moderation.forget)

    @service.consumer("moderation-posts")
    async def on_posts(events: list[PostReceived], work: Work) -> None:
        await moderation.judge(events, work)
        work.on_commit(lambda: telemetry.judged(events, work.emitted))
