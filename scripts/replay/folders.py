"""Which kind reads which folder of the payloads, and how a file of it becomes what the kind hears.

A folder is one function: it yields the pages that its kind makes of a file, or raises `UnreadError`
for a file that no kind reads. It is listed in `FOLDERS`.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from scripts.replay import feeds, platforms
from scripts.replay.playing import File
from scripts.replay.tally import UnreadError

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


def _alone(read: Callable[[File], AsyncGenerator[Page, None]]) -> Read:
    """A folder whose files say everything themselves."""

    async def heard(file: File, _: Scene) -> AsyncGenerator[Page, None]:
        async for page in read(file):
            yield page

    return heard


def _unread(why: str) -> Read:
    """A folder that no kind reads."""

    async def heard(_file: File, _: Scene) -> AsyncGenerator[Page, None]:
        raise UnreadError(why)
        yield Page()

    return heard


FOLDERS: Mapping[str, Folder] = {
    "bluesky": Folder("bluesky", _alone(platforms.bluesky)),
    "discord": Folder("discord", _alone(platforms.discord)),
    "discourse": Folder("discourse", _alone(platforms.discourse)),
    "email": Folder("mail", _alone(platforms.email)),
    "feeds": Folder("feed", _feed),
    "github": Folder("github", _alone(platforms.github)),
    "hackernews": Folder("hackernews", _unread("no item")),
    "mastodon": Folder("mastodon", _alone(platforms.mastodon)),
    "matrix": Folder("matrix", _alone(platforms.matrix)),
    "meta-graph": Folder("facebook, instagram", _alone(platforms.meta)),
    "recorded-from-local-servers": Folder("feed, mastodon, matrix", _alone(platforms.recorded)),
    "reddit": Folder("reddit", _alone(platforms.reddit)),
    "slack": Folder("slack, import", _alone(platforms.slack)),
    "stackexchange": Folder("–", _unread("no question: sites and accounts")),
    "webhooks": Folder("webhook", _alone(platforms.webhooks)),
    "x-twitter": Folder("x", _alone(platforms.x_twitter)),
    "youtube": Folder("youtube", _alone(platforms.youtube)),
    "zulip": Folder("–", _unread("what other services answered to bots of Zulip")),
}
