"""The only place that builds things."""

from klankbord_moderation import handlers
from klankbord_moderation.judge import Judge
from klankbord_moderation.settings import Settings
from klankbord_moderation.store import Store
from klankbord_moderation.telemetry import Telemetry
from klankbord_moderation.usecases import Moderation
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.service import Service


def create(settings: Settings) -> Service:
    """Build the service."""
    service = Service("moderation", settings)
    policy = AcceptedFile("policy", Judge.read, settings.config_file("policy.yaml"))
    service.keep(policy)
    moderation = Moderation(Store(), policy)
    handlers.declare(service, moderation, Telemetry(service.registry))
    return service
