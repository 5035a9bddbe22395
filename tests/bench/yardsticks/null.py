"""Moderation's consumer on the real runtime, judging every post and having no effect.

With nothing to write but the inbox, the servers are not what two replicas wait for.
"""

from klankbord_moderation.flood import Sightings
from klankbord_moderation.judge import Judge
from klankbord_moderation.settings import Settings
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.main import command
from klankbord_runtime.service import Service
from klankbord_runtime.work import Work
from klankbord_schemas import PostReceived


def create(settings: Settings) -> Service:
    service = Service("moderation", settings)
    policy = AcceptedFile("policy", Judge.read, settings.config_file("policy.yaml"))
    service.keep(policy)

    @service.consumer("moderation-posts")
    async def on_posts(events: list[PostReceived], _work: Work) -> None:
        for event in events:
            policy.value.labels(policy.value.hear(event), Sightings())

    return service


if __name__ == "__main__":
    command("moderation", Settings, create)
