"""Where ingest is built, and nowhere else."""

import os
from pathlib import Path
from secrets import token_bytes

from klankbord_ingest import feeds, handlers
from klankbord_ingest.api import Doors
from klankbord_ingest.keys import SourceKeys
from klankbord_ingest.language import LanguageDetector
from klankbord_ingest.pseudonym import read_key
from klankbord_ingest.settings import Settings
from klankbord_ingest.sources import parse_sources
from klankbord_ingest.store import Store
from klankbord_ingest.telemetry import Telemetry
from klankbord_ingest.usecases import Ingest
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.service import Service

MIN_TOKEN_BYTES = 32


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
    ingest = Ingest(Store(), read_key(settings.pseudonym_key_file), LanguageDetector())
    operator_token = _operator_token(settings.operator_token_file)
    Doors(service, ingest, sources, keys, operator_token, telemetry).open()
    handlers.declare(service, ingest, sources, keys, telemetry)
    feeds.declare(service, ingest, sources, settings.allowed_hosts)
    return service


def _operator_token(file: Path | None) -> bytes | None:
    """The token that opens the import door; none keeps it shut."""
    if file is None:
        return None
    token = file.read_bytes().strip()
    if len(token) < MIN_TOKEN_BYTES:
        raise ValueError(
            f"{file} holds no operator token of at least {MIN_TOKEN_BYTES} characters; "
            "make one with `openssl rand -hex 32`"
        )
    return token
