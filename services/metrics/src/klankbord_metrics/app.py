"""The only place that builds things."""

from datetime import timedelta

from klankbord_metrics import handlers
from klankbord_metrics.communities import parse_communities
from klankbord_metrics.settings import Settings
from klankbord_metrics.store import Store
from klankbord_metrics.telemetry import Telemetry
from klankbord_metrics.usecases import Metrics
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.service import Service


def create(settings: Settings) -> Service:
    """Build the service."""
    service = Service("metrics", settings)
    communities = AcceptedFile(
        "klankbord", parse_communities, settings.config_file("klankbord.yaml")
    )
    service.keep(communities)
    metrics = Metrics(Store(), communities, timedelta(seconds=settings.settle_seconds))
    handlers.declare(service, metrics, Telemetry(service.registry))
    return service
