"""YouTube: the comments under a channel's videos, or under some videos.

Asked: https://developers.google.com/youtube/v3/docs/commentThreads/list; YouTube tells no comment
by itself.

Native ids: a comment is its `id` (an answer's begins with its thread's, and a point), the thread
(`context`) is its first comment's, an author is the channel id (`authorChannelId.value`).

Versions: `updatedAt` is when a comment was edited.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, HttpUrl, StringConstraints, model_validator

from klankbord_ingest.kind import (
    Backfill,
    Cursor,
    FetchError,
    Page,
    Pull,
    Secret,
    Web,
    gathered,
)
from klankbord_ingest.linked import links_in_text
from klankbord_ingest.platform_json import whole_number
from klankbord_ingest.web import LaterError, RefusedTokenError
from klankbord_runtime.yamlfile import Duration

PAGE_SIZE = 50
"""How many threads are asked for at once, so that long ones are no too large an answer."""
QUOTA_WAIT = timedelta(hours=1)
"""How long nothing is asked once the day's quota is spent; then it is tried again."""
MOST_KNOWN = 300
"""Of how many threads it is known how many answers they had."""

ChannelId = Annotated[str, StringConstraints(pattern=r"^UC[A-Za-z0-9_-]{22}$")]
VideoId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{11}$")]


class YouTube(Pull, Backfill):
    """Comments on YouTube."""

    secrets: ClassVar[dict[str, Secret]] = {
        "token": Secret(
            "an API key: https://console.cloud.google.com, enable the YouTube Data API v3, then "
            "Credentials › Create credentials › API key, restricted to that API",
        ),
    }

    kind: Literal["youtube"]
    channel: ChannelId | None = None
    """The channel whose videos' comments are listened to: `UC…`, not its handle."""
    videos: Annotated[tuple[VideoId, ...], Field(max_length=50)] = ()
    """Or only these videos, by the eleven letters in their address."""
    every: Duration = timedelta(minutes=15)
    api_url: HttpUrl = HttpUrl("https://www.googleapis.com/youtube/v3")
    """Where it is asked; another one only for a cache of your own."""

    @model_validator(mode="after")
    def _names_one_of_both(self) -> Self:
        if bool(self.channel) == bool(self.videos):
            raise ValueError("name either `channel` or `videos`")
        return self

    @property
    def own_platform(self) -> str:
        """There is one YouTube."""
        return "youtube.com"

    @property
    def place(self) -> str:
        """Another channel begins anew."""
        return self.channel or ""

    @property
    def api(self) -> str:
        """The API's address, without a slash at its end."""
        return str(self.api_url).rstrip("/")

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:  # noqa: ARG002
        """New threads, the newest first, then new answers in those that are known."""
        return await self._step(web, cursor, None, is_history=False)

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        """History, the newest first: YouTube lists it no other way."""
        return await self._step(web, cursor, since, is_history=True)

    async def _step(
        self, web: Web, cursor: Cursor, since: datetime | None, *, is_history: bool
    ) -> Page:
        places = self.videos or (self.channel or "",)
        at = whole_number(cursor.get("at")) % len(places)
        known: Any = cursor.get("known") or {}
        state: dict[str, Any] = dict(known.get(places[at]) or {})
        if state.get("answers"):
            page, state, is_done = await self._answers(web, state, since)
        else:
            page, state, is_done = await self._threads(web, places[at], state, since, is_history)
        following: dict[str, Any] = {
            "at": (at + 1) % len(places) if is_done else at,
            "known": {place: known[place] for place in places if place in known}
            | {places[at]: state},
        }
        return replace(page, cursor=following, more=not is_done or at + 1 < len(places))

    async def _threads(
        self,
        web: Web,
        place: str,
        state: dict[str, Any],
        since: datetime | None,
        is_history: bool,
    ) -> tuple[Page, dict[str, Any], bool]:
        """A page of threads, by when they were begun, the newest first."""
        document = await self._json(
            web,
            "/commentThreads",
            {
                "part": "snippet,replies",
                "allThreadsRelatedToChannelId" if self.channel else "videoId": place,
                "order": "time",
                "maxResults": PAGE_SIZE,
                "textFormat": "plainText",
                "pageToken": str(state.get("page") or ""),
            },
        )
        threads = document["items"]
        page = gathered(reversed(threads), lambda thread: _since(thread_said(thread), since))
        begun = [moment for thread in threads if (moment := _begun(thread)) is not None]
        counts: dict[str, int] = dict(state.get("counts") or {})
        answers = [
            [thread["id"], thread["snippet"].get("videoId")]
            for thread in threads
            if (count := _answer_count(thread))
            and count > _told_answers(thread)
            and counts.get(thread["id"]) != count
        ]
        seen = {one["id"]: _answer_count(one) for one in threads if _begun(one) is not None}
        top = max([*begun, str(state.get("top") or "")])
        known_since = _utc(since) if is_history and since else state.get("since")
        is_known = known_since is not None and bool(begun) and min(begun) < str(known_since)
        token = document.get("nextPageToken")
        walks = is_history or state.get("since") is not None
        is_end = not token or is_known or not walks
        # the newest are kept: YouTube lists them first
        counts = dict(list({**seen, **_without(counts, seen)}.items())[:MOST_KNOWN])
        following: dict[str, Any] = {
            "counts": counts,
            "answers": answers,
            "since": state.get("since"),
        }
        if is_end:
            following |= {"since": top or state.get("since"), "page": None, "top": None}
        else:
            following |= {"page": token, "top": top}
        return page, following | {"ends": is_end}, is_end and not answers

    async def _answers(
        self, web: Web, state: dict[str, Any], since: datetime | None
    ) -> tuple[Page, dict[str, Any], bool]:
        """The answers in one thread, of which a page of threads tells five at most."""
        (thread, video), *others = state["answers"]
        document = await self._json(
            web,
            "/comments",
            {
                "part": "snippet",
                "parentId": thread,
                "maxResults": PAGE_SIZE,
                "textFormat": "plainText",
                "pageToken": str(state.get("answers_page") or ""),
            },
        )
        page = gathered(
            document["items"],
            lambda answer: _since(iter([comment_said(answer, thread, video)]), since),
        )
        token = document.get("nextPageToken")
        left = [[thread, video], *others] if token else others
        following = {**state, "answers": left, "answers_page": token}
        return page, following, bool(state.get("ends")) and not left

    async def _json(self, web: Web, path: str, params: Mapping[str, str | int]) -> dict[str, Any]:
        headers = {"X-Goog-Api-Key": web.token}
        try:
            document = await web.get_json(self.api + path, params, headers)
        except RefusedTokenError as error:
            if "quota" not in str(error).lower():
                raise
            # 403 `quotaExceeded`; it begins anew at midnight in California
            raise LaterError("too_many_requests", str(error), QUOTA_WAIT) from error
        if not isinstance(document, dict) or not isinstance(document.get("items"), list):
            raise FetchError("bad_answer", f"{self.api}{path} lists nothing")
        return document


def thread_said(thread: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A comment thread: its first comment, and the answers that are told with it."""
    first = thread["snippet"]["topLevelComment"]
    video = thread["snippet"].get("videoId")
    yield comment_said(first, None, video)
    for answer in (thread.get("replies") or {}).get("comments") or ():
        yield comment_said(answer, first["id"], video)


def comment_said(
    comment: dict[str, Any], thread: str | None = None, video: str | None = None
) -> Mapping[str, Any]:
    """A comment, or an answer in a thread."""
    said = comment["snippet"]
    number, parent = comment["id"], said.get("parentId") or thread
    video = said.get("videoId") or video
    edited = said["updatedAt"] if said["updatedAt"] != said["publishedAt"] else None
    author = (said.get("authorChannelId") or {}).get("value")
    handle = said.get("authorDisplayName")
    text = said.get("textOriginal") or said["textDisplay"]
    return {
        "nativeId": number,
        "operation": "update" if edited else "create",
        "published": said["publishedAt"],
        "updated": edited,
        "attributedTo": {
            "id": author,
            "preferredUsername": handle,
            "icon": said.get("authorProfileImageUrl"),
        }
        if author
        else None,
        "inReplyTo": parent,
        "context": parent or number,
        "url": f"https://www.youtube.com/watch?v={video}&lc={number}" if video else None,
        "content": text,
        "link": links_in_text(text),
    }


def _since(
    said: Iterator[Mapping[str, Any]], since: datetime | None
) -> Iterator[Mapping[str, Any]]:
    """Of history, what was written since."""
    for one in said:
        if since is None or datetime.fromisoformat(one["published"]) >= since:
            yield one


def _begun(thread: Any) -> str | None:
    """When a thread was begun, in UTC; None for what is no thread, which is refused elsewhere."""
    try:
        text = thread["snippet"]["topLevelComment"]["snippet"]["publishedAt"]
        _ = thread["id"]
        return _utc(datetime.fromisoformat(text))
    except (KeyError, TypeError, ValueError):
        return None


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _answer_count(thread: Any) -> int:
    if _begun(thread) is None:
        return 0
    return whole_number(thread["snippet"].get("totalReplyCount"))


def _told_answers(thread: dict[str, Any]) -> int:
    return len((thread.get("replies") or {}).get("comments") or ())


def _without(counts: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    return {thread: count for thread, count in counts.items() if thread not in others}
