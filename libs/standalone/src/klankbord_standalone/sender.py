"""A sender of signed webhooks, as a forum or a chat has one: it tries again until it is heard."""

import asyncio
import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from klankbord_ingest.signature import SECRET_PREFIX, signed_headers
from klankbord_standalone.explained import ExplainedError
from klankbord_standalone.private_file import write_private

RETRY = 0.3
MOST_TRIES = 400
KEY_BYTES = 32


def make_secret(secrets_folder: Path, source: str) -> bytes:
    """Make the key that a source signs with, and put it where ingest reads it."""
    key = secrets.token_bytes(KEY_BYTES)
    text = SECRET_PREFIX + base64.b64encode(key).decode()
    write_private(secrets_folder / source, text + "\n")
    return key


class NotHeardError(ExplainedError):
    """The door refused a delivery, or did not answer however often it was tried."""


class Sender:
    """Posts one source's deliveries to its door, each under one id however often it is tried."""

    def __init__(self, http: httpx.AsyncClient, address: str, source: str, key: bytes) -> None:
        self._http = http
        self._url = f"{address}/v1/sources/{source}"
        self._key = key

    async def send(
        self, delivery: Mapping[str, Sequence[Any]], traceparent: str | None = None
    ) -> dict[str, int]:
        """Deliver `{"posts": […]}` or `{"interactions": […]}`; gives the door's receipt.

        Raises:
            NotHeardError: the door refuses it, or nobody answers.
        """
        body = json.dumps(delivery, ensure_ascii=False).encode()
        delivery_id = f"msg_{secrets.token_hex(12)}"
        said = "nothing"
        for _ in range(MOST_TRIES):
            moment = datetime.now(UTC)
            headers = {
                "content-type": "application/json",
                **signed_headers(self._key, delivery_id, moment, body),
            }
            if traceparent is not None:
                headers["traceparent"] = traceparent
            try:
                answer = await self._http.post(self._url, content=body, headers=headers)
            except httpx.TransportError as error:
                said = f"{type(error).__name__}: {error}"
            else:
                if answer.status_code == httpx.codes.ACCEPTED:
                    receipt: dict[str, int] = answer.json()
                    return receipt
                said = f"{answer.status_code}: {answer.text}"
                is_for_now = answer.status_code == httpx.codes.TOO_MANY_REQUESTS
                if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR and not is_for_now:
                    break
            await asyncio.sleep(RETRY)
        raise NotHeardError(f"{self._url} does not take the delivery: {said}")
