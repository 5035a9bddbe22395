"""YouTube: comment threads, and the answers that a page of threads leaves out."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from answering import Answer, Answering, Asked
from pydantic import ValidationError

from klankbord_ingest.kind import FetchError, PostSubmission, Web, gathered
from klankbord_ingest.kinds.youtube import YouTube, comment_said, thread_said
from klankbord_ingest.submission import PostSubmission as Post
from klankbord_ingest.web import LaterError, RefusedTokenError

CHANNEL = "UC_x5XG1OV2P6uZZ5FSM9Ttw"
TUBE = YouTube.model_validate(
    {"kind": "youtube", "name": "tube", "community": "demo", "channel": CHANNEL}
)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
REAL = Path(__file__).resolve().parents[5] / "shared/real/payloads/youtube"


def comment(number: str, at: str = "2026-11-20T10:00:00Z", **changed: Any) -> dict[str, Any]:
    return {
        "id": number,
        "snippet": {
            "authorDisplayName": "@ada",
            "authorProfileImageUrl": "https://yt3.example.org/ada",
            "authorChannelId": {"value": "UCada"},
            "textDisplay": f"Comment {number}",
            "publishedAt": at,
            "updatedAt": at,
        }
        | changed,
    }


def thread(
    number: str, at: str = "2026-11-20T10:00:00Z", answers: int = 0, told: int = 0
) -> dict[str, Any]:
    replies = [comment(f"{number}.{n}", at, parentId=number) for n in range(told)]
    return {
        "id": number,
        "snippet": {
            "channelId": CHANNEL,
            "videoId": "abcdefghijk",
            "topLevelComment": comment(number, at),
            "totalReplyCount": answers or told,
        },
        "replies": {"comments": replies},
    }


def test_a_thread_is_its_comment_and_its_answers() -> None:
    first, answer = (Post.model_validate(said) for said in thread_said(thread("Ug1", told=1)))
    assert (first.native_id, first.context, first.in_reply_to) == ("Ug1", "Ug1", None)
    assert first.url == "https://www.youtube.com/watch?v=abcdefghijk&lc=Ug1"
    assert (first.operation, first.updated, first.text) == ("create", None, "Comment Ug1")
    assert first.attributed_to
    assert (first.attributed_to.id, first.attributed_to.preferred_username) == ("UCada", "@ada")
    assert (answer.native_id, answer.context, answer.in_reply_to) == ("Ug1.0", "Ug1", "Ug1")


def test_an_edit_states_when() -> None:
    said = Post.model_validate(comment_said(comment("Ug1", updatedAt="2026-11-21T10:00:00Z")))
    assert (said.operation, said.updated) == ("update", datetime(2026, 11, 21, 10, tzinfo=UTC))


def test_one_names_a_channel_or_videos() -> None:
    for fields in ({}, {"channel": CHANNEL, "videos": ["abcdefghijk"]}, {"channel": "@acme"}):
        with pytest.raises(ValidationError):
            YouTube.model_validate({"kind": "youtube", "name": "t", "community": "demo", **fields})


class Tube:
    """The API, two threads or answers at a time."""

    def __init__(self, *threads: dict[str, Any]) -> None:
        self.threads = list(threads)
        self.answering = Answering(self._answer)

    def _answer(self, asked: Asked) -> Any:
        assert asked.headers["X-Goog-Api-Key"] == "key-of-google"
        assert "key" not in asked.query
        start = int(asked.query.get("pageToken") or 0)
        if asked.url.endswith("/comments"):
            parent = asked.query["parentId"]
            (found,) = (one for one in self.threads if one["id"] == parent)
            count = found["snippet"]["totalReplyCount"]
            items = [comment(f"{parent}.{n}", parentId=parent) for n in range(count)]
        else:
            items = sorted(
                self.threads,
                key=lambda one: str(one["snippet"]["topLevelComment"]["snippet"]["publishedAt"]),
                reverse=True,
            )
        token = {"nextPageToken": str(start + 2)} if start + 2 < len(items) else {}
        return {"items": items[start : start + 2], **token}

    async def round(
        self, cursor: Any, kind: YouTube = TUBE, since: Any = "pull"
    ) -> tuple[list[str], Any]:
        told: list[str] = []
        more = True
        web = self.answering.web(token="key-of-google")
        while more:
            if since == "pull":
                page = await kind.fetch(web, cursor, NOW)
            else:
                page = await kind.backfill(web, cursor, since)
            assert not page.refused
            posts = [said for said in page.submissions if isinstance(said, PostSubmission)]
            told += [said.native_id for said in posts]
            cursor, more = json.loads(json.dumps(page.cursor)), page.more
        return told, cursor


async def test_rounds_tell_new_threads_and_new_answers() -> None:
    tube = Tube(thread("a", "2026-11-20T10:00:00Z"), thread("b", "2026-11-20T11:00:00Z", told=1))
    told, cursor = await tube.round({})
    assert told == ["a", "b", "b.0"]
    asked = len(tube.answering.asked)
    told, cursor = await tube.round(cursor)
    assert len(tube.answering.asked) == asked + 1  # one cheap question
    tube.threads += [thread(f"c{n}", f"2026-11-21T10:0{n}:00Z") for n in range(5)]
    tube.threads[1] = thread("b", "2026-11-20T11:00:00Z", answers=4, told=1)
    told, cursor = await tube.round(cursor)
    assert set(told) >= {"c0", "c1", "c2", "c3", "c4", "b.0", "b.1", "b.2", "b.3"}
    asked = len(tube.answering.asked)
    await tube.round(cursor)
    assert len(tube.answering.asked) == asked + 1


async def test_several_videos_are_asked_in_turn() -> None:
    videos = TUBE.model_copy(update={"channel": None, "videos": ("abcdefghijk", "abcdefghijl")})
    tube = Tube(thread("a"))
    told, _ = await tube.round({}, videos)
    assert told == ["a", "a"]
    assert [asked.query["videoId"] for asked in tube.answering.asked] == list(videos.videos)


async def test_history_ends_where_it_is_asked_to() -> None:
    tube = Tube(*(thread(f"t{n}", f"2026-11-{n:02}T10:00:00Z", answers=3) for n in range(1, 20)))
    told, _ = await tube.round({}, since=None)
    assert {f"t{n}" for n in range(1, 20)} <= set(told)
    assert "t7.2" in told
    told, _ = await tube.round({}, since=datetime(2026, 11, 15, tzinfo=UTC))
    assert {one for one in told if "." not in one} == {f"t{n}" for n in range(15, 20)}


async def test_a_bad_thread_is_refused_alone_and_a_bad_answer_said() -> None:
    bad = {"id": "x", "snippet": {}}
    web = Answering(lambda asked: {"items": [thread("a"), bad, 7]}).web(token="key-of-google")
    page = await TUBE.fetch(web, {}, NOW)
    assert (len(page.submissions), len(page.refused)) == (1, 2)
    with pytest.raises(FetchError):
        await TUBE.fetch(Answering(lambda asked: {"error": "no"}).web(), {}, NOW)


async def test_a_spent_quota_is_waited_for_and_another_refusal_told() -> None:
    def refusing(message: str) -> Web:
        said = {"error": {"code": 403, "message": message}}
        return Answering(lambda asked: Answer(said, 403)).web(token="key-of-google")

    with pytest.raises(LaterError, match="exceeded your"):
        await TUBE.fetch(refusing("you have exceeded your quota"), {}, NOW)
    with pytest.raises(RefusedTokenError, match="has disabled comments"):
        await TUBE.fetch(refusing("The video has disabled comments."), {}, NOW)


@pytest.mark.skipif(not REAL.exists(), reason="has no real payloads here")
def test_every_real_thread_and_comment_is_read() -> None:
    counted = 0
    for file in sorted(REAL.rglob("*.json")):
        document = json.loads(file.read_text())
        items = document.get("items", [document]) if isinstance(document, dict) else []
        threads = [one for one in items if one.get("kind") == "youtube#commentThread"]
        comments = [one for one in items if one.get("kind") == "youtube#comment"]
        page = gathered(threads, thread_said)
        assert not page.refused, file
        counted += len(page.submissions)
        page = gathered(comments, lambda one: [comment_said(one)])
        assert not page.refused, file
        counted += len(page.submissions)
    assert counted >= 10
