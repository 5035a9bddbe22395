"""GitHub: what is a post, what an interaction, what is passed over; asking; who may send."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from answering import Answer, Answering, Asked, Kept, posted
from pydantic import ValidationError

from klankbord_ingest.kind import (
    FetchError,
    InteractionSubmission,
    Page,
    PostSubmission,
    UnsignedError,
)
from klankbord_ingest.kinds.github import GitHub
from klankbord_ingest.sources import source_of
from klankbord_ingest.web import LaterError
from klankbord_schemas.community import Community

HUB = GitHub.model_validate(
    {"kind": "github", "name": "hub", "community": "demo", "repositories": ["acme/tool"]}
)
SOURCE = source_of(HUB, Community(slug="demo", name="Demo", time_zone="UTC", languages=("en",)))
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
REAL = Path(__file__).resolve().parents[5] / "shared/real/payloads/github"

ADA = {"login": "ada", "id": 7, "type": "User", "avatar_url": "https://example.org/7"}
BOT = {"login": "helper[bot]", "id": 8, "type": "Bot"}
REPOSITORY = {"id": 55, "full_name": "acme/tool", "html_url": "https://github.com/acme/tool"}


def issue(number: int = 1, **changed: Any) -> dict[str, Any]:
    return {
        "id": 9000 + number,
        "number": number,
        "html_url": f"https://github.com/acme/tool/issues/{number}",
        "title": "It breaks",
        "body": "When I press *save*. See https://example.org/log.",
        "user": ADA,
        "labels": [{"name": "bug"}],
        "author_association": "FIRST_TIME_CONTRIBUTOR",
        "created_at": "2026-11-20T10:00:00Z",
        "updated_at": "2026-11-20T10:00:00Z",
    } | changed


def comment(number: int = 31, **changed: Any) -> dict[str, Any]:
    return {
        "id": number,
        "html_url": f"https://github.com/acme/tool/issues/1#issuecomment-{number}",
        "issue_url": "https://api.github.com/repos/acme/tool/issues/1",
        "body": "Me too.",
        "user": ADA,
        "author_association": "NONE",
        "created_at": "2026-11-20T11:00:00Z",
        "updated_at": "2026-11-20T11:00:00Z",
    } | changed


def heard(event: str, action: str | None, **said: Any) -> Page:
    document = {"action": action, "repository": REPOSITORY, "sender": ADA} | said
    request = posted(document, X_GitHub_Event=event, X_GitHub_Delivery="guid-1")
    return HUB.read(request, SOURCE, NOW)


def told(event: str, action: str | None, **said: Any) -> PostSubmission:
    page = heard(event, action, **said)
    (submission,) = page.submissions
    assert isinstance(submission, PostSubmission)
    return submission


def done(event: str, action: str | None, **said: Any) -> InteractionSubmission:
    (submission,) = heard(event, action, **said).submissions
    assert isinstance(submission, InteractionSubmission)
    return submission


def test_an_issue_is_a_post_with_a_title() -> None:
    said = told("issues", "opened", issue=issue())
    assert (said.native_id, said.context, said.in_reply_to) == ("55#1", "55#1", None)
    assert (said.operation, said.updated, said.name) == ("create", None, "It breaks")
    assert said.link == ["https://example.org/log"]
    assert said.tag == ["author:first_time_contributor", "bug"]
    assert said.url == "https://github.com/acme/tool/issues/1"
    assert said.attributed_to
    assert (said.attributed_to.id, said.attributed_to.preferred_username) == ("7", "ada")
    assert not said.is_automated
    assert HUB.own_platform == "github.com"


def test_an_edit_states_when_and_a_delete_says_nothing() -> None:
    edited = issue(updated_at="2026-11-20T12:00:00Z")
    said = told("issues", "edited", issue=edited, changes={"body": {"from": "x"}})
    assert (said.operation, said.updated) == ("update", datetime(2026, 11, 20, 12, tzinfo=UTC))
    for action in ("deleted", "transferred"):
        gone = told("issues", action, issue=issue())
        assert (gone.native_id, gone.operation, gone.text) == ("55#1", "delete", "")


def test_a_comment_answers_its_issue() -> None:
    said = told("issue_comment", "created", issue=issue(), comment=comment(user=BOT))
    assert (said.native_id, said.context, said.in_reply_to) == ("issue_comment/31", "55#1", "55#1")
    assert said.is_automated
    assert said.attributed_to
    assert said.attributed_to.type == "Service"
    gone = told("issue_comment", "deleted", issue=issue(), comment=comment())
    assert (gone.native_id, gone.operation) == ("issue_comment/31", "delete")


def test_an_answer_in_a_discussion_answers_its_comment() -> None:
    discussion = issue(4, category={"slug": "q-a", "is_answerable": True}, labels=[])
    asked = told("discussion", "created", discussion=discussion)
    assert (asked.native_id, asked.object_type) == ("55#4", "Question")
    assert asked.tag == ["author:first_time_contributor", "q-a"]
    first = told(
        "discussion_comment", "created", discussion=discussion, comment=comment(1, parent_id=None)
    )
    second = told(
        "discussion_comment", "created", discussion=discussion, comment=comment(2, parent_id=1)
    )
    assert (first.native_id, first.in_reply_to) == ("discussion_comment/1", "55#4")
    assert (second.in_reply_to, second.context) == ("discussion_comment/1", "55#4")


def test_pull_requests_and_what_reviewers_say() -> None:
    pull = issue(5)
    assert told("pull_request", "opened", pull_request=pull).native_id == "55#5"
    review = {"id": 3, "body": "Nice", "user": ADA, "submitted_at": "2026-11-20T12:00:00Z"}
    said = told("pull_request_review", "submitted", pull_request=pull, review=review)
    assert (said.native_id, said.in_reply_to) == ("review/3", "55#5")
    empty = heard(
        "pull_request_review", "submitted", pull_request=pull, review=review | {"body": None}
    )
    assert empty.passed_over == {"empty": 1}
    line = comment(12, in_reply_to_id=11)
    said = told("pull_request_review_comment", "created", pull_request=pull, comment=line)
    assert (said.native_id, said.in_reply_to) == ("review_comment/12", "review_comment/11")
    base = heard("pull_request", "edited", pull_request=pull, changes={"base": {"ref": {}}})
    assert base.passed_over == {"no_post": 1}


def test_a_release_is_an_article_once_it_is_published() -> None:
    release = issue(6, name="2.0", tag_name="v2.0", author=ADA, published_at="2026-11-20T12:00:00Z")
    said = told("release", "published", release=release)
    assert (said.native_id, said.object_type, said.name) == ("release/9006", "Article", "2.0")
    assert heard("release", "created", release=release).passed_over == {"no_post": 1}
    assert heard("release", "edited", release=release | {"draft": True}).passed_over == {"draft": 1}


def test_growth_is_interactions() -> None:
    star = done("star", "created", starred_at="2026-11-20T12:00:00Z")
    assert (star.kind, star.object, star.url) == ("like", None, "https://github.com/acme/tool")
    fork = {"id": 77, "created_at": "2026-11-20T12:00:00Z", "owner": ADA}
    assert done("fork", None, forkee=fork).native_id == "fork/77"
    member = done("member", "added", member=ADA)
    assert (member.kind, member.native_id) == ("join", "delivery/guid-1")
    left = done("organization", "member_removed", membership={"user": ADA})
    assert left.kind == "leave"
    sponsorship = {
        "created_at": "2026-11-20T12:00:00Z",
        "privacy_level": "public",
        "sponsor": ADA,
        "sponsorable": {"html_url": "https://github.com/acme"},
    }
    assert done("sponsorship", "created", sponsorship=sponsorship).kind == "follow"
    hidden = sponsorship | {"privacy_level": "private"}
    assert heard("sponsorship", "created", sponsorship=hidden).passed_over == {"private": 1}


@pytest.mark.parametrize(
    ("event", "action", "reason"),
    [
        ("ping", None, "ping"),
        ("issues", "labeled", "no_post"),
        ("star", "deleted", "withdrawn"),
        ("watch", "started", "star"),
        ("membership", "added", "team"),
        ("push", None, "no_post"),
    ],
)
def test_what_says_nothing_is_passed_over(event: str, action: str, reason: str) -> None:
    page = heard(event, action)
    assert (list(page.submissions), page.passed_over) == ([], {reason: 1})


def test_who_deleted_their_account_is_nobody() -> None:
    assert told("issues", "opened", issue=issue(user=None)).attributed_to is None


@pytest.mark.parametrize("body", [[], {"action": "opened"}, {"action": "opened", "issue": []}])
def test_what_github_does_not_send_is_refused(body: Any) -> None:
    page = HUB.read(posted(body, X_GitHub_Event="issues"), SOURCE, NOW)
    assert not page.submissions
    assert len(page.refused) == 1


# https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
OFFICIAL_KEY = b"It's a Secret to Everybody"
OFFICIAL_BODY = b"Hello, World!"
OFFICIAL = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def verified(body: bytes, keys: list[bytes], **headers: str) -> str | None:
    return HUB.verify(posted(body, **headers), {"signature": keys, "token": []}, NOW)


def test_the_official_signature_is_right() -> None:
    given = {"X_Hub_Signature_256": OFFICIAL, "X_GitHub_Delivery": "guid"}
    assert verified(OFFICIAL_BODY, [b"newer, while it is rotated", OFFICIAL_KEY], **given) == "guid"


@pytest.mark.parametrize(
    ("body", "keys", "headers"),
    [
        (b"Hello, World?", [OFFICIAL_KEY], {"X_Hub_Signature_256": OFFICIAL}),
        (OFFICIAL_BODY, [], {"X_Hub_Signature_256": OFFICIAL}),
        (OFFICIAL_BODY, [OFFICIAL_KEY], {}),
        (OFFICIAL_BODY, [OFFICIAL_KEY], {"X_Hub_Signature": "sha1=" + "0" * 40}),
        (
            OFFICIAL_BODY,
            [OFFICIAL_KEY],
            {"X_Hub_Signature_256": OFFICIAL, "X-Hub-Signature-256": OFFICIAL},
        ),
    ],
)
def test_what_it_did_not_sign_is_refused(
    body: bytes, keys: list[bytes], headers: dict[str, str]
) -> None:
    with pytest.raises(UnsignedError):
        verified(body, keys, **headers)


class Hub:
    """REST and GraphQL of a GitHub with one repository."""

    def __init__(self) -> None:
        self.issues: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []
        self.discussions: list[dict[str, Any]] = []
        self.has_discussions = True
        self.answering = Answering(self._answer)

    def _answer(self, asked: Asked) -> Any:
        path = asked.url.removeprefix("https://api.github.com")
        match path:
            case "/repos/acme/tool":
                return {"id": 55, "has_issues": True, "has_discussions": self.has_discussions}
            case "/repos/acme/tool/issues":
                return self._listed(self.issues, asked)
            case "/repos/acme/tool/issues/comments":
                return self._listed(self.comments, asked)
            case "/repos/acme/tool/pulls/comments":
                return self._listed([], asked)
            case "/graphql":
                return self._discussed(asked)
        raise AssertionError(path)

    def _listed(self, items: list[dict[str, Any]], asked: Asked) -> Answer:
        is_desc = asked.query["direction"] == "desc"
        since = asked.query.get("since", "")
        found = sorted(
            (item for item in items if item["updated_at"] >= since),
            key=lambda item: str(item["updated_at"]),
            reverse=is_desc,
        )
        size, page = int(asked.query["per_page"]), int(asked.query["page"])
        shown = found[size * (page - 1) : size * page]
        etag = f'W/"{hash((since, json.dumps(shown)))}"'
        if asked.headers.get("If-None-Match") == etag:
            return Answer(b"", 304)
        return Answer(shown, headers={"etag": etag})

    def _discussed(self, asked: Asked) -> Any:
        given = json.loads(asked.body)["variables"]
        start = int(given["after"] or 0)
        nodes = sorted(self.discussions, key=lambda node: str(node["updatedAt"]), reverse=True)
        end = start + given["first"]
        page = {"hasNextPage": end < len(nodes), "endCursor": str(end)}
        listed = {"pageInfo": page, "nodes": nodes[start:end]}
        return {"data": {"repository": {"discussions": listed}}}

    async def round(self, cursor: Any, since: Any = "pull") -> tuple[list[str], Any]:
        """What one round of asking tells, as `operation native-id`, and its cursor."""
        told: list[str] = []
        more = True
        web = self.answering.web(token="secret-token")
        while more:
            if since == "pull":
                page = await HUB.fetch(web, cursor, NOW)
            else:
                page = await HUB.backfill(web, cursor, since)
            assert not page.refused
            posts = [said for said in page.submissions if isinstance(said, PostSubmission)]
            told += [f"{said.operation} {said.native_id}" for said in posts]
            cursor, more = json.loads(json.dumps(page.cursor)), page.more
        return told, cursor


def node(number: int, updated: str, **changed: Any) -> dict[str, Any]:
    author = {"__typename": "User", "login": "ada", "databaseId": 7, "avatarUrl": "https://x/7"}
    said = {
        "body": "How?",
        "createdAt": "2026-11-20T10:00:00Z",
        "lastEditedAt": None,
        "author": author,
    }
    reply = {**said, "databaseId": 2, "url": "https://github.com/r"}
    first = {**said, "databaseId": 1, "replies": {"nodes": [reply]}}
    return {
        **said,
        "number": number,
        "title": "How do I?",
        "updatedAt": updated,
        "authorAssociation": "MEMBER",
        "category": {"slug": "q-a", "isAnswerable": True},
        "labels": {"nodes": [{"name": "docs"}]},
        "comments": {"nodes": [first]},
    } | changed


async def test_asking_tells_what_is_new_and_what_changed() -> None:
    hub = Hub()
    hub.issues = [issue(1, updated_at="2026-11-20T11:00:00Z"), issue(2)]
    hub.comments = [comment(31)]
    hub.discussions = [node(3, "2026-11-20T10:00:00Z")]
    told, cursor = await hub.round({})
    assert told == [
        "create 55#2",
        "create 55#1",
        "create issue_comment/31",
        "create 55#3",
        "create discussion_comment/1",
        "create discussion_comment/2",
    ]
    hub.issues[1] = issue(2, body="Now!", updated_at="2026-11-21T10:00:00Z")
    hub.comments += [comment(32, updated_at="2026-11-21T10:00:00Z")]
    later = "2026-11-21T10:00:00Z"
    hub.issues.append(issue(4, created_at=later, updated_at=later))
    told, cursor = await hub.round(cursor)
    assert "update 55#2" in told
    assert "create 55#4" in told
    assert "update issue_comment/32" in told
    hub.answering.asked.clear()
    _, cursor = await hub.round(cursor)
    hub.answering.asked.clear()
    told, _ = await hub.round(cursor)
    # a quiet place: nothing but what GitHub answers with 304, and the newest discussion
    assert told == ["create 55#3", "create discussion_comment/1", "create discussion_comment/2"]
    assert len(hub.answering.asked) == 4
    assert hub.answering.asked[0].headers["Authorization"] == "Bearer secret-token"


async def test_asking_and_telling_say_the_same() -> None:
    hub = Hub()
    hub.comments = [comment(31, updated_at="2026-11-20T12:00:00Z")]
    web = hub.answering.web(token="secret-token")
    page = await HUB.fetch(web, {"at": 1, "known": {}}, NOW)
    (asked,) = page.submissions
    (said,) = heard(
        "issue_comment", "edited", issue=issue(), comment=hub.comments[0], changes={"body": {}}
    ).submissions
    assert asked == said


async def test_an_issue_that_is_told_in_two_ways_is_one_through_its_whole_life() -> None:
    kept, hub = Kept(), Hub()

    async def asked() -> int:
        cursor: Any = {"known": {"acme/tool": {"issues": {"since": "2026-11-20T10:30:00Z"}}}}
        page = await HUB.fetch(hub.answering.web(), cursor, NOW)
        return kept.hear(page.submissions, NOW)

    first = issue(1, updated_at="2026-11-20T11:00:00Z")
    assert kept.hear(heard("issues", "opened", issue=issue(1)).submissions, NOW) == 1
    hub.issues = [first]  # a comment moved its `updated_at`
    assert await asked() == 0
    edited = issue(1, body="Now!", updated_at="2026-11-20T12:00:00Z")
    said = heard("issues", "edited", issue=edited, changes={"body": {}})
    assert kept.hear(said.submissions, NOW) == 1
    hub.issues = [edited | {"updated_at": "2026-11-20T13:00:00Z"}]
    assert await asked() == 0
    hub.issues = [issue(1, updated_at="2026-11-20T14:00:00Z")]  # back to what it was; not told
    assert await asked() == 1
    assert kept.standing == {"55#1": issue(1)["body"]}
    assert kept.hear(said.submissions, NOW) == 0  # sent again, late
    gone = heard("issues", "deleted", issue=edited)
    assert kept.hear(gone.submissions, NOW) == 1
    assert kept.hear(gone.submissions, NOW) == 0
    assert await asked() == 0  # a page that was read before it was deleted
    assert kept.standing == {}


async def test_a_discussion_that_is_told_in_two_ways_is_one() -> None:
    kept = Kept()
    discussion = issue(3, title="How do I?", body="How?", labels=[])
    reply = comment(1, body="How?", parent_id=None)
    told = heard("discussion", "created", discussion=discussion).submissions
    assert kept.hear(told, NOW) == 1
    told = heard("discussion_comment", "created", discussion=discussion, comment=reply).submissions
    assert kept.hear(told, NOW) == 1
    hub = Hub()
    hub.discussions = [node(3, "2026-11-20T10:00:00Z")]
    page = await HUB.fetch(hub.answering.web(token="secret-token"), {"at": 3, "known": {}}, NOW)
    assert kept.hear(page.submissions, NOW) == 1  # the answer, which nobody told
    assert set(kept.standing) == {"55#3", "discussion_comment/1", "discussion_comment/2"}
    author = page.submissions[0].attributed_to
    assert author
    assert author.id == "7"


async def test_a_long_silence_is_made_up_for_page_by_page() -> None:
    hub = Hub()
    hub.issues = [issue(1)]
    _, cursor = await hub.round({})
    hub.issues += [
        issue(n, created_at=at, updated_at=at)
        for n in range(2, 300)
        # many within one second, as when a machine files them
        for at in [f"2026-11-21T10:{n // 150:02}:00Z"]
    ]
    told, _ = await hub.round(cursor)
    assert {f"create 55#{n}" for n in range(2, 300)} <= set(told)


async def test_history_is_told_from_the_beginning() -> None:
    hub = Hub()
    hub.issues = [
        issue(n, updated_at=f"2026-11-20T10:{n % 60:02}:{n // 60:02}Z") for n in range(1, 200)
    ]
    hub.discussions = [node(n, f"2026-11-{n:02}T10:00:00Z") for n in range(1, 20)]
    told, _ = await hub.round({}, None)
    assert {f"create 55#{n}" for n in range(1, 200)} <= set(told)
    told, _ = await hub.round({}, datetime(2026, 11, 21, tzinfo=UTC))
    assert told == []


async def test_a_bad_item_in_a_good_page_is_refused_alone() -> None:
    hub = Hub()
    hub.comments = [comment(31), comment(32, issue_url=None), comment(33)]
    page = await HUB.fetch(hub.answering.web(), {"at": 1, "known": {}}, NOW)
    assert len(page.submissions) == 2
    assert len(page.refused) == 1


async def test_where_a_page_is_too_large_fewer_are_asked_for() -> None:
    hub = Hub()
    hub.comments = [comment(n) for n in range(1, 30)]
    honest = hub.answering._answer

    def large(asked: Asked) -> Any:
        answer = honest(asked)
        if int(asked.query.get("per_page", 0)) > 5:
            raise FetchError("too_large", "is larger than is read")
        return answer

    web = Answering(large).web()
    told: set[str] = set()
    cursor: Any = {"at": 1, "known": {"acme/tool": {"comments": {"since": "2026-01-01T00:00:00Z"}}}}
    while cursor["at"] == 1:
        page = await HUB.fetch(web, cursor, NOW)
        told |= {said.native_id for said in page.submissions if isinstance(said, PostSubmission)}
        cursor = json.loads(json.dumps(page.cursor))
    # all in one second, so that it goes from page to page of the smaller size
    assert told == {f"issue_comment/{n}" for n in range(1, 30)}


async def test_without_a_token_no_discussion_is_asked_for() -> None:
    hub = Hub()
    web = hub.answering.web()
    page = await HUB.fetch(web, {"at": 3, "known": {}}, NOW)
    assert [asked.url for asked in hub.answering.asked] == [
        "https://api.github.com/repos/acme/tool"
    ]
    assert not page.more


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"errors": [{"type": "RATE_LIMITED", "message": "slow down"}]}, LaterError),
        ({"errors": [{"type": "FORBIDDEN", "message": "no"}]}, FetchError),
        ({"data": {"repository": None}}, FetchError),
    ],
)
async def test_what_graphql_refuses_is_said(answer: Any, kind: type[Exception]) -> None:
    about = {"id": 55, "has_issues": True, "has_discussions": True}
    web = Answering(lambda asked: about if asked.method == "GET" else answer).web(
        token="secret-token"
    )
    with pytest.raises(kind):
        await HUB.fetch(web, {"at": 3, "known": {}}, NOW)


def test_an_enterprise_server_has_addresses_of_its_own() -> None:
    own = HUB.model_validate(
        {"kind": "github", "name": "hub", "community": "demo", "url": "https://git.example.org"}
    )
    assert own.own_platform == "git.example.org"
    assert own.api == "https://git.example.org/api/v3"
    assert own.graphql == "https://git.example.org/api/graphql"


@pytest.mark.skipif(not REAL.exists(), reason="has no real payloads here")
def test_every_real_payload_is_read_as_a_reader_would() -> None:
    counted: Counter[str] = Counter()
    for file in sorted(REAL.rglob("*.json")):
        event = file.parent.name
        page = HUB.read(posted(file.read_bytes(), X_GitHub_Event=event), SOURCE, NOW)
        assert not page.refused, (file, page.refused)
        for said in page.submissions:
            kind = said.operation if isinstance(said, PostSubmission) else type(said).__name__
            counted[f"{event} {kind}"] += 1
        counted.update(f"{event} passed over: {reason}" for reason in page.passed_over)
    assert counted["issues create"] >= 1
    assert counted["star InteractionSubmission"] >= 1
    assert counted["issue_comment delete"] >= 1


def test_a_secret_is_needed_only_for_webhooks() -> None:
    given = {"kind": "github", "name": "hub", "community": "demo"}
    both = GitHub.model_validate(given)
    assert both.needs(both.secrets["signature"])
    assert not both.needs(both.secrets["token"])
    asked = GitHub.model_validate({**given, "webhook": False, "repositories": ["acme/tool"]})
    assert asked.uses("pull")
    assert not asked.uses("push")
    assert not asked.needs(asked.secrets["signature"])
    with pytest.raises(ValidationError, match="never heard"):
        GitHub.model_validate({**given, "webhook": False})
