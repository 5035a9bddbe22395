"""Matomo: pages with Matomo's script report views, events, goals and outlinks to Klankbord.

https://developer.matomo.org/api-reference/tracking-api
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl

from pydantic import Field
from pydantic_core import from_json

from klankbord_ingest.kind import (
    Page,
    PassedOver,
    Reply,
    Request,
    Source,
    body_refused,
    gathered,
)
from klankbord_ingest.visits.receiver import CORS, MOST_HITS, Hit, Receiver, apart, first, nobodys
from klankbord_schemas.identity import fingerprint

PIXEL = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
"""An image of one transparent point: what the script asks for."""
MOST_PARAMETERS = 500
NAMES_THE_HIT = ("rand", "pv_id", "h", "m", "s", "url", "e_c", "e_a", "e_n", "idgoal", "link")
"""What tells one hit of a day from another: chance, the clock, what was done. Who it was (`_id`,
`uid`) is no part of that, and is not read."""


class Matomo(Receiver):
    """A site with Matomo's script, or a server that sends its hits."""

    methods: ClassVar[frozenset[str]] = frozenset({"GET", "POST", "OPTIONS"})
    accepts = frozenset()
    accepted = Reply(
        HTTPStatus.OK, PIXEL, "image/gif", headers=CORS | {"Cache-Control": "no-store"}
    )

    kind: Literal["matomo"]
    site_ids: tuple[int, ...] = Field(min_length=1, max_length=100)
    """What the script's `setSiteId` may say (`idsite`)."""
    goals: dict[int, str] = Field(default_factory=dict)
    """What goals are called, by their number (`idgoal`); `goal 7` where it is left out."""

    def borne(self, request: Request) -> str:
        """The secret in the header, or where Matomo has it: as `token_auth`."""
        if given := super().borne(request):
            return given
        try:
            return first(dict(request.query), ("token_auth",)) or first(
                _document(request) if _is_bulk(request) else _form(request), ("token_auth",)
            )
        except (ValueError, TypeError):
            return ""  # what is no document bears nothing

    def read(self, request: Request, source: Source, now: datetime) -> Page:  # noqa: ARG002
        """The hit of a request, or those of a bulk request."""

        def hit(numbered: tuple[int, Any]) -> Iterable[Mapping[str, Any]]:
            number, given = numbered
            parameters = _parameters(given)
            if reason := nobodys(request):
                raise PassedOver(reason)
            if first(parameters, ("rec",)) != "1":
                raise PassedOver("not_recorded")
            if int(first(parameters, ("idsite",)) or 0) not in self.site_ids:
                raise PassedOver("other_site")
            return [self.said(self._hit(parameters, now), apart(now, number))]

        return gathered(enumerate(_hits(request)), hit)

    def _hit(self, given: Mapping[str, Any], now: datetime) -> Hit:
        goal, target = self._done(given)
        return Hit(
            page=first(given, ("url",)),
            referrer=first(given, ("urlref", "_ref")),
            goal=goal,
            target=target,
            campaign=first(given, ("_rcn",)),
            native_id=_native_id(given, now),
        )

    def _done(self, given: Mapping[str, Any]) -> tuple[str, str]:
        """What was done, and where a link leads; both empty for a view.

        Raises:
            PassedOver: nobody did anything: the page tells that it is still open.
        """
        if first(given, ("ping",)) == "1":
            raise PassedOver("ping")
        if number := first(given, ("idgoal",)):
            named = self.goals.get(int(number), f"goal {int(number)}")
            return ("order" if int(number) == 0 else named), ""
        if category := first(given, ("e_c",)):
            parts = (category, first(given, ("e_a",)), first(given, ("e_n",)))
            return " / ".join(filter(None, parts)), ""
        for name in ("link", "download"):
            if target := first(given, (name,)):
                return name, target
        if content := first(given, ("c_n",)):
            if first(given, ("c_i",)):
                return content, ""
            raise PassedOver("impression")
        return "", ""


def _native_id(given: Mapping[str, Any], now: datetime) -> str | None:
    """The same for a hit that is sent again on one day; None where it does not say which it is."""
    if not first(given, ("rand",)):
        return None
    parts = [first(given, (name,)) for name in NAMES_THE_HIT]
    return fingerprint(now.date().isoformat(), *parts, size=16).hex()


def _is_bulk(request: Request) -> bool:
    """Whether a body is JSON; the script itself calls that a text or a form, or nothing."""
    return request.body.lstrip()[:1] == b"{"


def _hits(request: Request) -> Sequence[Any]:
    """Each hit as the parameters or the query that it is.

    Raises:
        RefusedError: the body is none.
    """
    if not _is_bulk(request):
        try:
            return [dict(request.query) | _form(request)]
        except ValueError as error:
            raise body_refused(f"is no form: {error}", "malformed") from None
    try:
        hits = _document(request)["requests"]
    except (ValueError, TypeError, KeyError):
        raise body_refused('is no bulk request: send {"requests": […]}', "no_json") from None
    if not isinstance(hits, list):
        raise body_refused("is no list", "no_list", "requests")
    if len(hits) > MOST_HITS:
        raise body_refused(f"holds {len(hits)}; send at most {MOST_HITS}", "too_many", "requests")
    return hits


def _document(request: Request) -> dict[str, Any]:
    document = from_json(request.body)
    if not isinstance(document, dict):
        raise TypeError("it is no object")
    return document


def _form(request: Request) -> dict[str, str]:
    return dict(_pairs(request.body.decode("utf-8")))


def _parameters(given: Any) -> Mapping[str, Any]:
    if isinstance(given, str):
        return dict(_pairs(given.removeprefix("?")))
    if not isinstance(given, dict):
        raise TypeError("it is neither a query nor an object")
    return given


def _pairs(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, max_num_fields=MOST_PARAMETERS)
