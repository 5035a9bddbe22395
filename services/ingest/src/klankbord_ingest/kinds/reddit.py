"""Reddit: what is posted and commented in a subreddit. Access is Reddit's to grant.

Interface: https://www.reddit.com/dev/api, https://github.com/reddit-archive/reddit/wiki/JSON
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import HttpUrl, JsonValue, StringConstraints

from klankbord_ingest.kind import (
    Backfill,
    Cursor,
    FetchError,
    Page,
    PassedOver,
    Pull,
    Secret,
    Web,
    gathered,
)
from klankbord_ingest.platform_json import moment_at
from klankbord_ingest.web import json_of
from klankbord_runtime.yamlfile import Duration
from klankbord_schemas.types import Line

PAGE = 100
TAKEN = frozenset({"[deleted]", "[removed]"})
"""What stands in place of what its author, or a moderator, took away."""
ITSELF = frozenset({"AutoModerator"})
"""Accounts that are programs of Reddit; others do not say so."""

Subreddit = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{2,50}$")]


class Listing(NamedTuple):
    """One page of a listing."""

    things: Sequence[Any]
    after: str | None
    """What the next page begins after; none at the end."""

    @property
    def ages(self) -> list[int]:
        """The numbers of what is in it: a later thing has a higher one."""
        return [age for thing in self.things if (age := _age(thing)) is not None]


class Reddit(Pull, Backfill):
    """A subreddit, read with an application that Reddit approved."""

    secrets: ClassVar[dict[str, Secret]] = {
        "token": Secret("the secret of your approved application: reddit.com/prefs/apps"),
    }

    kind: Literal["reddit"]
    subreddit: Subreddit
    """Its name, without `r/`."""
    client_id: Line
    """The id of the application, which stands under its name."""
    comments: bool = True
    """Whether to read comments as well."""
    accounts: HttpUrl = HttpUrl("https://www.reddit.com")
    api: HttpUrl = HttpUrl("https://oauth.reddit.com")
    every: Duration = timedelta(minutes=5)

    @property
    def own_platform(self) -> str:
        """There is one."""
        return "reddit.com"

    @property
    def place(self) -> str:
        """Another subreddit is another place."""
        return self.subreddit.lower()

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:  # noqa: ARG002
        """The newest page of each listing, and what lies between it and what was heard before.

        That page is read anew each time, and so shows what was edited and taken away.
        """
        token = await self._token(web)
        things: list[Any] = []
        following: dict[str, JsonValue] = {}
        more = False
        for name in self._listings:
            kept = cursor.get(name)
            state = kept if isinstance(kept, dict) else {}
            if cursor.get("more") and "after" not in state:
                following[name] = state  # this one was read to its end in this round
                continue
            listing = await self._read(web, token, name, state.get("after"))
            things += reversed(listing.things)
            following[name] = _following(state, listing)
            more = more or "after" in following[name]  # type: ignore[operator]
        if more:
            following["more"] = True
        return gathered(things, _said, following, more=more)

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        """The listings from the newest on back: Reddit gives about a thousand things of each."""
        name = str(cursor.get("listing") or self._listings[0])
        listing = await self._read(web, await self._token(web), name, cursor.get("after"))
        things = [one for one in listing.things if since is None or not _is_before(one, since)]
        if listing.after is not None and len(things) == len(listing.things):
            return gathered(things, _said, {"listing": name, "after": listing.after}, more=True)
        later = self._listings[self._listings.index(name) + 1 :]
        following = {"listing": later[0]} if later else cursor
        return gathered(things, _said, following, more=bool(later))

    @property
    def _listings(self) -> Sequence[str]:
        return ["new", "comments"] if self.comments else ["new"]

    async def _token(self, web: Web) -> str:
        """A token for an hour: https://github.com/reddit-archive/reddit/wiki/OAuth2."""
        basic = base64.b64encode(f"{self.client_id}:{web.token}".encode()).decode()
        address = f"{str(self.accounts).rstrip('/')}/api/v1/access_token"
        answer = json_of(
            await web.post(
                address,
                form={"grant_type": "client_credentials"},
                headers={"Authorization": f"Basic {basic}"},
            )
        )
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str):
            raise FetchError("bad_answer", f"{address} gave no token; is the application approved?")
        return token

    async def _read(self, web: Web, token: str, name: str, after: JsonValue) -> Listing:
        """A page: https://www.reddit.com/dev/api#listings."""
        asked: dict[str, str | int] = {"limit": PAGE, "raw_json": 1}
        if isinstance(after, str):
            asked["after"] = after
        address = f"{str(self.api).rstrip('/')}/r/{self.subreddit}/{name}"
        answer = await web.get_json(address, asked, {"Authorization": f"Bearer {token}"})
        match answer:
            case {"kind": "Listing", "data": {"children": list(things)} as data}:
                following = data.get("after")
                return Listing(things, following if isinstance(following, str) else None)
        raise FetchError("bad_answer", f"{address} answered no listing")


def _following(state: Mapping[str, JsonValue], listing: Listing) -> dict[str, JsonValue]:
    """Where to go on in a listing: `seen` is the newest that every earlier round reached."""
    seen, newest = state.get("seen"), state.get("newest")
    ages = listing.ages
    reached = max(ages, default=0)
    newest = newest if isinstance(newest, int) else reached
    if not isinstance(seen, int):
        return {"seen": newest}
    if ages and min(ages) > seen and listing.after is not None:
        return {"seen": seen, "newest": newest, "after": listing.after}
    return {"seen": max(seen, newest)}


def _said(thing: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A submission (`t3`) or a comment (`t1`)."""
    kind, data = thing["kind"], thing["data"]
    if kind not in {"t1", "t3"}:
        raise PassedOver("private" if kind == "t4" else "other")
    is_comment = kind == "t1"
    words = data["body"] if is_comment else data["selftext"]
    if words in TAKEN or data.get("removed_by_category"):
        yield {"nativeId": data["name"], "operation": "delete"}
        return
    edited = data.get("edited")
    is_edited = isinstance(edited, int | float) and not isinstance(edited, bool)
    permalink = data.get("permalink")
    yield {
        "nativeId": data["name"],
        "operation": "update" if is_edited else "create",
        "published": moment_at(data["created_utc"]),
        "updated": moment_at(edited) if is_edited else None,
        "attributedTo": _author(data),
        "inReplyTo": data["parent_id"] if is_comment else None,
        "context": data.get("link_id") if is_comment else None,
        "url": f"https://www.reddit.com{permalink}" if permalink else None,
        "name": None if is_comment else data["title"],
        "content": words,
        "contentHtml": data.get("body_html" if is_comment else "selftext_html"),
        "tag": [data["link_flair_text"]] if data.get("link_flair_text") else [],
        "link": [] if is_comment or data.get("is_self", True) else [data["url"]],
    }


def _author(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Who wrote it; none where the account is gone and the words are left."""
    name = data["author"]
    if name in TAKEN:
        return None
    return {
        "id": data.get("author_fullname") or name,
        "preferredUsername": name,
        "type": "Service" if name in ITSELF else "Person",
    }


def _age(thing: Any) -> int | None:
    """The number in a fullname, `t3_48fbm9`: to the base of 36."""
    match thing:
        case {"data": {"name": str(name)}}:
            try:
                return int(name.partition("_")[2], 36)
            except ValueError:
                return None
    return None


def _is_before(thing: Any, since: datetime) -> bool:
    try:
        return moment_at(thing["data"]["created_utc"]) < since
    except (KeyError, TypeError, ValueError):
        return False
