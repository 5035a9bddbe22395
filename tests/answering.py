"""A web of prepared answers, for kinds that ask: the real `Web`, without a socket."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from klankbord_ingest.fetch import Fetched, Fetcher
from klankbord_ingest.kind import PostSubmission, Request, Told, Web
from klankbord_ingest.sequence import History, NewVersion, place, version_of
from klankbord_ingest.web import Hosts


@dataclass(frozen=True)
class Asked:
    """One request as it would have gone out."""

    method: str
    url: str
    """Without its query."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What is answered to it."""

    document: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The document as JSON; bytes as they are."""
        return (
            self.document
            if isinstance(self.document, bytes)
            else json.dumps(self.document).encode()
        )


class Answering:
    """Answers as a function says, and remembers what was asked."""

    def __init__(self, answer: Callable[[Asked], Answer | Any]) -> None:
        self.asked: list[Asked] = []
        self._answer = answer

    def web(self, **secrets: str) -> Web:
        """The web of one source that has these secrets."""
        keys = {role: [secret.encode()] for role, secret in secrets.items()}
        return Web(cast(Fetcher, self), Hosts(), keys)

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        seconds: float | None = None,
        max_bytes: int | None = None,
    ) -> Fetched:
        """As `Fetcher.request`."""
        parts = urlsplit(url)
        address = f"{parts.scheme}://{parts.netloc}{parts.path}"
        asked = Asked(method, address, dict(parse_qsl(parts.query)), headers, body)
        self.asked.append(asked)
        said = self._answer(asked)
        answer = said if isinstance(said, Answer) else Answer(said)
        return Fetched(url, None, answer.status, answer.headers, answer.body)


def posted(document: Any, **headers: str) -> Request:
    """A POST of a document as JSON, or of bytes; `X_Some_Name` is the header X-Some-Name."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    named = {"Content-Type": "application/json"} | headers
    raw = [
        (name.replace("_", "-").lower().encode(), value.encode()) for name, value in named.items()
    ]
    return Request("POST", "", {}, raw, body)


class Kept:
    """What ingest keeps of posts that are told in several ways, in its own order of versions."""

    def __init__(self) -> None:
        self._histories: dict[str, History] = {}
        self._texts: dict[str, tuple[int, str]] = {}

    def hear(self, submissions: Iterable[Told], now: datetime, *, is_history: bool = False) -> int:
        """Hear posts; how many of them are new versions."""
        new = 0
        for said in submissions:
            if not isinstance(said, PostSubmission):
                continue
            author = None if said.attributed_to is None else said.attributed_to.id
            version = version_of(said, now, is_history=is_history, author=author)
            verdict = place(self._histories.get(said.native_id, History()), version)
            if isinstance(verdict, NewVersion):
                new += 1
                self._histories[said.native_id] = verdict.history
                if verdict.sequence >= self._texts.get(said.native_id, (-1, ""))[0]:
                    self._texts[said.native_id] = (verdict.sequence, said.text)
        return new

    @property
    def standing(self) -> dict[str, str]:
        """The posts that stand, and what they say."""
        return {
            native_id: self._texts[native_id][1]
            for native_id, history in self._histories.items()
            if history.operation != "delete"
        }
