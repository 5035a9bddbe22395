"""`klankbord link`: short links, through the operator's door of ingest."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from rich.console import Console

from klankbord_standalone.command import Place
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.explained import ExplainedError, UsageError
from klankbord_standalone.home import Running
from klankbord_standalone.standalone import start

LINKS = "/v1/operator/links"
TIMEOUT_SECONDS = 30.0


class LinkDoor:
    """The operator's door to the links."""

    def __init__(self, http: httpx.AsyncClient, public_url: str | None) -> None:
        self._http = http
        self._public_url = public_url

    async def add(self, offer: Mapping[str, str | None]) -> dict[str, Any]:
        """Have a link made; gives it with the address that members see.

        Raises:
            UsageError: it is refused; says why.
        """
        given = {name: value for name, value in offer.items() if value is not None}
        return self._shown(_told(await self._http.post(LINKS, json=given)))

    async def listed(self, community: str | None) -> list[dict[str, Any]]:
        """The links there are, the newest first."""
        asked = {} if community is None else {"community": community}
        links = _told(await self._http.get(LINKS, params=asked))["links"]
        return [self._shown(link) for link in links]

    async def disable(self, code: str) -> dict[str, Any]:
        """Let a link lead nowhere.

        Raises:
            UsageError: there is none of that code.
        """
        code = code.rstrip("/").rpartition("/")[2]
        path = f"{LINKS}/{quote(code, safe='')}/disable"
        return self._shown(_told(await self._http.post(path)))

    def _shown(self, link: Mapping[str, Any]) -> dict[str, Any]:
        """The link with its whole address."""
        base = self._public_url or link.get("publicUrl") or str(self._http.base_url)
        return {"address": f"{base.rstrip('/')}/r/{link['code']}", **link}


@asynccontextmanager
async def door(place: Place, public_url: str | None) -> AsyncIterator[LinkDoor]:
    """The door of the ingest that runs here, or of one that is started for the while.

    Raises:
        UsageError: that is no address under which ingest could be reached.
    """
    if public_url is not None:
        parts = urlsplit(public_url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query:
            raise UsageError(f"{public_url!r} is no address; write https://listen.example.org")
    running = place.home.running()
    if running is not None:
        async with _client(running) as http:
            yield LinkDoor(http, public_url)
        return
    place.home.prepare()
    async with (
        start(place.home, place.elsewhere) as everything,
        _client(everything.running) as http,
    ):
        yield LinkDoor(http, public_url)


def show(links: Sequence[Mapping[str, Any]], out: Console) -> None:
    """Print links, each address whole: in a column it could not be copied."""
    if not links:
        out.print("no links yet: klankbord link add URL --community NAME", soft_wrap=True)
    for link in links:
        out.print(link["address"], style="dim" if link["disabled"] else "bold", soft_wrap=True)
        leads = "has ended; led to" if link["disabled"] else "leads to"
        counts = [f"clicks count for {link['community']}"]
        counts += [f"campaign {link['campaign']}"] if link["campaign"] else []
        counts += [f"in post {link['post']} of {link['source']}"] if link["post"] else []
        out.print(f"  {leads} {link['target']}", markup=False, soft_wrap=True)
        out.print(f"  {', '.join(counts)}", style="dim", markup=False, soft_wrap=True)


def _client(running: Running) -> httpx.AsyncClient:
    token = Credentials(Path(running.credentials)).operator_token()
    return httpx.AsyncClient(
        base_url=running.address("ingest"),
        headers={"Authorization": f"Bearer {token}"},
        timeout=TIMEOUT_SECONDS,
        trust_env=False,
    )


def _told(response: httpx.Response) -> dict[str, Any]:
    """What ingest answered.

    Raises:
        UsageError: it refuses what was asked for; says why.
        ExplainedError: it cannot do it now.
    """
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ExplainedError(f"ingest answered {response.status_code}: is it of this version?")
    if response.is_success:
        return document
    errors = document.get("errors") or []
    reasons = [f"{error['field']} {error['why']}".strip() for error in errors]
    why = "; ".join(reasons) or str(document.get("detail"))
    raise (UsageError if response.is_client_error else ExplainedError)(why)
