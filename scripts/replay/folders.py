"""Which kind reads which folder of the payloads, and how a file of it becomes what the kind hears.

A folder is one function: it yields the pages that its kind makes of a file, or raises `UnreadError`
for a file that no kind reads. It is listed in `FOLDERS`.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from scripts.replay import feeds
from scripts.replay.playing import File

from klankbord_ingest.kind import Page
from klankbord_ingest.web import Web


@dataclass(frozen=True)
class Scene:
    """What a folder's function may use."""

    home: str
    """Where the folder is served over HTTP."""
    web: Web
    """Asks that server."""


Read: TypeAlias = Callable[[File, Scene], AsyncGenerator[Page, None]]


@dataclass(frozen=True)
class Folder:
    """A folder of the payloads."""

    kind: str
    """The kind that reads it, or the word for how else it is read."""
    read: Read


async def _feed(file: File, scene: Scene) -> AsyncGenerator[Page, None]:
    async for page in feeds.heard(file, scene.home, scene.web):
        yield page


FOLDERS: Mapping[str, Folder] = {
    "feeds": Folder("feed", _feed),
}
