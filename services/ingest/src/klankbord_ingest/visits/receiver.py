"""What the kinds have in common that web pages report views and clicks to.

A browser can keep no secret, so what it sends is not signed: anybody can claim a view. Such a
source takes nothing in until its entry says `from_browsers: true`, which says just that. A server
that forwards what browsers told it can do better: it bears the source's secret.
"""

from abc import ABC
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, StringConstraints

from klankbord_ingest.kind import (
    PassedOver,
    Push,
    Reply,
    Request,
    Secret,
    Secrets,
    UnsignedError,
)
from klankbord_ingest.signature import is_one_of
from klankbord_ingest.visits.agents import PURPOSES, is_ahead, is_program
from klankbord_ingest.visits.channel import campaign_of, channel_of, referrer_of
from klankbord_schemas.trust import PublishedTrust

Host = Annotated[
    str,
    StringConstraints(
        to_lower=True, pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?$", max_length=253
    ),
]

CORS = {"Access-Control-Allow-Origin": "*"}
"""Any page may read the answer: it says nothing of anybody, and no cookie is asked for."""
PREFLIGHT = CORS | {
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, X-Umami-Cache, X-Umami-Hostname",
    "Access-Control-Max-Age": "86400",
}
MOST_HITS = 100
"""The most hits of one request."""
WEB = frozenset({"http", "https"})
GOAL_LENGTH = 200


@dataclass(frozen=True)
class Hit:
    """What a page reports: that it was viewed, or that something on it was done."""

    page: str
    """The address of the page."""
    referrer: str = ""
    """The address that led to the page."""
    goal: str = ""
    """What was done there: a conversion, an outbound link; empty where it was viewed."""
    target: str = ""
    """Where a link that was followed leads."""
    campaign: str = ""
    """The campaign, where the address does not say it."""
    native_id: str | None = None
    """What makes the hit the same when it is sent again."""


class Receiver(Push, ABC):
    """A place where web pages report views and clicks."""

    secrets: ClassVar[dict[str, Secret]] = {
        "signature": Secret(
            "a secret of your own that a server bears which forwards hits: "
            "`openssl rand -hex 32`; browsers need none",
            min_bytes=32,
        )
    }
    methods = frozenset({"POST", "OPTIONS"})
    max_bytes = 256 * 1024
    most_per_second = 200

    sites: Annotated[tuple[Host, ...], Field(min_length=1, max_length=100)]
    """The hosts whose pages may report, each with all hosts below it."""
    from_browsers: bool = False
    """Whether browsers report here themselves. Then nothing is signed, and anybody can make hits
    up; without it only a server that bears the secret is heard."""
    published_trust: PublishedTrust = "claimed"

    @property
    def own_platform(self) -> str:
        """The site is the platform."""
        return self.sites[0]

    @property
    def is_open(self) -> bool:
        """Whether browsers send here themselves."""
        return self.from_browsers

    def needs(self, secret: Secret) -> bool:  # noqa: ARG002  it has one
        """Whom browsers may not send to needs the secret: nobody else is heard."""
        return not self.from_browsers

    def verify(self, request: Request, secrets: Secrets, now: datetime) -> None:  # noqa: ARG002
        """Check the secret where one is borne, and that none is needed where none is.

        What a browser says of the page that sends (`Origin`, else `Referer`) must be one of the
        sites. That keeps other pages from reporting here by mistake; whoever wants to can write
        what they like.
        """
        borne = self.borne(request)
        if borne:
            if is_one_of(borne.encode("utf-8", "replace"), secrets["signature"]):
                return
            raise UnsignedError("it bears a secret that is not this source's")
        if not self.from_browsers:
            raise UnsignedError("it bears no secret, and browsers may not send here")
        page = request.header("origin") or request.header("referer")
        if page and not self.is_own(_host(page)):
            raise UnsignedError("it comes from a page of a site that is not listed")

    def borne(self, request: Request) -> str:
        """The secret that a request bears; empty where it bears none."""
        scheme, _, token = request.header("authorization").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    def answer(self, request: Request, secrets: Secrets, now: datetime) -> Reply | None:  # noqa: ARG002
        """The answer to a browser that asks whether a page may send here (CORS)."""
        if request.method == "OPTIONS":
            return Reply(HTTPStatus.NO_CONTENT, headers=PREFLIGHT)
        return None

    def is_own(self, host: str) -> bool:
        """Whether a host, with its port or without, is one of the sites or below one."""
        names = {host, host.partition(":")[0]}
        return any(
            name == site or name.endswith(f".{site}") for name in names for site in self.sites
        )

    def said(self, hit: Hit, now: datetime) -> Mapping[str, Any]:
        """The interaction that a hit is.

        Of addresses nothing is kept but host and path: what follows may name people. The moment is
        ours; a browser's clock may say anything.

        Raises:
            PassedOver: the page is of no site that is listed.
            ValueError: the page's address is none.
        """
        if not self.is_own(_host(hit.page)):
            raise PassedOver("other_site")
        campaign = campaign_of(hit.page)
        referrer = referrer_of(hit.referrer)
        is_within = referrer is not None and self.is_own(_host(hit.referrer))
        outside = None if is_within else referrer
        came = None if is_within and campaign.is_empty else channel_of(outside, campaign)
        return {
            "kind": "click" if hit.goal else "view",
            "nativeId": hit.native_id,
            "published": now,
            "url": without_query(hit.target or hit.page),
            "name": hit.goal[:GOAL_LENGTH] or None,
            "campaign": campaign.campaign or hit.campaign or None,
            "channel": came,
            "referrer": outside,
        }


def nobodys(request: Request) -> Literal["automated", "prefetch"] | None:
    """Why a request is no member's: a program sent it, or a browser ahead of whoever uses it."""
    try:
        if is_ahead({name: request.header(name) for name in PURPOSES}):
            return "prefetch"
        return "automated" if is_program(request.header("user-agent")) else None
    except UnsignedError:  # no browser gives one of these twice
        return "automated"


def without_query(address: str) -> str:
    """An address up to its path, without a name and a password.

    Raises:
        ValueError: it is no address of the web.
    """
    parts = urlsplit(address.strip())
    if parts.scheme not in WEB or not parts.hostname:
        raise ValueError(f"{address[:60]!r} is no address of the web")
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def apart(now: datetime, number: int) -> datetime:
    """The moment of one of several hits: they have no id, and are told apart by it."""
    return now + timedelta(microseconds=number)


def first(given: Mapping[str, Any], names: Iterable[str]) -> str:
    """The first text under one of these names; empty where there is none."""
    return next((str(given[n]) for n in names if isinstance(given.get(n), str | int)), "").strip()


def _host(address: str) -> str:
    """The host of an address, with its port where that is written; empty where it has none."""
    try:
        parts = urlsplit(address.strip())
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return ""
    return f"{(parts.hostname or '').rstrip('.')}{port}"
