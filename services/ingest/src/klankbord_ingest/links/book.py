"""The links in memory: whoever follows one waits for no database, nor is left without one."""

from collections.abc import Iterable
from datetime import datetime

from klankbord_ingest.links.link import Link

MOST_LINKS = 50_000
"""How many there may be: each takes about a kilobyte in every replica."""


BEHIND = "/.,;:!?)]>'\""
"""What no code holds, and what stands behind an address in a text."""


class LinkBook:
    """Every link of the installation, by its code."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}
        self.newest: datetime | None = None
        """When the last one of them changed."""

    def __len__(self) -> int:
        return len(self._links)

    def find(self, code: str) -> Link | None:
        """The link with that code.

        Capitals do not matter, nor what programs take along from behind an address.
        """
        return self._links.get(code.lower().rstrip(BEHIND))

    def note(self, links: Iterable[Link]) -> None:
        """Know these from here on; of one link, the version that changed last."""
        for link in links:
            known = self._links.get(link.code)
            if known is None or known.changed <= link.changed:
                self._links[link.code] = link
            if self.newest is None or self.newest < link.changed:
                self.newest = link.changed
