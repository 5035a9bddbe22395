"""How somebody came to a page: from the address that they opened and the one that led there."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import get_args
from urllib.parse import parse_qsl, urlsplit

from klankbord_schemas.interaction import Channel

MAX_ADDRESS = 2000
MAX_HOST = 253
MOST_PARAMETERS = 200
MOST_LABELS = 8
"""How many parts of a host's name are looked at, from its end: no listed one has more."""

ANDROID = "android:"
"""What the name of an app's package is marked with."""

PREFIXES = ("utm_", "mtm_", "pk_")
"""What the parameters of a campaign begin with: everybody's, Matomo's, and its former ones."""


@dataclass(frozen=True)
class Campaign:
    """What an address says of the campaign that it belongs to."""

    source: str = ""
    medium: str = ""
    campaign: str = ""
    content: str = ""
    is_paid: bool = False
    """Whether an advertiser's network marked it."""

    @property
    def is_empty(self) -> bool:
        """Whether the address names none."""
        return self == Campaign()


@dataclass(frozen=True)
class _Table:
    hosts: Mapping[str, Channel]
    names: Mapping[str, Channel]
    """Those that end in `.*`, without it."""
    mediums: Mapping[str, Channel]
    paid: frozenset[str]


def campaign_of(address: str) -> Campaign:
    """The campaign that an address names in its query; an empty one where it names none."""
    given: dict[str, str] = {}
    for name, value in _parameters(address):
        given.setdefault(name.lower(), value.replace("\x00", "").strip()[:MAX_ADDRESS])

    def parameter(word: str) -> str:
        return next((given[name] for p in PREFIXES if given.get(name := p + word)), "")

    return Campaign(
        source=parameter("source"),
        medium=parameter("medium"),
        campaign=parameter("campaign")
        or given.get("pk_cpn", "")
        or given.get("piwik_campaign", ""),
        content=parameter("content"),
        is_paid=any(given.get(name) for name in _table().paid),
    )


def referrer_of(address: str) -> str | None:
    """The host that an address belongs to, and nothing else of it; None where it has none.

    An app of Android is `android:` and the name of its package.
    """
    try:
        parts = urlsplit(address.strip()[:MAX_ADDRESS])
        host = parts.hostname
    except ValueError:
        return None
    if not host or len(host) > MAX_HOST or not _is_plain(host):
        return None
    if parts.scheme == "android-app":
        return ANDROID + host
    return host.rstrip(".").removeprefix("www.") if parts.scheme in {"http", "https"} else None


def channel_of(referrer: str | None, campaign: Campaign) -> Channel:
    """How somebody came there.

    What the campaign says of its medium decides; else an advertiser's mark; else the host that led
    there; else the campaign's source, where that is a host that is known; else nothing led there.

    Args:
        referrer: the host, as `referrer_of` gives it.
        campaign: of the address that was opened.
    """
    table = _table()
    medium = campaign.medium.lower().replace("_", "-").replace(" ", "-")
    if (told := table.mediums.get(medium)) is not None:
        return told
    if campaign.is_paid:
        return "paid"
    if referrer is not None:
        return _of_host(referrer) or "link"
    return _of_host(campaign.source.lower()) or "direct"


def _of_host(host: str) -> Channel | None:
    table = _table()
    if host.startswith(ANDROID):
        return table.hosts.get(host)
    labels = host.split(".")[-MOST_LABELS:]
    for start in range(len(labels)):
        below = labels[start:]
        if (found := table.hosts.get(".".join(below))) is not None:
            return found
        is_country = 1 <= len(below) - 1 <= 2 and all(len(label) <= 3 for label in below[1:])
        if is_country and (found := table.names.get(below[0])) is not None:
            return found
    return None


def _parameters(address: str) -> list[tuple[str, str]]:
    try:
        query = urlsplit(address[:MAX_ADDRESS]).query
        return parse_qsl(query, max_num_fields=MOST_PARAMETERS)
    except ValueError:  # a host that is none, or more parameters than anybody needs
        return []


def _is_plain(host: str) -> bool:
    return host.isascii() and all(sign.isalnum() or sign in "-._:" for sign in host)


@cache
def _table() -> _Table:
    told = tomllib.loads(
        files("klankbord_ingest.visits").joinpath("channels.toml").read_text("utf-8")
    )
    mediums = told.pop("medium")
    paid = frozenset(told.pop("paid")["parameters"])
    hosts = {host: channel for channel in get_args(Channel) for host in told.get(channel, ())}
    return _Table(
        hosts={host: channel for host, channel in hosts.items() if not host.endswith(".*")},
        names={host[:-2]: channel for host, channel in hosts.items() if host.endswith(".*")},
        mediums={
            word: channel for channel in get_args(Channel) for word in mediums.get(channel, ())
        },
        paid=paid,
    )
