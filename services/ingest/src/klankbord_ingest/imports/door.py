"""The import door of a running ingest, from outside."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import httpx

from klankbord_ingest.imports.batch import Batch
from klankbord_ingest.imports.row import Refusal, refusal_of
from klankbord_ingest.submission import FieldError

TIMEOUT_SECONDS = 30.0
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
"""Seconds between tries while ingest does not answer; the wait doubles."""

_LATER = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class ImportFailedError(Exception):
    """An import cannot go on: what is wrong concerns all of it, not single rows."""


@dataclass(frozen=True)
class Target:
    """Where the posts go."""

    ingest: str
    """The base address of ingest: `http://127.0.0.1:8080`."""
    token: str
    """The operator's token."""
    community: str
    source: str
    platform: str | None = None
    """The platform instance that owns the native ids; the source's where it is left out."""


@dataclass(frozen=True)
class Outcome:
    """What became of the submissions of a batch."""

    received: int = 0
    duplicate: int = 0
    refused: tuple[tuple[str, Refusal], ...] = ()
    """Position and reason of each that ingest refused."""
    erased: int = 0
    """How many are by members who were erased; nothing is told of them but that."""


class Door:
    """Posts batches, and waits for as long as ingest is away or asks to wait."""

    def __init__(self, target: Target, waits: Callable[[str | None], None]) -> None:
        """Prepare to post; `waits` is told why it waits, and None when it goes on."""
        given = {"community": target.community, "platform": target.platform}
        self._path = f"/v1/import/{target.source}"
        self._waits = waits
        self._client = httpx.AsyncClient(
            base_url=target.ingest,
            params={name: value for name, value in given.items() if value is not None},
            headers={
                "Authorization": f"Bearer {target.token}",
                "Content-Type": "application/json",
            },
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def post(self, batch: Batch) -> Outcome:
        """Have a batch heard; back when it is committed.

        Raises:
            ImportFailedError: ingest refuses it as a whole, and would again.
        """
        if not batch.submissions:
            return Outcome()
        body, wait = batch.body(), FIRST_WAIT
        while True:
            try:
                response = await self._client.post(self._path, content=body)
            except httpx.TransportError as error:
                reason = f"ingest does not answer: {error or type(error).__name__}"
            else:
                if response.status_code == HTTPStatus.OK:
                    self._waits(None)
                    return _outcome(batch, response.json())
                if response.status_code not in _LATER:
                    raise ImportFailedError(_problem(response))
                reason = _problem(response)
                asked = response.headers.get("retry-after", "")
                wait = float(asked) if asked.isdigit() else wait
            self._waits(reason)
            await asyncio.sleep(min(wait, LONGEST_WAIT))
            wait = min(wait * 2, LONGEST_WAIT)


def _outcome(batch: Batch, answer: dict[str, Any]) -> Outcome:
    """The answer with positions; of several reasons for one row, the first."""
    refused: dict[int, Refusal] = {}
    for error in answer["refused"]:
        index = error["index"]
        _, text = batch.submissions[index]
        refused.setdefault(index, refusal_of(FieldError(**error), text))
    return Outcome(
        answer["received"],
        answer["duplicate"],
        tuple((batch.submissions[index][0], refusal) for index, refusal in refused.items()),
        answer.get("erased", 0),  # an ingest of yesterday does not say it
    )


def _problem(response: httpx.Response) -> str:
    """What ingest says is wrong: its problem+json (RFC 9457), else the status."""
    status = f"ingest answered {response.status_code}"
    try:
        problem = response.json()
    except ValueError:
        return status
    if not isinstance(problem, dict):
        return status
    told = [problem.get("detail")]
    told += [f"{error.get('field', '')} {error.get('why', '')}" for error in _errors(problem)]
    return ": ".join([status, *(str(part).strip() for part in told if part)])


def _errors(problem: dict[str, Any]) -> list[dict[str, Any]]:
    errors = problem.get("errors")
    return (
        [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    )
