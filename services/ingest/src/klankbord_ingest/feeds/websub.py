"""WebSub: a hub tells us when a feed has something new, so that it need not be asked so often.

Nothing is remembered here. The callback that a hub is given holds a digest of the topic that was
asked for, and the secret that it signs with is made of that digest; both with the source's own
secret. So what comes to the callback shows by itself whether it was asked for.

Format: https://www.w3.org/TR/websub/
"""

import hmac
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from klankbord_ingest.signature import is_one_of

METHODS = frozenset({"sha256", "sha384", "sha512", "sha1"})
"""What a hub may sign with. Google's signs with SHA-1, which as an HMAC is not broken."""
MOST_HEAD_BYTES = 64 * 1024
"""Where in a document its own links are looked for."""

_ENTRY = re.compile(rb"<(?:[\w.-]+:)?(?:item|entry)[\s>]")
_LINK = re.compile(rb"<(?:[\w.-]+:)?link\s([^<>]{1,2000})>")
_ATTRIBUTE = re.compile(r"""([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
# RFC 8288: <https://hub.example/>; rel="hub"; title="…", <…>; rel=self
_HEADER_LINK = re.compile(r"""<([^<>]*)>((?:\s*;\s*[\w*-]+\s*=\s*(?:"[^"]*"|[^\s",;]+))*)""")
_PARAMETER = re.compile(r"""([\w*-]+)\s*=\s*(?:"([^"]*)"|([^\s",;]+))""")


class Hub(NamedTuple):
    """Where to ask for a subscription, and to what."""

    hub: str
    """The hub's address."""
    topic: str
    """What the feed calls itself."""


def hub_of(url: str, headers: Mapping[str, str], body: bytes) -> Hub | None:
    """The hub that an answer names, in its headers or else in the feed; None where it names none.

    Args:
        url: where the feed was fetched from; relative addresses are relative to it.
        headers: the answer's, by their lower-case names.
        body: the feed.
    """
    for links in (_header_links(headers.get("link", "")), _feed_links(body)):
        found = [(rel, address) for rel, href in links if (address := _web_address(url, href))]
        hubs = [address for rel, address in found if rel == "hub"]
        if hubs:
            topic = next((address for rel, address in found if rel == "self"), url)
            return Hub(hubs[0], topic)
    return None


def callback_id(key: bytes, topic: str) -> str:
    """The part of the callback's address that shows what was asked for."""
    return hmac.digest(key, b"websub topic\n" + topic.encode(), "sha256").hex()[:40]


def hub_secret(key: bytes, callback: str) -> str:
    """What a hub signs with at that callback: no hub learns the source's own secret."""
    return hmac.digest(key, b"websub secret\n" + callback.encode(), "sha256").hex()


def is_asked_for(keys: Sequence[bytes], callback: str, topic: str) -> bool:
    """Whether that callback was given to a hub for that topic."""
    return is_one_of(callback.encode(), (callback_id(key, topic).encode() for key in keys))


def is_signed(keys: Sequence[bytes], callback: str, signature: str, body: bytes) -> bool:
    """Whether the hub that has that callback signed this body.

    Args:
        keys: the source's secrets.
        callback: the last part of the callback's address.
        signature: the header `X-Hub-Signature`, such as `sha256=9f86…`.
        body: the raw bytes.
    """
    method, _, digest = signature.partition("=")
    if method not in METHODS:
        return False
    given = digest.strip().lower().encode("latin-1", "replace")
    rights = [hmac.digest(hub_secret(key, callback).encode(), body, method) for key in keys]
    return is_one_of(given, (right.hex().encode() for right in rights))


def request_for(topic: str, key: bytes, address: str, lease_seconds: int) -> dict[str, Any]:
    """The form that asks a hub for a subscription.

    Args:
        topic: what is subscribed to.
        key: the source's own secret.
        address: where the source is reached from outside.
        lease_seconds: how long it is to last; the hub may choose otherwise.
    """
    callback = callback_id(key, topic)
    return {
        "hub.mode": "subscribe",
        "hub.topic": topic,
        "hub.callback": f"{address}/{callback}",
        "hub.secret": hub_secret(key, callback),
        "hub.lease_seconds": str(lease_seconds),
    }


def _header_links(value: str) -> Iterable[tuple[str, str]]:
    for href, parameters in _HEADER_LINK.findall(value):
        given = {
            name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(parameters)
        }
        yield from ((rel, href) for rel in given.get("rel", "").lower().split())


def _feed_links(body: bytes) -> Iterable[tuple[str, str]]:
    """The feed's own links, not those of its entries."""
    entry = _ENTRY.search(body, 0, MOST_HEAD_BYTES)
    head = body[: entry.start() if entry else MOST_HEAD_BYTES]
    for attributes in _LINK.findall(head):
        pairs = _ATTRIBUTE.findall(attributes.decode("utf-8", "replace"))
        given = {name.lower(): html.unescape(double or single) for name, double, single in pairs}
        rels = given.get("rel", "").lower().split()
        yield from ((rel, given.get("href", "").strip()) for rel in rels)


def _web_address(base: str, href: str) -> str | None:
    """The whole address of a link on the web; None for any other."""
    try:
        address = urljoin(base, href)
        parts = urlsplit(address)
    except ValueError:
        return None
    is_web = href and parts.scheme in {"http", "https"} and parts.hostname
    return address if is_web else None
