"""The operator's door to the sources: what they are doing, and what to do with them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from klankbord_ingest.kind import Backfill, Push
from klankbord_ingest.listening.health import Health, SourceHealth
from klankbord_ingest.listening.listener import Listener
from klankbord_ingest.listening.store import ListeningStore, WayState
from klankbord_ingest.listening.trial import try_out
from klankbord_ingest.operator import Operator
from klankbord_ingest.problem import ProblemError
from klankbord_ingest.source import Source
from klankbord_ingest.sources import Sources
from klankbord_ingest.store import SilentSource
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.faults import TRANSIENT
from klankbord_runtime.service import Service

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
Act: TypeAlias = Callable[[Source, Mapping[str, str]], Awaitable[dict[str, Any]]]


class SourcesDoor:
    """`/v1/operator/sources`: list, try, pause, resume and backfill sources."""

    def __init__(
        self,
        service: Service,
        sources: AcceptedFile[Sources],
        operator: Operator,
        listener: Listener,
        store: ListeningStore,
        health: Health,
        public_url: str | None,
    ) -> None:
        self._service = service
        self._sources = sources
        self._operator = operator
        self._listener = listener
        self._store = store
        self._health = health
        self._public_url = public_url
        self._acts: dict[str, Act] = {
            "test": self._test,
            "pause": self._pause,
            "resume": self._resume,
            "backfill": self._backfill,
        }

    def open(self) -> None:
        """Serve the door."""
        self._service.route("/v1/operator/sources", self._admitted(self._list), methods=["GET"])
        act = self._admitted(self._act)
        self._service.route("/v1/operator/sources/{name}/{act}", act, methods=["POST"])

    async def _list(self, _request: Request) -> Response:
        healths = await self._health.of_all()
        return JSONResponse({"sources": [self._shown(health) for health in healths]})

    async def _act(self, request: Request) -> Response:
        name, act = request.path_params["name"], request.path_params["act"]
        source = self._sources.value.by_name.get(name)
        if source is None:
            listed = ", ".join(sorted(self._sources.value.by_name)) or "none"
            why = f"no source is named {name[:63]!r}; listed are {listed}"
            raise ProblemError(HTTPStatus.NOT_FOUND, why)
        if act not in self._acts:
            why = f"there is no {act[:20]!r}; there are {', '.join(self._acts)}"
            raise ProblemError(HTTPStatus.NOT_FOUND, why)
        return JSONResponse(await self._acts[act](source, request.query_params))

    async def _test(self, source: Source, asked: Mapping[str, str]) -> dict[str, Any]:  # noqa: ARG002
        if source.entry is None:
            return {"findings": []}
        (health,) = [one for one in await self._health.of_all() if one.source == source]
        web = self._listener.web(source.name)
        address = self._address(source)
        found = await try_out(source.entry, web, address, health.disabled, datetime.now(UTC))
        return {"findings": [asdict(finding) for finding in found]}

    async def _pause(self, source: Source, asked: Mapping[str, str]) -> dict[str, Any]:  # noqa: ARG002
        async with self._service.work() as work:
            await self._store.pause(work.connection, source.name, work.now)
        await self._health.follow()
        return {"paused": True}

    async def _resume(self, source: Source, asked: Mapping[str, str]) -> dict[str, Any]:  # noqa: ARG002
        async with self._service.work() as work:
            await self._store.resume(work.connection, source.name, work.now)
        await self._health.follow()
        return {"paused": False}

    async def _backfill(self, source: Source, asked: Mapping[str, str]) -> dict[str, Any]:
        if not isinstance(source.entry, Backfill):
            why = (
                f"the kind {source.kind} cannot be asked for history; import it from a file with "
                "klankbord import"
            )
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, why)
        since = _since(asked.get("since"))
        async with self._service.work() as work:
            await self._store.begin_backfill(
                work.connection, source.name, source.kind, since, work.now
            )
        return {"since": _moment(since)}

    def _admitted(self, answer: Endpoint) -> Endpoint:
        """The endpoint for the operator alone."""

        async def endpoint(request: Request) -> Response:
            try:
                self._operator.admit(request)
                self._may_answer()
                return await answer(request)
            except ProblemError as problem:
                return problem.response()
            except TRANSIENT as error:
                why = f"the database does not answer: {error or type(error).__name__}"
                return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, why).response()

        return endpoint

    def _may_answer(self) -> None:
        if not self._sources.accepted:
            why = "no klankbord.yaml is in force yet"
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, why)

    def _address(self, source: Source) -> str:
        return f"{(self._public_url or '').rstrip('/')}/v1/sources/{source.name}"

    def _shown(self, health: SourceHealth) -> dict[str, Any]:
        source = health.source
        return {
            "name": source.name,
            "kind": source.kind,
            "community": source.community.slug,
            "platform": source.platform,
            "sends": self._address(source) if _is_sent_to(source) else None,
            "ways": [_way_shown(way) for way in health.ways],
            "heard": _moment(health.heard),
            "paused": health.paused,
            "disabled": health.disabled,
            "silent": _silence_shown(health.silent),
        }


def _is_sent_to(source: Source) -> bool:
    return isinstance(source.entry, Push) and source.entry.uses("push")


def _silence_shown(silent: SilentSource | None) -> dict[str, Any] | None:
    if silent is None:
        return None
    return {"since": _moment(silent.since), "expected": round(silent.expected)}


def _way_shown(way: WayState) -> dict[str, Any]:
    return {
        "way": way.way,
        "healthy": way.healthy,
        "reason": way.reason,
        "failures": way.failures,
        "lastSuccess": _moment(way.last_success),
        "nextTry": _moment(way.next_try),
        "since": _moment(way.since),
        "rateLeft": way.rate_left,
        "heard": way.heard,
        "inHand": way.held,
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")


def _since(given: str | None) -> datetime | None:
    if not given:
        return None
    try:
        since = datetime.fromisoformat(given)
    except ValueError:
        since = None
    if since is None or since.tzinfo is None:
        why = f"since is {given[:60]!r}, no moment with a time zone: 2026-01-31T00:00:00Z"
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, why)
    return since
