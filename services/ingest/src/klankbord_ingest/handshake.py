"""May you send here? What a sender of CloudEvents asks before it sends to a web hook.

Such a sender asks with OPTIONS, unsigned, who it is and how often it would like to send. It is
granted only to the origins that the operator listed; what it sends afterwards is signed as ever.

Format: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md#4-abuse-protection
"""

from collections.abc import Collection
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from klankbord_ingest.kind import Reply, Request, UnsignedError
from klankbord_schemas.types import Line

ASKED = "OPTIONS"
ORIGIN, RATE = "webhook-request-origin", "webhook-request-rate"

Origins = Annotated[tuple[Line, ...], Field(max_length=20)]
"""Who may ask, by the names that they give themselves: `eventemitter.example.com`."""
PerMinute = Annotated[int, Field(ge=1, le=1_000_000)]
"""How often they may send."""


def check_origin(request: Request, origins: Collection[str]) -> None:
    """Let only those ask who are listed.

    Raises:
        UnsignedError: this one is not.
    """
    origin = request.header(ORIGIN)
    if origin not in origins:
        raise UnsignedError(f"OPTIONS is asked by {origin!r:.80}, which is not in `origins`")


def granted(request: Request, per_minute: int | None) -> Reply:
    """That it may send, and how often; what sends without asking for a rate is told none."""
    headers = {"WebHook-Allowed-Origin": request.header(ORIGIN), "Allow": "POST"}
    if request.header(RATE):
        headers["WebHook-Allowed-Rate"] = str(per_minute or "*")
    return Reply(HTTPStatus.OK, headers=headers)
