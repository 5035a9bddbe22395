"""The web as a kind sees it, with answers that a test gives: no socket is opened."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from klankbord_ingest.fetch import Fetched, Fetcher
from klankbord_ingest.kind import Request
from klankbord_ingest.outgoing import Allowed, Gate
from klankbord_ingest.source import Source, SourceEntry
from klankbord_ingest.sources import source_of
from klankbord_ingest.web import Hosts, Params, Web
from klankbord_schemas.community import Community

DEMO = Community(slug="demo", name="Demo", time_zone="UTC", languages=("en",))


@dataclass(frozen=True)
class Question:
    """What a kind asked."""

    method: str
    url: str
    params: Mapping[str, Any]
    headers: Mapping[str, str]
    form: Mapping[str, str] = field(default_factory=dict)


class Asked(Web):
    """Answers what a function answers, and keeps what was asked."""

    def __init__(
        self, answer: Callable[[Question], Any], allowed: str | None = None, **secrets: str
    ) -> None:
        """An answer is JSON, or an error to raise.

        Args:
            answer: what is answered to a question.
            allowed: a host and port to which web sockets may really connect.
            secrets: by role.
        """
        given = {role: [secret.encode()] for role, secret in secrets.items()}
        gate = Gate(Allowed.of([allowed] if allowed else []))
        super().__init__(Fetcher(gate), Hosts(), given)
        self._answer = answer
        self.questions: list[Question] = []

    async def get_json(
        self,
        url: str,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float | None = None,
        max_bytes: int | None = None,
    ) -> Any:
        """What the test answers."""
        return self._answered(Question("GET", url, params or {}, headers or {}))

    async def post(
        self,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        document: Any = None,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> Fetched:
        """What the test answers."""
        answer = self._answered(Question("POST", url, {}, headers or {}, form or {}))
        return Fetched(url, None, 200, {}, json.dumps(answer).encode())

    def _answered(self, question: Question) -> Any:
        self.questions.append(question)
        answer = self._answer(question)
        if isinstance(answer, Exception):
            raise answer
        return answer


def source(entry: SourceEntry) -> Source:
    """The source that an entry describes, in the community `demo`."""
    return source_of(entry, DEMO)


def request(body: bytes, **headers: str) -> Request:
    """A POST with this body; `_` in the name of a header stands for `-`."""
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request("POST", "", {}, [(b"content-type", b"application/json"), *given], body)
