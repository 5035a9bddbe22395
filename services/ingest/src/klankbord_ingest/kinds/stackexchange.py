"""Stack Exchange: questions under a tag or with certain words, their answers and comments.

Asked: https://api.stackexchange.com/docs/advanced-search, with a filter that brings texts, answers
and comments in one answer, as there are 300 questions a day without a key.

Native ids: a question and an answer are their number (they share one series), a comment is
`comment/<id>`; the thread (`context`) is the question's number, an author is `user_id`. The columns
`Id` of `Posts.xml` and `Comments.xml` in Stack Exchange's dumps are the same numbers.

Versions: `last_edit_date` is when a question or an answer was edited. Of a comment it is only told
that it was edited, so it is a version when it says something else.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, HttpUrl, StringConstraints, model_validator

from klankbord_ingest.kind import Backfill, Cursor, FetchError, Page, Pull, Secret, Web, gathered
from klankbord_ingest.linked import links_in_html
from klankbord_ingest.markup import unescaped
from klankbord_ingest.platform_json import moment_at, objects, whole_number
from klankbord_ingest.web import LaterError, first_that_fits
from klankbord_runtime.yamlfile import Duration
from klankbord_schemas.types import Line

PAGE_SIZES = (50, 10, 1)
"""How many questions are asked for at once; fewer, where so many are too large an answer."""
OVERLAP_SECONDS = 60
"""How much is asked for again in each round."""
MOST_PAGES = 25
"""The last page that is answered without a key; then the next one begins at a later second."""
INCLUDED = (
    "question.body;question.answers;question.comments;question.last_edit_date;"
    "answer.body;answer.comments;answer.last_edit_date;answer.link;"
    "comment.body;comment.edited;comment.link;"
    ".quota_remaining;.quota_max;.backoff;.has_more;.items"
)
"""What the filter adds to the default fields: see /docs/filters."""


class StackExchange(Pull, Backfill):
    """Questions, answers and comments on a site of Stack Exchange."""

    secrets: ClassVar[dict[str, Secret]] = {
        "key": Secret(
            "the key of an app that you register at https://stackapps.com/apps/oauth/register; it "
            "is not secret to Stack Exchange, and lets Klankbord ask 10,000 times a day, not 300",
            is_required=False,
        ),
    }

    kind: Literal["stackexchange"]
    site: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,99}$")] = "stackoverflow"
    """The site as the API calls it: `stackoverflow`, `askubuntu`, `nl.stackoverflow`, …"""
    tags: Annotated[tuple[Line, ...], Field(max_length=5)] = ()
    """A question has at least one of them."""
    query: Line | None = None
    """Words that have to occur in the question."""
    every: Duration = timedelta(minutes=15)
    api_url: HttpUrl = HttpUrl("https://api.stackexchange.com/2.3")
    """Where it is asked; another one only for a cache of your own."""

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.tags and not self.query:
            raise ValueError("asks for everything; name `tags`, or words as `query`")
        return self

    @property
    def own_platform(self) -> str:
        """The numbers are each site's own."""
        return f"stackexchange:{self.site}"

    @property
    def place(self) -> str:
        """Another site or search begins anew."""
        return f"{self.site} {';'.join(self.tags)} {self.query or ''}"

    @property
    def api(self) -> str:
        """The API's address, without a slash at its end."""
        return str(self.api_url).rstrip("/")

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:
        """The next page of questions with new activity, the oldest first."""
        return await self._page(web, cursor, now, None)

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        """History, by the questions' last activity."""
        begin = int(since.timestamp()) if since else 0
        return await self._page(web, cursor, datetime.now(UTC), begin)

    async def _page(self, web: Web, cursor: Cursor, now: datetime, begin: int | None) -> Page:
        _check_waited(cursor, now, self.api)
        filter_ = cursor.get("filter") or await self._filter(web)
        given = cursor.get("since", begin)
        since = given if isinstance(given, int) else None
        number = whole_number(cursor.get("page")) or 1
        most = whole_number(cursor.get("size")) or PAGE_SIZES[0]
        document, number, size = await self._asked(web, str(filter_), since, number, most)
        questions = document["items"]
        page = gathered(
            questions if since is not None else reversed(questions),
            lambda question: question_said(question, None if begin is None else max(begin, 0)),
        )
        moments = [whole_number(one.get("last_activity_date")) for one in objects(questions)]
        newest = max(moments, default=since or int(now.timestamp()) - OVERLAP_SECONDS)
        is_more = since is not None and document.get("has_more") is True
        following: dict[str, Any] = {"filter": filter_}
        if is_more and since is not None:
            hops = number >= MOST_PAGES and newest > since
            page_after = {"since": since, "page": number + 1, "size": size}
            following |= {"since": newest} if hops else page_after
        else:
            following["since"] = max(newest - OVERLAP_SECONDS, since or 0)
        backoff = document.get("backoff")
        wish = timedelta(seconds=backoff) if isinstance(backoff, int) else None
        if wish:
            following["until"] = int((now + wish).timestamp()) + 1
        return replace(page, cursor=following, more=is_more, wish=wish)

    async def _filter(self, web: Web) -> str:
        """The name of the filter that brings what is read; it stays the same for ever."""
        document = await self._json(
            web, "/filters/create", {"base": "default", "include": INCLUDED}
        )
        try:
            return str(document["items"][0]["filter"])
        except (KeyError, IndexError, TypeError):
            raise FetchError("bad_answer", f"{self.api}/filters/create made no filter") from None

    async def _asked(
        self, web: Web, filter_: str, since: int | None, number: int, most: int
    ) -> tuple[dict[str, Any], int, int]:
        """A page of questions, its number, and of how many questions it is."""
        params: dict[str, str | int] = {
            "site": self.site,
            "sort": "activity",
            "order": "desc" if since is None else "asc",
            "min": "" if since is None else since,
            "tagged": ";".join(self.tags),
            "q": self.query or "",
            "filter": filter_,
        }
        sizes = [size for size in PAGE_SIZES if size <= most]

        def page_of(size: int) -> int:
            return number if size == sizes[0] else 1  # pages of another size are other pages

        async def ask(size: int) -> dict[str, Any]:
            asked = {**params, "page": page_of(size), "pagesize": size}
            return await self._json(web, "/search/advanced", asked)

        document, size = await first_that_fits(sizes, ask)
        return document, page_of(size), size

    async def _json(self, web: Web, path: str, params: Mapping[str, str | int]) -> dict[str, Any]:
        document = await web.get_json(self.api + path, {**params, "key": web.secret("key")})
        if not isinstance(document, dict) or not isinstance(document.get("items"), list):
            raise FetchError("bad_answer", f"{self.api}{path} lists nothing")
        left = document.get("quota_remaining")
        web.rate_left = left if isinstance(left, int) else web.rate_left
        return document


def question_said(
    question: dict[str, Any], since: int | None = None
) -> Iterator[Mapping[str, Any]]:
    """A question, its comments, its answers and theirs; of history what was written since."""
    for said in _thread(question):
        if since is None or said["published"].timestamp() >= since:
            yield said


def _thread(question: dict[str, Any]) -> Iterator[dict[str, Any]]:
    thread = str(question["question_id"])
    link = question["link"]
    yield _post(question, thread, thread, link) | {
        "objectType": "Question",
        "name": unescaped(question["title"]),
        "tag": list(question.get("tags") or ()),
    }
    yield from _comments(question, thread, thread, link)
    for answer in question.get("answers") or ():
        native_id = str(answer["answer_id"])
        address = answer.get("link") or f"{link}#{native_id}"
        yield _post(answer, native_id, thread, address) | {"inReplyTo": thread}
        yield from _comments(answer, native_id, thread, address)


def _comments(
    post: dict[str, Any], native_id: str, thread: str, link: str
) -> Iterable[dict[str, Any]]:
    for comment in post.get("comments") or ():
        number = comment["comment_id"]
        yield {
            "nativeId": f"comment/{number}",
            "operation": "update" if comment.get("edited") else "create",
            "published": moment_at(comment["creation_date"]),
            "inReplyTo": native_id,
            "context": thread,
            "url": comment.get("link") or f"{link}#comment{number}",
            "contentHtml": comment["body"],
            "link": links_in_html(comment["body"]),
            **_by(comment.get("owner")),
        }


def _post(post: dict[str, Any], native_id: str, thread: str, link: str) -> dict[str, Any]:
    edited = post.get("last_edit_date")
    return {
        "nativeId": native_id,
        "operation": "update" if edited else "create",
        "published": moment_at(post["creation_date"]),
        "updated": moment_at(edited) if edited else None,
        "context": thread,
        "url": link,
        "contentHtml": post["body"],
        "link": links_in_html(post["body"]),
        **_by(post.get("owner")),
    }


def _by(owner: dict[str, Any] | None) -> dict[str, Any]:
    """Who wrote it; nobody where the account was deleted. `Community` (-1) is the site itself."""
    number = (owner or {}).get("user_id")
    if owner is None or number is None:
        return {"attributedTo": None}
    name = unescaped(owner.get("display_name") or "") or None
    actor = {
        "id": str(number),
        "type": "Service" if number < 0 else "Person",
        "preferredUsername": name,
        "icon": owner.get("profile_image"),
    }
    return {"attributedTo": actor, "isAutomated": number < 0}


def _check_waited(cursor: Cursor, now: datetime, api: str) -> None:
    """Whoever does not wait as long as `backoff` said is shut out."""
    left = whole_number(cursor.get("until")) - now.timestamp()
    if left > 0:
        why = f"{api} asked to be left alone for {left:.0f} s"
        raise LaterError("too_many_requests", why, timedelta(seconds=left))
