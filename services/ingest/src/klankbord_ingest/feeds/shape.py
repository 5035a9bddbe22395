"""Whether a document is of the plain shape that the fast reader reads in full.

Plain are RSS 2.0 and its elders, RSS 1.0 and Atom 1.0, well-formed, whose entries say who, what,
when and where in the elements of these formats (and Dublin Core's creator and date). What else a
feed may say it with, the fast reader drops, or takes for something else: then feedparser is asked.
"""

from collections.abc import Mapping
from xml.parsers import expat

ATOM, RSS_1 = "http://www.w3.org/2005/Atom", "http://purl.org/rss/1.0/"
DUBLIN_CORE = "http://purl.org/dc/elements/1.1/"
XML_BASE = "http://www.w3.org/XML/1998/namespace base"
TELLING = frozenset(
    [
        "title",
        "link",
        "id",
        "guid",
        "author",
        "creator",
        "contributor",
        "publisher",
        "credit",
        "name",
        "pubDate",
        "date",
        "published",
        "updated",
        "modified",
        "issued",
        "created",
        "in-reply-to",
    ]
)
"""Local names by which some vocabulary or other says who, what, when or where."""

_BOTH = frozenset(f"{DUBLIN_CORE} {name}" for name in ("creator", "date"))
_ATOM = ("title", "link", "id", "published", "updated", "author", "contributor")
READ: Mapping[str, frozenset[str]] = {
    "item": _BOTH | {"title", "link", "guid", "pubDate", "author"},
    f"{RSS_1} item": _BOTH | {f"{RSS_1} title", f"{RSS_1} link"},
    f"{ATOM} entry": frozenset(f"{ATOM} {name}" for name in _ATOM),
}
"""Which of them the fast reader reads, by the element of the entry."""
ROOTS = frozenset({"rss", "http://www.w3.org/1999/02/22-rdf-syntax-ns# RDF", f"{ATOM} feed"})
TEXTS = frozenset({None, "text", "html", "text/plain", "text/html"})
"""What an Atom text may be: neither XHTML nor base64."""


class _NotPlainError(Exception):
    """The document has something that only the tolerant reader reads."""


def is_plain(body: bytes) -> bool:
    """Whether the fast reader reads this XML in full."""
    parser = expat.ParserCreate(namespace_separator=" ")
    shape = _Shape()
    parser.StartElementHandler = shape.start
    parser.EndElementHandler = shape.end
    parser.SkippedEntityHandler = shape.entity
    try:
        # An empty line before the declaration is a fault that many make and all forgive.
        parser.Parse(body.lstrip(), True)  # noqa: FBT003  expat's own signature
    except (expat.ExpatError, _NotPlainError, ValueError, LookupError):
        # the latter two for an encoding that Python does not know, or that is none
        return False
    return True


class _Shape:
    """Follows the elements, and stops at the first that is not plain."""

    def __init__(self) -> None:
        self._open: list[str] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        parent = self._open[-1] if self._open else None
        if not _is_read(name, parent, attributes):
            raise _NotPlainError
        self._open.append(name)

    def end(self, _: str) -> None:
        self._open.pop()

    def entity(self, *_: object) -> None:
        raise _NotPlainError


def _is_read(name: str, parent: str | None, attributes: Mapping[str, str]) -> bool:
    if parent is None:
        return name in ROOTS
    local = name.rpartition(" ")[2]
    if XML_BASE in attributes or parent.rpartition(" ")[2] == "title":
        return False  # addresses that are relative to it; markup that is not escaped
    if name.startswith(ATOM):
        # the fast reader takes a link to the entry itself for one to what a person can read
        is_own = attributes.get("rel") == "self" and parent in READ
        if local == "link" and (is_own or "href" not in attributes):
            return False
        if local in {"title", "summary", "content"} and attributes.get("type") not in TEXTS:
            return False
    return local not in TELLING or parent not in READ or name in READ[parent]
