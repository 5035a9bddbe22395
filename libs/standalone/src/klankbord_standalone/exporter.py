"""`klankbord exporter`: what JetStream knows of streams and consumers, for Prometheus.

It asks nats-server's monitoring port at each scrape, and needs no credential. What it does not get
from there in time is not shown: there are no numbers of yesterday, and `klankbord_nats_up` is 0
when no server answers.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import httpx
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from klankbord_runtime.http_server import HttpServer, exposition
from klankbord_standalone.address import without_users
from klankbord_standalone.explained import UsageError
from klankbord_standalone.jsz import Answer, Jsz, Past, Varz, families

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that a server has to answer: less than Prometheus gives a scrape."""
MAX_ANSWER_BYTES = 16 * 1024**2
"""Larger answers are not read; a thousand consumers take about one MiB."""
JSZ = "/jsz?streams=true&consumers=true&config=true&accounts=true"
VARZ = "/varz"

AnswerT = TypeVar("AnswerT", bound=BaseModel)


class _NoAnswerError(Exception):
    """A server does not answer, or not with what can be used."""


class Exporter:
    """Asks the servers, and tells what they say."""

    def __init__(self, urls: Sequence[str], http: httpx.AsyncClient) -> None:
        """Ask nobody yet.

        Args:
            urls: the monitoring port of each server of the cluster: `http://nats:8222`.
            http: to ask with.
        """
        self._urls = urls
        self._http = http
        self._past = Past()
        self._looking: asyncio.Task[list[Metric]] | None = None
        self._problems: dict[str, str] = {}

    @property
    def application(self) -> Starlette:
        """Serves `/metrics`, `/livez` and `/readyz`.

        It is ready also while NATS is away: then that is what there is to scrape.
        """
        return Starlette(
            routes=[
                Route("/metrics", self._metrics),
                Route("/livez", _ok),
                Route("/readyz", _ok),
            ]
        )

    async def look(self) -> list[Metric]:
        """The metrics as they are now. Who asks while another does gets the same."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="look")
        return await asyncio.shield(self._looking)

    async def _look(self) -> list[Metric]:
        asked = await asyncio.gather(*(self._answer_of(url) for url in self._urls))
        answers = [answer for answer in asked if answer is not None]
        return families(answers, len(self._urls), self._past)

    async def _answer_of(self, url: str) -> Answer | None:
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self._question(url)
        except (_NoAnswerError, httpx.HTTPError, TimeoutError) as error:
            self._note(url, str(error) or type(error).__name__)
            return None
        self._note(url, None)
        return answer

    async def _question(self, url: str) -> Answer:
        server = await self._ask(url + VARZ, Varz)
        jsz = await self._ask(url + JSZ, Jsz)
        if jsz.disabled:
            raise _NoAnswerError(f"{url} runs without JetStream")
        return Answer(server.server_name, jsz)

    async def _ask(self, url: str, cls: type[AnswerT]) -> AnswerT:
        async with self._http.stream("GET", url) as response:
            if response.status_code != httpx.codes.OK:
                raise _NoAnswerError(f"{url} answers {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise _NoAnswerError(f"{url} answers more than {MAX_ANSWER_BYTES} bytes")
        try:
            return cls.model_validate_json(bytes(body))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "body"
            raise _NoAnswerError(f"{url} is not as expected: {where}: {first['msg']}") from None

    def _note(self, url: str, problem: str | None) -> None:
        """Log what changed, and not the same with each scrape."""
        before = self._problems.get(url)
        if problem is None and before is not None:
            del self._problems[url]
            log.info("%s answers again", without_users(url))
        elif problem is not None and before != problem:
            self._problems[url] = problem
            log.warning("%s does not answer: %s", without_users(url), without_users(problem))

    async def _metrics(self, request: Request) -> Response:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Found(await self.look()))
        return exposition(registry, request)


class _Found(Collector):
    """Metrics that were found, as a registry takes them."""

    def __init__(self, found: Sequence[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


async def _ok(_request: Request) -> Response:
    return PlainTextResponse("ok")


def monitoring_urls(given: str) -> list[str]:
    """The servers of a list that is separated by commas.

    Raises:
        UsageError: one is no address of a monitoring port.
    """
    urls = [url.strip().rstrip("/") for url in given.split(",") if url.strip()]
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise UsageError(
                f"{url} is not where nats-server is monitored; write it as http://nats:8222"
            )
    if not urls:
        raise UsageError("name the monitoring port of at least one server: http://nats:8222")
    return urls


async def export(
    urls: Sequence[str], host: str, port: int, listening: Callable[[int], None]
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        urls: the monitoring port of each server.
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.
        listening: told the port once it listens.

    Raises:
        OSError: it cannot listen there.
    """
    async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as http:
        server = HttpServer(Exporter(urls, http).application, host, port)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.handle_exit, number, None)
        listening(server.port)
        await server.serve_here()
