"""The doors of short links: `/r/{code}` for everybody, `/v1/operator/links` for the operator."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from secrets import choice
from typing import Any, TypeAlias
from uuid import uuid4

from pydantic import ValidationError
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from klankbord_ingest.arrivals import Arrivals
from klankbord_ingest.cap import Cap
from klankbord_ingest.intake import FullError, Intake
from klankbord_ingest.links.book import MOST_LINKS, LinkBook
from klankbord_ingest.links.clicks import Clicks
from klankbord_ingest.links.link import OWN_SOURCE, Link, LinkOffer, link_of
from klankbord_ingest.links.store import LinkStore
from klankbord_ingest.operator import Operator
from klankbord_ingest.problem import ProblemError
from klankbord_ingest.request_body import read_body
from klankbord_ingest.source import Source
from klankbord_ingest.sources import Sources
from klankbord_ingest.submission import FieldError, InteractionSubmission, field_errors
from klankbord_ingest.telemetry import Telemetry
from klankbord_ingest.visits import agents
from klankbord_ingest.visits.channel import channel_of, referrer_of
from klankbord_runtime import audit
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.faults import TRANSIENT
from klankbord_runtime.service import Service, answering

FOLLOW_EVERY = 2.0
"""Seconds until every replica knows a link that another one made or disabled."""
WRITE_EVERY = 1.0
"""Seconds until clicks that could not be written are tried again."""
MOST_PER_SECOND = 100
"""Clicks on one link that are counted in a second: more are led, and not counted."""
MOST_LISTED = 1000
MAX_OFFER_BYTES = 32 * 1024
RETRY_SECONDS = 5

LED = {
    "Cache-Control": "no-store",  # the next click shall be seen too
    # the page that it leads to learns which site led there, and no more
    "Referrer-Policy": "strict-origin-when-cross-origin",
}
SHUT = LED | {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><title>{title}</title>'
    "<body style='font-family:sans-serif;max-width:32em;margin:15vh auto;padding:0 1em'>"
    "<h1>{title}</h1><p>{text}</p></body></html>"
)
UNKNOWN = PAGE.format(
    title="There is no such link",
    text="Perhaps a letter of its address is missing, or one too many. Look at it again where you "
    "found it, or ask whoever gave it to you.",
)
DISABLED = PAGE.format(
    title="This link has ended",
    text="It led somewhere once, and whoever made it has ended it. Ask them where to go instead.",
)

log = logging.getLogger(__name__)

Answer: TypeAlias = Callable[[Request], Awaitable[Response]]


class LinkDoors:
    """Leads whoever follows a short link, counts them, and lets the operator make links."""

    def __init__(
        self,
        service: Service,
        arrivals: Arrivals,
        sources: AcceptedFile[Sources],
        operator: Operator,
        intake: Intake,
        telemetry: Telemetry,
        public_url: str | None,
    ) -> None:
        self._service = service
        self._sources = sources
        self._operator = operator
        self._intake = intake
        self._telemetry = telemetry
        self._public_url = public_url
        self._store = LinkStore()
        self._book = LinkBook()
        self._cap = Cap()
        self._clicks = Clicks(
            arrivals,
            lambda: sources.accepted and not service.outbox_full,
            self._source,
            telemetry,
        )
        telemetry.clicks_waiting.set_function(lambda: len(self._clicks))

    def open(self) -> None:
        """Serve the doors, and follow what other replicas do."""
        self._service.route("/r/{code:path}", self._follow, methods=["GET", "HEAD"])
        listed, made, ended = (
            self._door(answer) for answer in (self._list, self._add, self._disable)
        )

        async def links(request: Request) -> Response:
            return await (made if request.method == "POST" else listed)(request)

        self._service.route("/v1/operator/links", links, methods=["GET", "POST"])
        self._service.route("/v1/operator/links/{code}/disable", ended, methods=["POST"])

        async def follow_links() -> None:
            async with self._service.database.connection() as connection:
                self._book.note(await self._store.changed(connection, self._book.newest))

        async def read_links() -> None:
            await asyncio.to_thread(agents.warm)
            await follow_links()

        async def write_clicks() -> None:
            await self._clicks.try_again()

        self._service.on_start(read_links)
        self._service.every(seconds=FOLLOW_EVERY)(follow_links)
        self._service.every(seconds=WRITE_EVERY)(write_clicks)

    # -- whoever follows a link ------------------------------------------------------------------

    async def _follow(self, request: Request) -> Response:
        """Lead to where the link leads, and to nowhere else: nothing of the request has a part."""
        with self._telemetry.answering("redirect", answering(request)):
            response = self._led(request)
        self._telemetry.requests.labels("redirect", str(response.status_code)).inc()
        return response

    def _led(self, request: Request) -> Response:
        link = self._book.find(request.path_params["code"])
        if link is None:
            self._telemetry.clicks.labels("unknown").inc()
            return HTMLResponse(UNKNOWN, HTTPStatus.NOT_FOUND, SHUT)
        if link.disabled is not None:
            self._telemetry.clicks.labels("disabled").inc()
            return HTMLResponse(DISABLED, HTTPStatus.GONE, SHUT)
        outcome = self._outcome(request, link)
        self._telemetry.clicks.labels(outcome).inc()
        if outcome == "counted":
            self._clicks.hold(click_of(link, request.headers, datetime.now(UTC)), link)
        # after the answer: whoever follows a link does not wait for our database
        then = BackgroundTask(self._clicks.write) if outcome == "counted" else None
        return Response(
            status_code=HTTPStatus.FOUND,
            headers=LED | {"Location": link.target},
            background=then,
        )

    def _outcome(self, request: Request, link: Link) -> str:
        """`counted`, or why this is nobody's click."""
        if request.method == "HEAD":
            return "head"
        if agents.is_ahead(request.headers):
            return "prefetch"
        if agents.is_program(request.headers.get("user-agent", "")):
            return "automated"
        may_count = self._cap.admits(link.code, MOST_PER_SECOND, time.monotonic())
        return "counted" if may_count else "capped"

    def _source(self, link: Link) -> Source:
        """The source that a click on this link belongs to.

        Its time is our own clock's, so it is attested, whatever is thought of the source's posts.
        """
        sources = self._sources.value
        listed = sources.by_name.get(link.source)
        if listed is not None and listed.community.slug == link.community:
            return replace(listed, kind="link", published_trust="attested")
        # since the link was made its source may have gone to another community
        name = link.source if listed is None else OWN_SOURCE
        return Source(name, sources.community(link.community), "link", name, "attested")

    # -- the operator ----------------------------------------------------------------------------

    def _door(self, answer: Answer) -> Answer:
        """An endpoint for the operator alone: whatever is wrong becomes a problem that says so."""

        async def endpoint(request: Request) -> Response:
            try:
                self._operator.admit(request)
                response = await answer(request)
            except ProblemError as problem:
                response = problem.response()
            except FullError:
                response = _not_now(HTTPStatus.TOO_MANY_REQUESTS, "as much is taken in as may be")
            except ClientDisconnect:
                response = ProblemError(HTTPStatus.BAD_REQUEST, "the body ended early").response()
            except TRANSIENT as error:
                answering(request).failed(error)
                log.warning("links: %s: %s", type(error).__name__, error)
                response = _not_now(HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer")
            self._telemetry.requests.labels("links", str(response.status_code)).inc()
            return response

        return endpoint

    async def _list(self, request: Request) -> Response:
        """The newest links, with whether they lead anywhere."""
        community = request.query_params.get("community")
        async with self._service.database.connection() as connection:
            links = await self._store.listed(connection, community, MOST_LISTED)
        return JSONResponse({"links": [self._told(link) for link in links]})

    async def _add(self, request: Request) -> Response:
        """Make a link: 201, or 200 where the very same one is there already."""
        with self._intake.place() as place:
            offer = _offer(await read_body(request, MAX_OFFER_BYTES, place))
        self._see_that_it_belongs(offer)
        link = link_of(offer, choice, datetime.now(UTC))
        async with self._service.work() as work:
            added = await self._store.add(work.connection, link, MOST_LINKS)
            there = added or await self._store.get(work.connection, link.code)
            if added is not None:
                await audit.append(
                    work.connection, "link.made", code=link.code, community=link.community
                )
        if there is None:
            raise _wrong("", f"there are {MOST_LINKS} links, and no more can be kept", "too_many")
        if added is None and not (there.says_the_same(link) and there.disabled is None):
            why = f"{link.code!r} leads elsewhere, or did: no code is used twice; choose another"
            raise _wrong("code", why, "taken", HTTPStatus.CONFLICT)
        self._book.note([there])
        return JSONResponse(self._told(there), HTTPStatus.CREATED if added else HTTPStatus.OK)

    async def _disable(self, request: Request) -> Response:
        """Let a link lead nowhere from here on."""
        code = request.path_params["code"].lower()
        async with self._service.work() as work:
            link = await self._store.disable(work.connection, code)
            if link is not None:
                await audit.append(
                    work.connection, "link.disabled", code=link.code, community=link.community
                )
        if link is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"there is no link {code[:63]!r}")
        self._book.note([link])
        return JSONResponse(self._told(link))

    def _see_that_it_belongs(self, offer: LinkOffer) -> None:
        """See that the community and the source are listed, and belong together."""
        if not self._sources.accepted:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE, "no klankbord.yaml is in force yet; try again"
            )
        sources = self._sources.value
        if offer.community not in sources.communities:
            listed = ", ".join(sources.communities)
            why = f"{offer.community!r} is not listed in klankbord.yaml; listed are {listed}"
            raise _wrong("community", why, "unknown_value")
        if offer.post is not None and offer.source is None:
            why = "is missing: say of which source the post is"
            raise _wrong("source", why, "missing")
        source = None if offer.source is None else sources.by_name.get(offer.source)
        if offer.source not in {None, OWN_SOURCE} and source is None:
            why = f"{offer.source!r} is not listed in klankbord.yaml"
            raise _wrong("source", why, "unknown_value")
        if source is not None and source.community.slug != offer.community:
            why = f"{source.name!r} belongs to community {source.community.slug!r}"
            raise _wrong("source", why, "wrong_community")

    def _told(self, link: Link) -> dict[str, Any]:
        return {
            "code": link.code,
            "publicUrl": self._public_url,
            "community": link.community,
            "source": link.source,
            "target": link.target,
            "post": link.post,
            "campaign": link.campaign.campaign or None,
            "made": link.made.isoformat(),
            "disabled": None if link.disabled is None else link.disabled.isoformat(),
        }


def click_of(link: Link, headers: Mapping[str, str], now: datetime) -> InteractionSubmission:
    """A click on that link: no word about who it was.

    Its id is made up here, so that it is written once, however often it must be tried.
    """
    campaign, referrer = link.campaign, referrer_of(headers.get("referer", ""))
    return InteractionSubmission.model_validate(
        {
            "kind": "click",
            "nativeId": f"{link.code}:{uuid4().hex}",
            "published": now,
            "object": link.post,
            "url": link.url,
            "campaign": campaign.campaign or None,
            "channel": channel_of(referrer, campaign),
            "referrer": referrer,
        }
    )


def _offer(body: bytes) -> LinkOffer:
    try:
        return LinkOffer.model_validate_json(body)
    except ValidationError as error:
        errors = field_errors(error)
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "no link was made: `errors` says why", errors
        ) from None


def _wrong(
    field: str, why: str, code: str, status: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY
) -> ProblemError:
    errors = [FieldError(None, field, why, code)]
    return ProblemError(status, "no link was made: `errors` says why", errors)


def _not_now(status: HTTPStatus, reason: str) -> Response:
    return ProblemError(
        status,
        f"{reason}; nothing was stored, try again in {RETRY_SECONDS} s",
        headers={"Retry-After": str(RETRY_SECONDS)},
    ).response()
