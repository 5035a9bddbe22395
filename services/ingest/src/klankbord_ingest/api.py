"""The doors: `/v1/sources/{name}` for sources, `POST /v1/import/{source}` for the operator."""

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from http import HTTPStatus
from typing import TypeAlias
from uuid import UUID

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from klankbord_ingest import kind
from klankbord_ingest.arrivals import Arrivals
from klankbord_ingest.cap import Cap
from klankbord_ingest.hearing import Hearing, told
from klankbord_ingest.intake import FullError, Intake
from klankbord_ingest.keys import SourceKeys
from klankbord_ingest.kind import JSON, Push, RefusedError, Reply, UnsignedError
from klankbord_ingest.kinds.webhook import Webhook
from klankbord_ingest.listening.store import ListeningStore
from klankbord_ingest.openapi import description
from klankbord_ingest.operator import Operator
from klankbord_ingest.problem import ProblemError
from klankbord_ingest.request_body import read_body
from klankbord_ingest.source import Source
from klankbord_ingest.sources import Sources
from klankbord_ingest.submission import FieldError, Submission, field_errors
from klankbord_ingest.telemetry import Telemetry
from klankbord_ingest.usecases import Delivery, Receipt
from klankbord_ingest.webhook import CLOUD_EVENT, read
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.faults import TRANSIENT
from klankbord_runtime.service import Service, answering
from klankbord_schemas.identity import fingerprint

MAX_IMPORT_BYTES = 1536 * 1024
"""More than `klankbord import` sends; as Python objects it may take thirty times that."""
METHODS = ["GET", "POST", "PUT", "OPTIONS"]
WITH_BODY = frozenset({"POST", "PUT"})
NOBODY = Webhook(kind="webhook", name="nobody", community="nobody")
"""As what a request to a source that there is not is looked at."""
RETRY_SECONDS = 5
"""When to try again what is turned away for now."""
BUSY_SECONDS = 1
"""The same, where all that is needed is that others are done."""

log = logging.getLogger(__name__)

Answer: TypeAlias = Callable[[Request], Awaitable[Response]]


class Doors:
    """Ingest's HTTP doors."""

    def __init__(
        self,
        service: Service,
        arrivals: Arrivals,
        hearing: Hearing,
        sources: AcceptedFile[Sources],
        keys: SourceKeys,
        listening: ListeningStore,
        paused: Callable[[], Collection[str]],
        operator: Operator,
        intake: Intake,
        telemetry: Telemetry,
    ) -> None:
        self._service = service
        self._arrivals = arrivals
        self._hearing = hearing
        self._sources = sources
        self._keys = keys
        self._listening = listening
        self._paused = paused
        self._operator = operator
        self._intake = intake
        self._telemetry = telemetry
        self._cap = Cap()

    def open(self) -> None:
        """Serve the doors."""
        push, importer = self._door("webhook", self._push), self._door("import", self._import)
        self._service.route("/v1/sources/{name}", push, methods=METHODS)
        self._service.route("/v1/sources/{name}/{rest:path}", push, methods=METHODS)
        self._service.route("/v1/import/{source}", importer, methods=["POST"])
        self._service.route("/openapi.json", self._describe, methods=["GET"])

    def _door(self, door: str, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of a door: whatever is wrong becomes a problem that says so."""

        async def endpoint(request: Request) -> Response:
            try:
                response = await answer(request)
            except ProblemError as problem:
                response = problem.response()
            except RefusedError as refused:
                response = _refusal(refused).response()
            except FullError:
                response = _too_many().response()
            except ClientDisconnect:
                response = ProblemError(HTTPStatus.BAD_REQUEST, "the body ended early").response()
            except TRANSIENT as error:
                answering(request).failed(error)
                log.warning("%s: %s: %s", door, type(error).__name__, error)
                response = _not_now("the database does not answer").response()
            self._telemetry.requests.labels(door, str(response.status_code)).inc()
            return response

        return endpoint

    # -- the sources' door ------------------------------------------------------------------------

    async def _push(self, request: Request) -> Response:
        source, entry = self._addressed(request)
        if request.method not in entry.methods:
            raise ProblemError(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"{request.method} is not what is sent here",
                headers={"Allow": ", ".join(sorted(entry.methods))},
            )
        if request.method in WITH_BODY and entry.accepts:
            _content_type(request, entry.accepts)
        self._may_accept()
        with self._intake.place() as place:
            body = await read_body(request, entry.max_bytes, place)
            with self._telemetry.answering("webhook", answering(request)):
                return await self._answer(request, body, source, entry)

    def _addressed(self, request: Request) -> tuple[Source | None, Push]:
        """The source that is named, and how it sends; as a webhook, where there is none."""
        name = request.path_params["name"]
        listed = self._sources.value.by_name if self._sources.accepted else {}
        source = listed.get(name)
        if source is not None and isinstance(source.entry, Push) and source.entry.uses("push"):
            return source, source.entry
        return None, NOBODY

    async def _answer(
        self, request: Request, body: bytes, source: Source | None, entry: Push
    ) -> Response:
        """Hear a request, if it is from its platform.

        An unknown source, one without secret and a wrong signature look the same from outside.
        """
        name, now = request.path_params["name"], datetime.now(UTC)
        path = request.path_params.get("rest")
        asked = kind.Request(
            request.method,
            "" if path is None else f"/{path}",
            request.query_params,
            request.scope["headers"],
            body,
        )
        keys = self._keys.of(name) if source is not None else None
        try:
            delivery_id = entry.verify(asked, keys or self._keys.decoy, now)
        except UnsignedError as reason:
            log.info("source %.63r: %s", name, reason)
            raise _unsigned() from None
        if source is None or keys is None:
            raise _unsigned()
        if (reply := entry.answer(asked, keys, now)) is not None:
            return _response(reply)
        most = entry.most_per_second
        if most is not None and not self._cap.admits(name, most, time.monotonic()):
            raise _too_many()
        if name in self._paused():
            raise _not_now("the operator has paused this source")
        try:
            page = entry.read(asked, source, now)
        except RefusedError as refused:
            self._count_refused(source, refused.errors)
            raise
        said, refused_items = await self._hearing.said(page, source)
        if refused_items:
            log.warning("source %s: %s", name, told(refused_items, len(said)))
        delivery = None if delivery_id is None else _delivery(name, delivery_id, body)
        receipt = await self._receive(request, said, source, len(body), delivery)
        if page.ask_now:
            async with self._service.database.connection() as connection:
                await self._listening.wake(connection, name, now)
        if entry.accepted is not None:
            return _response(entry.accepted)
        return JSONResponse(receipt._asdict(), HTTPStatus.ACCEPTED)

    # -- the import door -------------------------------------------------------------------------

    async def _import(self, request: Request) -> JSONResponse:
        self._operator.admit(request)
        content_type = _content_type(request, (JSON,))
        self._may_accept()
        with self._intake.place() as place:
            body = await read_body(request, MAX_IMPORT_BYTES, place)
            with self._telemetry.answering("import", answering(request)):
                source = self._import_source(request)
                handed = read(content_type, body, source)
                receipt = await self._receive(request, handed.submissions, source, len(body))
        self._count_refused(source, handed.errors)
        refused = [asdict(error) for error in handed.errors]
        return JSONResponse(receipt._asdict() | {"refused": refused})

    def _import_source(self, request: Request) -> Source:
        name, asked = request.path_params["source"], request.query_params
        community, platform = asked.get("community", ""), asked.get("platform")
        try:
            return self._sources.value.importing(name, community, platform)
        except ValidationError as error:
            raise RefusedError(field_errors(error)) from error
        except LookupError as error:
            why = str(error.args[0])
            raise RefusedError([FieldError(None, "community", why, "wrong_community")]) from error

    # -- what both do ----------------------------------------------------------------------------

    async def _receive(
        self,
        request: Request,
        submissions: Sequence[Submission],
        source: Source,
        size: int,
        delivery_id: UUID | None = None,
    ) -> Receipt:
        """Hear the submissions; back when they are committed."""
        traceparent = answering(request).traceparent
        delivery = Delivery(submissions, delivery_id, traceparent, size)
        receipt = await self._arrivals.write(delivery, source)
        self._telemetry.heard(source.name, *receipt)
        return receipt

    def _may_accept(self) -> None:
        if not self._sources.accepted:
            raise _not_now("no klankbord.yaml is in force yet")
        if self._service.outbox_full:
            raise _not_now("too much waits to be sent on")

    def _count_refused(self, source: Source, errors: Sequence[FieldError]) -> None:
        for error in errors:
            self._telemetry.refused.labels(source.name, error.code).inc()

    async def _describe(self, _request: Request) -> Response:
        return JSONResponse(description())


def _content_type(request: Request, accepted: Collection[str]) -> str:
    """The content type of a body that can be read, without parameters."""
    given = request.headers.get("content-type", "")
    media_type, _, parameters = given.partition(";")
    media_type = media_type.strip().lower()
    readable = "send " + " or ".join(sorted(accepted))
    if CLOUD_EVENT in accepted and any(
        name.startswith(b"ce-") for name, _ in request.scope["headers"]
    ):
        problem = (
            "CloudEvents in binary mode are not accepted, because their headers are not signed; "
            f"send structured mode, {CLOUD_EVENT}"
        )
    elif media_type not in accepted:
        problem = f"the content type {given[:100]!r} is not read here; {readable}"
    elif "charset" in parameters.lower() and "utf-8" not in parameters.lower():
        problem = f"the body is not UTF-8 by its content type {given[:100]!r}; {readable} in UTF-8"
    elif request.headers.get("content-encoding", "identity").lower() != "identity":
        problem = "compressed bodies are not read here; send the body as it is"
    else:
        return media_type
    raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, problem)


def _response(reply: Reply) -> Response:
    headers = {"Content-Type": reply.content_type, **reply.headers}
    return Response(reply.body, reply.status, headers)


def _unsigned() -> ProblemError:
    return ProblemError(
        HTTPStatus.UNAUTHORIZED,
        "no source of that name signed this body within five minutes of now; sign it as the "
        "source's kind asks (Standard Webhooks, for a webhook), with the source's secret",
    )


def _not_now(reason: str) -> ProblemError:
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"{reason}; nothing was stored, try again in {RETRY_SECONDS} s",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


def _too_many() -> ProblemError:
    return ProblemError(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"as much is being taken in as may be at once; nothing was stored, try again in "
        f"{BUSY_SECONDS} s, and send fewer requests at a time",
        headers={"Retry-After": str(BUSY_SECONDS)},
    )


def _refusal(refused: RefusedError) -> ProblemError:
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "nothing was stored: put right what `errors` says and send it again",
        refused.errors,
    )


def _delivery(source: str, delivery_id: str, body: bytes) -> UUID:
    """What makes a delivery one that was tried before: its source, its id and what it says.

    A sender that uses an id twice for different bodies loses nothing.
    """
    parts = (source, delivery_id, sha256(body).hexdigest())
    return UUID(bytes=fingerprint(*parts, size=16))
