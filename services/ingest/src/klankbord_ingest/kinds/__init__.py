"""Every kind of source that Klankbord brings, one file each; and those installed beside them."""

from functools import cache
from importlib.metadata import entry_points

from klankbord_ingest.source import SourceEntry

GROUP = "klankbord.kinds"
"""The entry points by which a package declares its kinds."""


@cache
def installed() -> dict[str, type[SourceEntry]]:
    """Every kind that is installed here, by its name, in the order of the alphabet.

    Raises:
        TypeError: an entry point names what is no kind, or two have one name; says which package.
    """
    kinds: dict[str, type[SourceEntry]] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        kind = point.load()
        package = point.dist.name if point.dist else "a package"
        if not (isinstance(kind, type) and issubclass(kind, SourceEntry)):
            raise TypeError(f"{package} declares {point.value} as a kind, which is no SourceEntry")
        if kinds.setdefault(point.name, kind) is not kind:
            raise TypeError(f"{package} declares a kind {point.name!r}, and another does already")
    return kinds
