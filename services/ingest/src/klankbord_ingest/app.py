"""Where ingest is built, and nowhere else."""

import os
from functools import partial
from random import SystemRandom
from secrets import token_bytes

from klankbord_ingest import handlers
from klankbord_ingest.api import Doors
from klankbord_ingest.arrivals import Arrivals
from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.fetch import Fetcher, user_agent
from klankbord_ingest.hearing import Hearing
from klankbord_ingest.intake import Intake
from klankbord_ingest.keys import SourceKeys, read_operator_tokens, read_pseudonym_key
from klankbord_ingest.language import LanguageDetector
from klankbord_ingest.links.door import LinkDoors
from klankbord_ingest.listening.door import SourcesDoor
from klankbord_ingest.listening.health import Health
from klankbord_ingest.listening.listener import Listener
from klankbord_ingest.listening.store import ListeningStore
from klankbord_ingest.operator import Operator
from klankbord_ingest.outgoing import Allowed, Gate
from klankbord_ingest.query.file import NOTHING
from klankbord_ingest.query.matcher import QuerySet
from klankbord_ingest.settings import Settings
from klankbord_ingest.sources import parse_sources
from klankbord_ingest.store import Store
from klankbord_ingest.tally import Tally
from klankbord_ingest.telemetry import Telemetry
from klankbord_ingest.usecases import Departures, Forgetting, Ingest, Watch
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.service import Service


def create(settings: Settings) -> Service:
    """Build the service: the only place that builds things.

    Raises:
        ValueError: the pseudonym key, the operator's token or an address that may be asked is
            missing or unfit.
    """
    service = Service("ingest", settings)
    telemetry = Telemetry(service.registry)
    sources = AcceptedFile("klankbord", parse_sources, settings.config_file("klankbord.yaml"))
    service.keep(sources)
    keys = SourceKeys(settings.secrets_dir, os.environ, decoy=token_bytes(32))
    pseudonym_key = read_pseudonym_key(settings.pseudonym_key_file)
    store = Store()
    path = settings.config_file("queries.yaml")
    tally = Tally()
    queries = AcceptedFile("queries", QuerySet.read, path, otherwise=NOTHING)
    service.keep(queries)
    ingest = Ingest(
        store, pseudonym_key, LanguageDetector(), service.erasures, lambda: queries.value, tally
    )
    forgetting = Forgetting(store, service.erasures)
    hearing = Hearing(service.work, Departures(store, pseudonym_key, forgetting), telemetry)
    operator_tokens = partial(read_operator_tokens, settings.operator_token_file)
    operator_tokens()  # a file that is unfit is told now, not at the first import
    gate = Gate(Allowed.of(settings.outgoing.allow))
    fetcher = Fetcher(gate, user_agent(settings.outgoing.contact))
    listening_store = ListeningStore()
    listener = Listener(
        service,
        ingest,
        hearing,
        sources,
        keys,
        listening_store,
        fetcher,
        FeedReader(),
        SystemRandom().random,
        telemetry,
        settings.public_url,
    )
    health = Health(service, store, listening_store, sources, keys, telemetry)
    intake = Intake(settings.max_waiting_bytes)
    telemetry.waiting_bytes.set_function(lambda: intake.held)
    arrivals = Arrivals(service.work, ingest)
    operator = Operator(operator_tokens)
    Doors(
        service,
        arrivals,
        hearing,
        sources,
        keys,
        listening_store,
        health.paused,
        operator,
        intake,
        telemetry,
    ).open()
    SourcesDoor(
        service, sources, operator, listener, listening_store, health, settings.public_url
    ).open()
    public_url = settings.public_url
    LinkDoors(service, arrivals, sources, operator, intake, telemetry, public_url).open()
    service.forgets(forgetting.forget)
    watch = Watch(store, tally)
    handlers.declare(service, ingest, sources, listener, keys, health, watch, telemetry)
    return service
