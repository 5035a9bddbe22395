"""Plausible: pages with Plausible's script report views and goals to Klankbord.

https://plausible.io/docs/events-api. The short names (`n`, `u`, `d`, `r`, `p`) are those that the
script sends.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal

from pydantic_core import from_json

from klankbord_ingest.kind import (
    JSON,
    Page,
    PassedOver,
    Reply,
    Request,
    Source,
    body_refused,
    gathered,
    json_body,
)
from klankbord_ingest.visits.receiver import CORS, Hit, Receiver, first, nobodys

OUTBOUND = frozenset({"Outbound Link: Click", "File Download"})
"""Goals of the script's own, whose property `url` is where the link leads."""


class Plausible(Receiver):
    """A site with Plausible's script, or a server that sends its events."""

    accepts = frozenset({JSON, "text/plain"})  # a text needs no preflight
    accepted = Reply(HTTPStatus.ACCEPTED, b"ok", headers=CORS)

    kind: Literal["plausible"]
    domains: tuple[str, ...] = ()
    """What the script's `data-domain` may say, where that is no host of `sites`."""

    def read(self, request: Request, source: Source, now: datetime) -> Page:  # noqa: ARG002
        """The one event of a request."""
        document = json_body(request)
        if not isinstance(document, dict):
            raise body_refused("is no object", "no_object")

        def event(given: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
            if reason := nobodys(request):
                raise PassedOver(reason)
            named = first(given, ("d", "domain")).lower().split(",")
            if not any(self._is_listed(name.strip()) for name in named):
                raise PassedOver("other_site")
            return [self.said(hit_of(given), now)]

        return gathered([document], event)

    def _is_listed(self, domain: str) -> bool:
        return domain in self.domains or self.is_own(domain)


def hit_of(event: Mapping[str, Any]) -> Hit:
    """The hit that an event is.

    Raises:
        PassedOver: it says how long somebody read.
        ValueError: it has no name.
    """
    name = first(event, ("n", "name"))
    if not name:
        raise ValueError("it has no name")
    if name == "engagement":
        raise PassedOver("engagement")
    properties = _properties(
        next((event[n] for n in ("p", "props", "m", "meta") if n in event), {})
    )
    return Hit(
        page=first(event, ("u", "url")),
        referrer=first(event, ("r", "referrer")),
        goal="" if name == "pageview" else name,
        target=first(properties, ("url",)) if name in OUTBOUND else "",
    )


def _properties(given: object) -> Mapping[str, Any]:
    """The properties, which older scripts send as JSON within JSON."""
    if isinstance(given, str):
        given = from_json(given)
    return given if isinstance(given, dict) else {}
