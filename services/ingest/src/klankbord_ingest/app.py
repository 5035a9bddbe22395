"""Where ingest is built, and nowhere else."""

import os
from functools import partial
from random import SystemRandom
from secrets import token_bytes

from klankbord_ingest import handlers
from klankbord_ingest.api import Doors
from klankbord_ingest.arrivals import Arrivals
from klankbord_ingest.feeds.poller import Poller
from klankbord_ingest.feeds.store import FeedStore
from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.fetch import Allowed, Fetcher
from klankbord_ingest.intake import Intake
from klankbord_ingest.keys import SourceKeys, read_operator_tokens, read_pseudonym_key
from klankbord_ingest.language import LanguageDetector
from klankbord_ingest.settings import Settings
from klankbord_ingest.sources import parse_sources
from klankbord_ingest.store import Store
from klankbord_ingest.telemetry import Telemetry
from klankbord_ingest.usecases import Forgetting, Ingest
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.service import Service


def create(settings: Settings) -> Service:
    """Build the service: the only place that builds things.

    Raises:
        ValueError: the pseudonym key or the operator's token is missing or unfit.
    """
    service = Service("ingest", settings)
    telemetry = Telemetry(service.registry)
    sources = AcceptedFile("klankbord", parse_sources, settings.config_file("klankbord.yaml"))
    service.keep(sources)
    keys = SourceKeys(settings.secrets_dir, os.environ, decoy=token_bytes(32))
    pseudonym_key = read_pseudonym_key(settings.pseudonym_key_file)
    store = Store()
    ingest = Ingest(store, pseudonym_key, LanguageDetector(), service.erasures)
    operator_tokens = partial(read_operator_tokens, settings.operator_token_file)
    operator_tokens()  # a file that is unfit is told now, not at the first import
    fetcher = Fetcher(Allowed.of(settings.allowed_hosts))
    chance = SystemRandom().random
    poller = Poller(service, ingest, sources, FeedStore(), fetcher, FeedReader(), chance, telemetry)
    intake = Intake(settings.max_waiting_bytes)
    telemetry.waiting_bytes.set_function(lambda: intake.held)
    arrivals = Arrivals(service.work, ingest)
    Doors(service, arrivals, sources, keys, operator_tokens, intake, telemetry).open()
    service.forgets(Forgetting(store, service.erasures).forget)
    handlers.declare(service, ingest, store, sources, poller, keys, telemetry)
    return service
