"""Viva Engage, which was Yammer: the public conversations of a network, or of one community in it.

Formats: https://learn.microsoft.com/rest/api/yammer/messagesjson and, for how often it may be
asked, https://learn.microsoft.com/rest/api/yammer/rest-api-rate-limits.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field, HttpUrl

from klankbord_ingest.kind import (
    Backfill,
    Cursor,
    FetchError,
    Fields,
    Page,
    PassedOver,
    Pull,
    Secret,
    Web,
    gathered,
)
from klankbord_ingest.platform_json import whole_number
from klankbord_runtime.yamlfile import Duration

BETWEEN_PAGES = timedelta(seconds=4)
"""Ten requests in thirty seconds are admitted, and others may ask with the same account."""

Message: TypeAlias = Mapping[str, Any]


class Yammer(Pull, Backfill):
    """Conversations of Viva Engage that the account may read, asked for once a minute at most."""

    secrets: ClassVar[dict[str, Secret]] = {
        "token": Secret("an access token of Microsoft Entra ID, delegated by an account of yours"),
    }

    kind: Literal["yammer"]
    every: Duration = timedelta(minutes=2)
    group: Annotated[int, Field(gt=0)] | None = None
    """Only this community of the network: the number at the end of its feed's address."""
    address: HttpUrl = HttpUrl("https://www.yammer.com/api/v1")
    """Where the interface is."""

    @property
    def own_platform(self) -> str:
        """One for all networks: numbers of messages and of members are of the whole platform."""
        return "yammer.com"

    @property
    def place(self) -> str:
        """Another community has another newest message."""
        return f"{self.address} {self.group or ''}"

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:  # noqa: ARG002
        """What is newer than the newest message that was heard.

        An answer has the newest messages first. Where there are more than one answer holds, the
        rest is asked for from the oldest of them on, and only then does the newest move on.
        """
        newest, oldest = whole_number(cursor.get("newest")), whole_number(cursor.get("oldest"))
        reached = max(newest, whole_number(cursor.get("reached")))
        answer = await self._ask(web, newer_than=newest, older_than=oldest)
        messages = [one for one in answer["messages"] if _id(one) > newest or not _id(one)]
        ids = [_id(one) for one in messages if _id(one)]
        reached = max([reached, *ids])
        is_first = "newest" not in cursor
        if is_first or not ids or not _has_older(answer):
            return self._page(answer, messages, {"newest": reached})
        following: Cursor = {"newest": newest, "oldest": min(ids), "reached": reached}
        return self._page(answer, messages, following, more=True)

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        """What was said before, the newest first."""
        answer = await self._ask(web, older_than=whole_number(cursor.get("oldest")))
        messages = answer["messages"]
        wanted = [one for one in messages if since is None or not _is_before(one, since)]
        ids = [_id(one) for one in messages if _id(one)]
        following: Cursor = {"oldest": min(ids)} if ids else cursor
        more = bool(wanted) and bool(ids) and _has_older(answer)
        return self._page(answer, wanted, following, more=more)

    async def _ask(self, web: Web, newer_than: int = 0, older_than: int = 0) -> dict[str, Any]:
        path = f"/messages/in_group/{self.group}.json" if self.group else "/messages.json"
        asked = {"newer_than": newer_than, "older_than": older_than}
        params = {name: number for name, number in asked.items() if number}
        url = f"{str(self.address).rstrip('/')}{path}"
        answer = await web.get_json(url, params, {"Authorization": f"Bearer {web.token}"})
        if not isinstance(answer, dict) or not isinstance(answer.get("messages"), list):
            raise FetchError("bad_answer", f"{url} answered without messages")
        return answer

    def _page(
        self,
        answer: Mapping[str, Any],
        messages: Sequence[Message],
        cursor: Cursor,
        *,
        more: bool = False,
    ) -> Page:
        """A page of these messages, the oldest first, as they were written."""
        members = _members(answer.get("references"))

        def read(message: Message) -> Iterator[Fields]:
            yield post(message, members)

        wish = BETWEEN_PAGES if more else None
        return gathered(reversed(messages), read, cursor, more=more, wish=wish)


def post(message: Message, members: Mapping[Any, Message]) -> Fields:
    """The post that a message is.

    Args:
        message: as the interface gives it.
        members: the users that the answer refers to, by id.
    """
    if message.get("direct_message") or message.get("privacy") == "private":
        raise PassedOver("private")
    if message.get("system_message"):
        raise PassedOver("system")
    body = message["body"]
    sender = message["sender_id"]
    member = members.get(sender, {})
    is_member = message.get("sender_type", "user") == "user"
    return {
        "nativeId": message["id"],
        "published": _moment(message["created_at"]),
        "attributedTo": {
            "id": sender,
            "preferredUsername": member.get("name"),
            "name": member.get("full_name"),
            "icon": member.get("mugshot_url"),
            "type": "Person" if is_member else "Service",
        },
        "context": message.get("thread_id"),
        "inReplyTo": message.get("replied_to_id"),
        "url": message.get("web_url"),
        "name": message.get("title") or None,
        "content": body.get("plain") or "",
        "contentHtml": body.get("rich"),
        "language": message.get("language"),
        "mention": message.get("notified_user_ids") or [],
    }


def _members(references: object) -> dict[Any, Message]:
    """The users among the things that messages refer to."""
    listed = references if isinstance(references, list) else []
    return {
        one.get("id"): one for one in listed if isinstance(one, dict) and one.get("type") == "user"
    }


def _id(message: object) -> int:
    """The number of a message; 0 where it has none, and is about to be refused."""
    number = message.get("id") if isinstance(message, dict) else None
    return number if isinstance(number, int) else 0


def _has_older(answer: Mapping[str, Any]) -> bool:
    meta = answer.get("meta")
    return isinstance(meta, dict) and bool(meta.get("older_available"))


def _moment(written: str) -> datetime:
    """When it was written, as in `2026/11/22 09:30:00 +0000`."""
    return datetime.strptime(written, "%Y/%m/%d %H:%M:%S %z")


def _is_before(message: object, moment: datetime) -> bool:
    written = message.get("created_at") if isinstance(message, dict) else None
    try:
        return _moment(str(written)) < moment
    except ValueError:
        return False
