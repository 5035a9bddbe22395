"""HTML as a tree of elements: whatever members, sources or policies say is text in it, and can
never become markup.
"""

from collections.abc import Iterable, Mapping, Sequence
from xml.etree.ElementTree import Element

from klankbord_standalone.words import printable

Child = Element | str | None
Cell = tuple[str, Child]
"""A class for the cell, and what stands in it."""


def element(tag: str, attributes: Mapping[str, str] | None = None, /, *children: Child) -> Element:
    """An element that holds these; a string among them is text, whatever it looks like."""
    made = Element(tag, dict(attributes or {}))
    for child in children:
        if isinstance(child, Element):
            made.append(child)
        elif child is not None and len(made):
            made[-1].tail = f"{made[-1].tail or ''}{printable(child)}"
        elif child is not None:
            made.text = f"{made.text or ''}{printable(child)}"
    return made


def foreign(text: str) -> Element:
    """Somebody else's words: which way they run does not touch what stands around them."""
    return element("bdi", {}, text)


def classed(tag: str, name: str, *children: Child) -> Element:
    """An element of that class."""
    return element(tag, {"class": name}, *children)


def table(
    caption: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    numbers: int = 0,
    *,
    cards: bool = False,
) -> Element:
    """A table that scrolls by itself where the screen is narrow, or falls apart into cards.

    The first cell of a row names it; the `numbers` columns after it hold numbers.
    """
    head = element("tr")
    for place, heading in enumerate(headings):
        kind = {"class": "n"} if 0 < place <= numbers else {}
        head.append(element("th", {"scope": "col", **kind}, heading))
    body = element("tbody")
    for (name, first), *cells in rows:
        row = element("tr", {}, element("th", {"scope": "row", **_named(name)}, first))
        row.extend(
            element("td", {**_named(name), "data-heading": heading}, child)
            for heading, (name, child) in zip(headings[1:], cells, strict=True)
        )
        body.append(row)
    whole = element(
        "table",
        _named("cards" if cards else ""),
        element("caption", {}, caption),
        element("thead", {}, head),
        body,
    )
    # a region that scrolls is reached with the keyboard
    scrolls = {"class": "scroll", "tabindex": "0", "role": "region", "aria-label": caption}
    return element("div", scrolls, whole)


def _named(name: str) -> dict[str, str]:
    return {"class": name} if name else {}
