"""The only place that builds things."""

from klankbord_routing import handlers
from klankbord_routing.intent import shipped_cues
from klankbord_routing.rules import parse_rules
from klankbord_routing.settings import Settings
from klankbord_routing.store import Store
from klankbord_routing.telemetry import Telemetry
from klankbord_routing.usecases import Routing
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.service import Service


def create(settings: Settings) -> Service:
    """Build the service."""
    service = Service("routing", settings)
    rules = AcceptedFile("routing", parse_rules, settings.config_file("routing.yaml"))
    service.keep(rules)
    routing = Routing(Store(), shipped_cues(), rules)
    handlers.declare(service, routing, Telemetry(service.registry))
    return service
