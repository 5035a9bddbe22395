"""Umami: pages with Umami's script report views and events to Klankbord.

https://docs.umami.is/docs/api/sending-stats
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import urljoin

from pydantic import Field, StringConstraints

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
from klankbord_ingest.visits.receiver import (
    CORS,
    MOST_HITS,
    Hit,
    Receiver,
    apart,
    first,
    nobodys,
    without_query,
)

Website = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[0-9a-f-]{36}$")]


class Umami(Receiver):
    """A site with Umami's script, or a server that sends its events."""

    # the script reads its answer as JSON
    accepted = Reply(HTTPStatus.OK, b"{}", JSON, headers=CORS)

    kind: Literal["umami"]
    websites: Annotated[tuple[Website, ...], Field(min_length=1, max_length=100)]
    """What the script's `data-website-id` may say."""

    def read(self, request: Request, source: Source, now: datetime) -> Page:  # noqa: ARG002
        """The event of a request, or those of a batch (`/api/batch`)."""
        document = json_body(request)
        events = document if isinstance(document, list) else [document]
        if len(events) > MOST_HITS:
            raise body_refused(f"holds {len(events)} events; send at most {MOST_HITS}", "too_many")

        def event(numbered: tuple[int, Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
            number, given = numbered
            if reason := nobodys(request):
                raise PassedOver(reason)
            if given["type"] != "event":
                raise PassedOver("no_event")  # `identify` says who somebody is
            payload = given["payload"]
            if first(payload, ("website",)).lower() not in self.websites:
                raise PassedOver("other_site")
            return [self.said(hit_of(payload), apart(now, number))]

        return gathered(enumerate(events), event)


def hit_of(payload: Mapping[str, Any]) -> Hit:
    """The hit that a payload is. Its addresses may be paths on its host."""
    base = f"https://{first(payload, ('hostname',))}/"
    data = payload.get("data")
    goal = first(payload, ("name",))
    referrer = first(payload, ("referrer",))
    return Hit(
        page=urljoin(base, first(payload, ("url",))),
        referrer=urljoin(base, referrer) if referrer else "",
        goal=goal,
        target=_address(data) if goal and isinstance(data, dict) else "",
    )


def _address(data: Mapping[str, Any]) -> str:
    """Where a link leads that an event is about: its property `url`, if it is an address."""
    told = first(data, ("url",))
    try:
        return without_query(told)
    except ValueError:
        return ""
