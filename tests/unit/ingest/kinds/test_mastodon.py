"""Mastodon's payloads become posts and interactions, and nobody else speaks for an instance."""

import asyncio
import hmac
import json
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from klankbord_ingest.kind import (
    InteractionSubmission,
    Page,
    PostSubmission,
    Request,
    Source,
    UnsignedError,
    Web,
)
from klankbord_ingest.kinds.mastodon import Mastodon, earlier, links_in
from klankbord_ingest.server_sent import ServerSent
from klankbord_ingest.sources import source_of
from klankbord_ingest.web import NotFoundError
from klankbord_schemas.community import Community

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BASE = "https://social.example"
KEY = b"a-secret-of-an-instance"
COMMUNITY = Community(slug="acme", name="Acme", time_zone="UTC", languages=("en",))
REAL = Path(__file__).parents[5] / "shared" / "real" / "payloads"


def entry(**given: Any) -> Mastodon:
    fields = {"kind": "mastodon", "name": "fedi", "community": "acme", "url": BASE}
    return Mastodon.model_validate(fields | given)


def source(kind: Mastodon) -> Source:
    return source_of(kind, COMMUNITY)


def account(acct: str = "ada", **given: Any) -> dict[str, Any]:
    host = BASE if "@" not in acct else f"https://{acct.partition('@')[2]}"
    user = acct.partition("@")[0]
    return {
        "id": f"1{len(acct)}{user}",
        "acct": acct,
        "username": user,
        "display_name": user.title(),
        "bot": False,
        "group": False,
        "url": f"{host}/@{user}",
        "uri": f"{host}/users/{user}",
        "avatar": f"{host}/{user}.png",
    } | given


def status(number: int = 1, **given: Any) -> dict[str, Any]:
    """A status as `/api/v1/timelines` shows it, with the fields that Mastodon 4.5 has."""
    by = given.get("account") or account()
    return {
        "id": str(117_000_000_000_000_000 + number),
        "uri": f"{by['uri']}/statuses/{117_000_000_000_000_000 + number}",
        "url": f"{by['url']}/{number}",
        "created_at": f"2026-11-22T10:{number % 60:02}:00.000Z",
        "edited_at": None,
        "visibility": "public",
        "sensitive": False,
        "spoiler_text": "",
        "language": "nl",
        "in_reply_to_id": None,
        "in_reply_to_account_id": None,
        "content": "<p>De export is <b>stuk</b></p>",
        "account": by,
        "mentions": [],
        "tags": [],
        "reblog": None,
        "card": None,
        "poll": None,
    } | given


class Instance:
    """An instance that answers from memory, in place of the web."""

    token = "a-token"

    def __init__(self, answers: Mapping[str, Any] | None = None, events: Any = ()) -> None:
        self.answers = {"/api/v2/instance": {}, **(answers or {})}
        self.sent = events
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def get_json(self, url: str, params: Any = None, headers: Any = None) -> Any:
        assert headers == {"Authorization": "Bearer a-token"}
        path = url.removeprefix(BASE).removeprefix("http://localhost:3000")
        self.asked.append((path, dict(params or {})))
        if path not in self.answers:
            raise NotFoundError("not_found", f"{url} answered 404")
        answer = self.answers[path]
        return answer(params or {}) if callable(answer) else answer

    async def events(
        self, url: str, params: Any = None, headers: Any = None
    ) -> AsyncGenerator[ServerSent | None, None]:
        self.asked.append((url, dict(params or {})))
        for event in self.sent:
            yield event


def web(instance: Instance) -> Web:
    return cast("Web", instance)


def one_post(page: Page) -> PostSubmission:
    (post,) = page.submissions
    assert isinstance(post, PostSubmission), post
    assert not page.refused
    return post


def one_interaction(page: Page) -> InteractionSubmission:
    (interaction,) = page.submissions
    assert isinstance(interaction, InteractionSubmission), interaction
    assert not page.refused
    return interaction


def native_ids(page: Page) -> list[str]:
    return [one.native_id for one in page.submissions if isinstance(one, PostSubmission)]


def fetched(instance: Instance, cursor: Any = None, **given: Any) -> Page:
    return asyncio.run(entry(**given).fetch(web(instance), cursor or {}, NOW))


def read(given: Mapping[str, Any], kind: Mastodon | None = None) -> Page:
    kind = kind or entry()
    body = json.dumps(given).encode()
    return kind.read(Request("POST", "", {}, (), body), source(kind), NOW)


def heard(*events: ServerSent | None, **answers: Any) -> list[Page]:
    async def listen() -> list[Page]:
        return [page async for page in entry().stream(web(instance), {})]

    timeline = {"/api/v1/timelines/public?local=true": answers.pop("timeline", [])}
    instance = Instance({**timeline, **answers}, events)
    return asyncio.run(listen())


def update(given: Mapping[str, Any], name: str = "update") -> ServerSent:
    return ServerSent(name, json.dumps(given), "")


LOCAL = "/api/v1/timelines/public?local=true"


def test_a_status_is_a_post_under_its_global_id() -> None:
    given = status(
        7,
        spoiler_text="Over de export",
        content='<p>De export is stuk <a href="https://acme.example/x">x</a> '
        '<a href="https://social.example/tags/acme" class="mention hashtag">#acme</a></p>',
        tags=[{"name": "acme", "url": f"{BASE}/tags/acme"}],
        mentions=[{"id": "9", "acct": "Grace@other.example", "username": "Grace", "url": "…"}],
        account=account("bob@Other.example", bot=True),
    )
    post = one_post(fetched(Instance({LOCAL: [given]})))

    assert post.native_id == "https://Other.example/users/bob/statuses/117000000000000007"
    assert (post.operation, post.updated, post.sequence) == ("create", None, None)
    assert post.attributed_to is not None
    assert post.attributed_to.id == "bob@other.example"
    assert post.attributed_to.is_automated
    assert post.mention == ["grace@other.example"]
    assert (post.name, post.tag, post.language) == ("Over de export", ["acme"], "nl")
    assert post.link == ["https://acme.example/x"]
    assert "De export is stuk" in post.text
    assert entry().own_platform == "fediverse"


def test_a_hundred_tags_are_kept_and_an_endless_link_is_left_out() -> None:
    tags = [{"name": f"tag{number}"} for number in range(150)]
    endless = f'<p><a href="https://a.example/{"x" * 3000}">x</a></p>'
    post = one_post(fetched(Instance({LOCAL: [status(tags=tags, content=endless)]})))
    assert (len(post.tag), post.link) == (100, [])


def test_an_edit_states_when_it_was_made() -> None:
    edited = status(1, edited_at="2026-11-22T11:00:00.000Z")
    post = one_post(fetched(Instance({LOCAL: [edited]})))
    assert post.operation == "update"
    assert post.updated == datetime(2026, 11, 22, 11, tzinfo=UTC)


@pytest.mark.parametrize("visibility", ["private", "direct", "limited"])
def test_what_is_not_for_everyone_is_passed_over(visibility: str) -> None:
    page = fetched(Instance({LOCAL: [status(visibility=visibility)]}))
    assert (page.submissions, page.passed_over) == ([], {"private": 1})


def test_a_boost_is_a_share_of_what_was_boosted() -> None:
    original = status(3, account=account("grace@other.example"))
    share = one_interaction(fetched(Instance({LOCAL: [status(4, reblog=original)]})))
    assert (share.kind, share.object) == ("share", original["uri"])
    assert share.native_id == f"share:ada@social.example:{original['uri']}"


def test_an_answer_stands_in_its_thread() -> None:
    root, parent = status(1), status(2)
    answer = status(3, in_reply_to_id=parent["id"], in_reply_to_account_id="1")
    context = {f"/api/v1/statuses/{answer['id']}/context": {"ancestors": [root, parent]}}
    post = one_post(fetched(Instance({LOCAL: [answer], **context})))
    assert (post.in_reply_to, post.context) == (parent["uri"], root["uri"])


def test_an_answer_that_is_gone_by_then_is_placed_as_far_as_it_tells() -> None:
    answer = status(3, in_reply_to_id="42", in_reply_to_account_id=account()["id"])
    post = one_post(fetched(Instance({LOCAL: [answer]})))
    assert post.in_reply_to == f"{BASE}/users/ada/statuses/42"


def test_asking_goes_on_after_the_newest_with_an_overlap_and_the_oldest_first() -> None:
    pages = {None: [status(41), status(40)]}
    instance = Instance({LOCAL: lambda params: pages.get(params.get("min_id"), [])})
    page = fetched(instance)
    newest = status(41)["id"]
    assert page.cursor == {"newest": earlier(newest), "told": None}
    assert [given[-2:] for given in native_ids(page)] == ["40", "41"]
    assert not page.more

    again = fetched(instance, page.cursor)
    assert instance.asked[-1][1]["min_id"] == earlier(newest)
    assert (again.cursor, again.more) == (page.cursor, False)


def test_a_full_page_is_followed_by_the_next_one_without_overlap() -> None:
    full = [status(number) for number in range(40, 0, -1)]
    page = fetched(Instance({LOCAL: full}), {"newest": "5"})
    assert page.more
    assert page.cursor == {"newest": status(40)["id"], "told": None}


def test_an_empty_place_keeps_a_cursor_that_hears_the_first_status() -> None:
    assert fetched(Instance({LOCAL: []})).cursor == {"newest": "0", "told": None}


def test_ids_of_other_software_have_no_time_in_them() -> None:
    assert earlier("01HZX3W4JQ2S6QG4N7A0K5RC8T") == "01HZX3W4JQ2S6QG4N7A0K5RC8T"
    assert earlier("512") == "512"
    assert int(earlier("117020586180926938")) == 117020586180926938 - (600_000 << 16)


def test_a_bad_status_hinders_no_other() -> None:
    page = fetched(Instance({LOCAL: [{}, status(2), {"id": "x", "visibility": "public"}, 5]}))
    assert len(page.submissions) == 1
    assert len(page.refused) == 3
    assert page.cursor == {"newest": earlier(status(2)["id"]), "told": None}


def test_the_home_timeline_tells_of_favourites_boosts_followers_and_mentions() -> None:
    own = status(1)
    told = [
        {"id": str(number), "type": kind, "created_at": "2026-11-22T10:00:00Z"}
        | {"account": account("bob@other.example"), "status": about}
        for number, kind, about in (
            (5, "poll", own),
            (4, "follow", None),
            (3, "mention", status(9, account=account("bob@other.example"))),
            (2, "reblog", own),
            (1, "favourite", own),
        )
    ]
    answers = {"/api/v1/timelines/home": [], "/api/v1/notifications": told}
    page = fetched(Instance(answers), timeline="home")
    kinds = [
        one.kind if isinstance(one, InteractionSubmission) else "post" for one in page.submissions
    ]
    assert kinds == ["like", "share", "post", "follow"]
    assert page.passed_over == {"other": 1}
    like = page.submissions[0]
    assert isinstance(like, InteractionSubmission)
    assert like.native_id == f"like:bob@other.example:{own['uri']}"
    assert page.cursor == {"newest": "0", "told": "5"}


def test_history_is_read_back_to_the_moment_that_is_wanted() -> None:
    pages = {None: [status(9), status(8)], status(8)["id"]: [status(5), status(4)]}
    instance = Instance({LOCAL: lambda params: pages[params.get("max_id")]})
    since = datetime(2026, 11, 22, 10, 5, tzinfo=UTC)
    first = asyncio.run(entry().backfill(web(instance), {}, since))
    assert first.more
    assert first.cursor is not None
    second = asyncio.run(entry().backfill(web(instance), first.cursor, since))
    assert not second.more
    heard_ids = [given[-1] for page in (first, second) for given in native_ids(page)]
    assert heard_ids == ["9", "8", "5"]


def test_a_stream_says_posts_edits_and_deletes_by_the_same_id() -> None:
    given = status(1)
    edited = given | {"edited_at": "2026-11-22T11:00:00Z", "content": "<p>beter</p>"}
    alive, first, second, third = heard(
        None,
        update(given),
        None,
        update(edited, "status.update"),
        ServerSent("delete", given["id"], ""),
    )
    assert alive == Page()
    posts = [one_post(page) for page in (first, second, third)]
    assert [post.operation for post in posts] == ["create", "update", "delete"]
    assert {post.native_id for post in posts} == {given["uri"]}
    assert third.cursor == {"known": [[given["id"], given["uri"]]]}


def test_a_delete_of_what_was_said_before_the_stream_began_finds_it() -> None:
    given = status(5)
    _, page = heard(None, ServerSent("delete", given["id"], ""), timeline=[given])
    assert one_post(page).native_id == given["uri"]


def test_a_delete_of_what_nobody_heard_is_passed_over() -> None:
    _, page = heard(None, ServerSent("delete", "42", ""))
    assert page.passed_over == {"unknown": 1}


def test_a_stream_refuses_what_is_no_status_and_goes_on() -> None:
    pages = heard(
        None,
        ServerSent("update", "{half", ""),
        ServerSent("filters_changed", "undefined", ""),
        update(status(1)),
    )
    assert [len(page.refused) for page in pages] == [0, 1, 0, 0]
    assert pages[2].passed_over == {"other": 1}
    assert one_post(pages[3])


def test_a_stream_goes_to_the_host_that_the_instance_names() -> None:
    instance = Instance(
        {
            "/api/v2/instance": {
                "configuration": {"urls": {"streaming": "wss://streaming.social.example"}}
            },
            "/api/v1/timelines/tag/klank%20bord": [],
        },
        [None],
    )

    async def listen() -> list[Page]:
        kind = entry(timeline="hashtag", hashtag="klank bord")
        return [page async for page in kind.stream(web(instance), {})]

    asyncio.run(listen())
    assert instance.asked[1] == (
        "https://streaming.social.example/api/v1/streaming/hashtag",
        {"tag": "klank bord"},
    )


def signed(body: bytes, key: bytes = KEY) -> Request:
    signature = f"sha256={hmac.new(key, body, sha256).hexdigest()}"
    return Request("POST", "", {}, [(b"x-hub-signature", signature.encode())], body)


def test_a_webhook_is_heard_with_either_key() -> None:
    kind = entry()
    for key in (KEY, b"the-key-before-that"):
        kind.verify(signed(b"{}", key), {"signature": [KEY, b"the-key-before-that"]}, NOW)


@pytest.mark.parametrize(
    "request_",
    [
        Request("POST", "", {}, (), b"{}"),
        Request("POST", "", {}, [(b"x-hub-signature", b"sha1=00")], b"{}"),
        Request("POST", "", {}, [(b"x-hub-signature", "sha256=é".encode())], b"{}"),
        Request("POST", "", {}, signed(b"{}").headers, b"{ }"),
        Request("POST", "", {}, [*signed(b"{}").headers, *signed(b"{}").headers], b"{}"),
        signed(b"{}", b""),
    ],
    ids=["unsigned", "sha1", "not-ascii", "tampered", "twice", "empty-key"],
)
def test_nobody_else_speaks_for_an_instance(request_: Request) -> None:
    with pytest.raises(UnsignedError):
        entry().verify(request_, {"signature": [KEY]}, NOW)
    with pytest.raises(UnsignedError):
        entry().verify(request_, {"signature": []}, NOW)


def test_webhooks_tell_of_statuses_and_new_members() -> None:
    answer = status(
        3,
        in_reply_to_id="42",
        in_reply_to_account_id="77",
        mentions=[{"id": "77", "acct": "grace", "username": "grace", "url": f"{BASE}/@grace"}],
    )
    post = one_post(read({"event": "status.created", "created_at": "…", "object": answer}))
    assert post.in_reply_to == f"{BASE}/users/grace/statuses/42"

    admin_account = {"id": "7", "created_at": "2026-11-22T09:00:00Z", "email": "ada@mail.example"}
    join = one_interaction(
        read({"event": "account.created", "object": admin_account | {"account": account()}})
    )
    assert (join.kind, join.native_id) == ("join", "join:ada@social.example")
    assert "mail.example" not in join.model_dump_json()


@pytest.mark.parametrize(
    ("event", "reason"), [("report.created", "report"), ("account.approved", "other")]
)
def test_other_webhooks_are_passed_over(event: str, reason: str) -> None:
    assert read({"event": event, "object": {}}).passed_over == {reason: 1}


def test_an_instance_may_live_on_another_host_than_its_names() -> None:
    page = read({"event": "status.created", "object": status()}, entry(domain="Acme.example"))
    author = one_post(page).attributed_to
    assert author is not None
    assert author.id == "ada@acme.example"


def test_only_an_own_instance_sends_and_needs_a_secret_for_it() -> None:
    for kind in (entry(), entry(webhook=True)):
        assert kind.uses("pull")
        assert kind.uses("stream")
        assert kind.needs(kind.secrets["token"])
        assert not entry(streaming=False).uses("stream")
        assert kind.uses("push") is kind.needs(kind.secrets["signature"]) is kind.webhook


def test_only_the_local_timeline_is_dated_by_the_instance() -> None:
    assert entry().published_trust == "attested"
    assert entry(timeline="public").published_trust == "claimed"
    assert entry(timeline="public", published_trust="attested").published_trust == "attested"


@pytest.mark.parametrize("given", [{"timeline": "hashtag"}, {"hashtag": "x"}, {"list": "5"}])
def test_a_timeline_says_which(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"hashtag|list"):
        entry(**given)


def test_links_of_broken_markup_are_found_without_an_error() -> None:
    assert links_in("<a href='https://a.example'><a href=javascript:x><p <a", None) == [
        "https://a.example"
    ]


def statuses_in(document: Any) -> list[dict[str, Any]]:
    """Every status in an answer of the interface, wherever it stands."""
    found: list[dict[str, Any]] = []
    if isinstance(document, dict):
        if "uri" in document and "visibility" in document and "account" in document:
            found.append(document)
        parts = list(document.values())
    else:
        parts = document if isinstance(document, list) else []
    for part in parts:
        found += statuses_in(part)
    return found


@pytest.mark.skipif(not REAL.exists(), reason="../shared/real is not here")
def test_statuses_of_a_real_mastodon_are_all_read() -> None:
    yaml = pytest.importorskip("yaml")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    names = ["test_status_edit", "test_hashtag_tl", "test_status_reblog_unreblog"]
    folder = REAL / "mastodon" / "mastodonpy-cassettes" / "cassettes"
    total = 0
    for name in names:
        recorded = yaml.load((folder / f"{name}.yaml").read_bytes(), loader)
        for told in recorded["interactions"]:
            body = told["response"]["body"]["string"]
            statuses = statuses_in(json.loads(body))
            page = fetched(Instance({LOCAL: statuses}), url="http://localhost:3000")
            assert not page.refused, (name, page.refused)
            assert all(one.published < NOW + timedelta(days=1) for one in page.submissions)  # type: ignore[operator]
            total += len(page.submissions)
    assert total > 10
