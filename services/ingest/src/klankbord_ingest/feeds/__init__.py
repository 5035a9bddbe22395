"""Feeds: RSS, Atom, RDF and JSON Feed, polled and imported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from klankbord_ingest.sources import Sources
    from klankbord_ingest.usecases import Ingest
    from klankbord_runtime.accepted import AcceptedFile
    from klankbord_runtime.service import Service


def declare(
    service: Service, ingest: Ingest, sources: AcceptedFile[Sources], allowed: Iterable[str] = ()
) -> None:
    """Declare the polling of every feed that the sources list: see `poller.declare`."""
    # Here, because the reader process imports this package too and must stay small.
    from klankbord_ingest.feeds import poller

    poller.declare(service, ingest, sources, allowed)
