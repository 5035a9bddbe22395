"""Lobsters, or any site that runs its software: the newest stories, by the JSON that each list has.

Its code: https://github.com/lobsters/lobsters (`Story#as_json`)
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

from pydantic import HttpUrl

from klankbord_ingest.kind import Cursor, Page, Pull, Said, Web, gathered


class Lobsters(Pull):
    """The newest stories of Lobsters, or of a site that runs its software."""

    kind: Literal["lobsters"]
    url: HttpUrl = HttpUrl("https://lobste.rs")

    @property
    def own_platform(self) -> str:
        """Ids are the site's own."""
        return str(self.url.host)

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:
        """The newest stories; those that were heard before add nothing."""
        stories = await web.get_json(f"{str(self.url).rstrip('/')}/newest.json")
        return gathered(reversed(stories), self._story, cursor)

    def _story(self, story: dict[str, Any]) -> Iterator[Said]:
        yield {
            "nativeId": story["short_id"],
            "published": story["created_at"],
            "attributedTo": {"id": story["submitter_user"]},
            "name": story["title"],
            "contentHtml": story["description"],
            "url": story["comments_url"],
            "tag": story["tags"],
            "objectType": "Article",
        }
