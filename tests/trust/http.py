"""The HTTP doors of four real services, against whatever schemathesis and we can think of."""

import asyncio
import json
import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests
import schemathesis
from stage import Stage, stage
from structures import try_many
from trust.hostile import corpus
from trust.tally import Memory, Tally

from klankbord_ingest.signature import secret_key, signed_headers

FINE_ERRORS = {503}
"""By design: not now, and `Retry-After` says when."""
PATIENCE = 20
PARTS = ("method", "url", "params", "headers", "cookies", "data", "json")

HEALTH: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Any service", "version": "1"},
    "paths": {
        path: {
            "get": {
                "parameters": [
                    {"name": "q", "in": "query", "schema": {"type": "string"}},
                    {"name": "accept", "in": "header", "schema": {"type": "string"}},
                ],
                "responses": {"200": {"description": "fine"}, "503": {"description": "not ready"}},
            }
        }
        for path in ("/livez", "/readyz", "/metrics")
    },
}
ODD_REQUESTS = [
    (method, path)
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW")
    for path in (
        "/",
        "//",
        "/%00",
        "/%ff%fe",
        "/../../etc/passwd",
        "/v1/sources/%2e%2e",
        "/readyz/",
    )
]


@dataclass
class _Doors:
    """Where the services listen, and who may send."""

    addresses: dict[str, str]
    pids: dict[str, int]
    secret: str
    token: str
    tally: Tally
    http: requests.Session

    def send(self, service: str, name: str, request: requests.Request, *, signed: bool) -> None:
        """Send one request, and see that it is answered as it should be."""
        try:
            prepared = self.http.prepare_request(request)
        except (ValueError, requests.RequestException):
            return  # Python's client will not even say it
        if signed:
            self._sign(prepared)
        with self._measured(f"{service} {name}", self.pids[service]):
            try:
                answer = self.http.send(prepared, timeout=PATIENCE)
            except requests.RequestException as error:
                self.tally.failed(name, error)
                return
            if answer.status_code >= 500 and not (
                answer.status_code in FINE_ERRORS and "Retry-After" in answer.headers
            ):
                self.tally.failed(name, (answer.status_code, answer.text[:200], prepared.body))
            elif answer.status_code >= 400 and service == "ingest" and "/v1/" in prepared.path_url:
                self._check_problem(name, answer)

    def _check_problem(self, name: str, answer: requests.Response) -> None:
        if (
            answer.status_code in (400, 404, 405)
            and "problem" not in answer.headers["content-type"]
        ):
            return  # no HTTP, or no door of that name
        told = answer.json()
        if told["status"] != answer.status_code or not told["detail"]:
            self.tally.failed(name, answer.text)

    def _sign(self, prepared: requests.PreparedRequest) -> None:
        body = prepared.body or b""
        body = body.encode() if isinstance(body, str) else body
        assert isinstance(body, bytes)
        now, webhook_id = datetime.now(UTC), secrets.token_hex(8)
        prepared.headers.update(signed_headers(secret_key(self.secret), webhook_id, now, body))

    @contextmanager
    def _measured(self, name: str, pid: int) -> Iterator[None]:
        self.tally.inputs += 1
        memory, begun = Memory(pid), datetime.now(UTC)
        yield
        self.tally.took(name, (datetime.now(UTC) - begun).total_seconds(), memory.grown())


async def fuzz_http(seed: int, number: int) -> Tally:
    """Hostile bodies, odd requests and `number` generated ones; nothing may break over them."""
    tally = Tally()
    async with stage() as scene:
        before = _pids(scene)
        with requests.Session() as http:
            http.trust_env = False
            doors = _Doors(
                {name: scene.everything.running.address(name) for name in before},
                before,
                (scene.home.secrets / "forum").read_text().split()[0],
                scene.everything.installation.credentials.operator_token_file.read_text().strip(),
                tally,
                http,
            )
            await asyncio.to_thread(_all_requests, doors, seed, number)
        await scene.settled()
        if _pids(scene) != before:
            tally.failed("a service", "ended over it, and was started anew")
        status = await scene.status()
        if status.dead_letters:
            tally.failed("the bus", f"{status.dead_letters} dead letters")
        for name, entries in scene.logs().items():
            for entry in entries:
                if entry["level"] in ("ERROR", "CRITICAL") or "exception" in entry:
                    tally.failed(f"the log of {name}", entry["message"])
    return tally


def _pids(scene: Stage) -> dict[str, int]:
    return {process.name: process.pid or 0 for process in scene.everything.processes}


def _all_requests(doors: _Doors, seed: int, number: int) -> None:
    webhook = f"{doors.addresses['ingest']}/v1/sources/forum"
    history = f"{doors.addresses['ingest']}/v1/import/archive"
    operator = {"Authorization": f"Bearer {doors.token}"}
    for one in corpus():
        kind = {"Content-Type": "application/json"}
        if one.door == "webhook":
            request = requests.Request("POST", webhook, data=one.body, headers=kind)
            doors.send("ingest", one.name, request, signed=True)
        if one.door in ("webhook", "import"):
            asked = {"community": "acme"}
            request = requests.Request(
                "POST", history, data=one.body, headers=kind | operator, params=asked
            )
            doors.send("ingest", one.name, request, signed=False)
    for service, address in doors.addresses.items():
        for method, path in ODD_REQUESTS:
            request = requests.Request(method, address + path)
            doors.send(service, f"{method} {path}", request, signed=False)
    described = json.loads(doors.http.get(f"{doors.addresses['ingest']}/openapi.json").content)
    # a source of ours, so that the requests get beyond its door
    described["paths"]["/v1/sources/forum"] = described["paths"].pop("/v1/sources/{name}")
    _drop_path_parameter(described["paths"]["/v1/sources/forum"]["post"])
    # a third of them are signed and go deep; two doors, then twelve small ones
    _generate(doors, "ingest", described, seed, number // 6, signed=True)
    _generate(doors, "ingest", described, seed + 1, number // 12, signed=False)
    for service in doors.addresses:
        _generate(doors, service, HEALTH, seed, number // 24, signed=False)


def _drop_path_parameter(operation: dict[str, Any]) -> None:
    operation["parameters"] = [one for one in operation["parameters"] if one["in"] != "path"]


def _generate(
    doors: _Doors, service: str, described: dict[str, Any], seed: int, number: int, *, signed: bool
) -> None:
    """So many requests for each operation that is described."""
    chance = random.Random(seed)
    for result in schemathesis.openapi.from_dict(described).get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]  # a schema of ours is none but right
        name = f"{operation.method.upper()} {operation.path}"
        as_operator = signed and "import" in operation.path

        def send(case: Any, name: str = name, as_operator: bool = as_operator) -> None:
            parts = case.as_transport_kwargs(base_url=doors.addresses[service])
            wanted = {part: parts.get(part) for part in PARTS}
            if as_operator:
                token = {"Authorization": f"Bearer {doors.token}"}
                wanted["headers"] = dict(wanted["headers"] or {}) | token
                if chance.random() < 0.9:
                    wanted["params"] = dict(wanted["params"] or {}) | {"community": "acme"}
            doors.send(service, name, requests.Request(**wanted), signed=signed)

        try_many(operation.as_strategy(), send, seed, number)
