"""Where a short link leads: one address, checked once, to which a campaign's parameters are joined.

It is decided when the link is made. Nothing that whoever follows it sends has a part in it, so no
link can be made to lead elsewhere.
"""

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote

from pydantic_core import Url, ValidationError

MAX_ADDRESS = 2000
"""The most characters of an address, with its parameters: what an event holds."""
SCHEMES = frozenset({"http", "https"})
MAX_PARAMETER = 200


def checked(address: str) -> str:
    """The address as a browser would read it, if a link may lead there.

    It is read by the rules by which browsers read one (WHATWG), and written down as they would: so
    what was checked is where it leads.

    Raises:
        ValueError: it may not; says why, and what to write.
    """
    if any(sign <= " " or sign in "\\\x7f" for sign in address):
        raise ValueError(
            "holds a blank, a backslash or a control character; write them as %20, %5C"
        )
    scheme, is_whole, after = address.partition("://")
    if not is_whole or not scheme or after.startswith("/"):
        raise ValueError("is no whole address; begin with https:// and a host")
    try:
        url = Url(address)
    except ValidationError as error:
        raise ValueError(f"is no address: {error.errors()[0]['msg']}") from None
    if url.scheme not in SCHEMES:
        raise ValueError(f"begins with {url.scheme}:, and links lead to http: and https: only")
    if not url.host:
        raise ValueError("names no host; write https://host/path")
    if url.username is not None or url.password is not None:
        raise ValueError("holds a name or a password before its host; leave them out")
    return _not_too_long(str(url))


def joined(address: str, parameters: Mapping[str, str]) -> str:
    """The address with these parameters after its own, and before its fragment.

    All that it had stays as it is, sign by sign.

    Args:
        address: as `checked` gives it.
        parameters: `utm_campaign` and its like; those without a value are left out.

    Raises:
        ValueError: it names one of them already, or would be too long; says what to do.
    """
    told = {name: value for name, value in parameters.items() if value}
    if not told:
        return address
    whole, mark, fragment = address.partition("#")
    before, _, query = whole.partition("?")
    own = {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}
    for name in told:
        if name in own:
            raise ValueError(f"names {name} already; take it out there, or do not give it here")
    given = "&".join(f"{name}={quote(value, safe='-._~')}" for name, value in told.items())
    following = f"{query}{'' if query.endswith('&') else '&'}{given}" if query else given
    return _not_too_long(f"{before}?{following}{mark}{fragment}")


def _not_too_long(address: str) -> str:
    if len(address) > MAX_ADDRESS:
        raise ValueError(f"has {len(address)} characters; at most {MAX_ADDRESS} can be kept")
    return address
