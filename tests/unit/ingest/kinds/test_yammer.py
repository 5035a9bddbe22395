"""Viva Engage: what messages say, and how what is new is asked for."""

from datetime import UTC, datetime
from typing import Any

import pytest

from klankbord_ingest.kind import FetchError, Page, PostSubmission, Web
from klankbord_ingest.kinds.yammer import Yammer

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
ANN = {"type": "user", "id": 501, "name": "ann", "full_name": "Ann A", "mugshot_url": "https://y/a"}


class Network(Web):
    """A network with these messages, of which it tells so many at once, the newest first."""

    def __init__(self, *messages: Any, limit: int = 20) -> None:
        self.messages = list(messages)
        self.limit = limit
        self.asked: list[tuple[str, dict[str, int]]] = []

    @property
    def token(self) -> str:
        return "entra-token"

    async def get_json(
        self, url: str, params: Any = None, headers: Any = None, **_more: Any
    ) -> Any:
        assert headers == {"Authorization": "Bearer entra-token"}
        self.asked.append((url, dict(params)))
        after, before = params.get("newer_than", 0), params.get("older_than", 10**18)
        found = [one for one in self.messages if after < one["id"] < before]
        found.sort(key=lambda one: -one["id"])
        meta = {"older_available": len(found) > self.limit}
        return {"messages": found[: self.limit], "references": [ANN, None], "meta": meta}


def kind(**fields: Any) -> Yammer:
    given = {"name": "engage", "community": "demo", "kind": "yammer", **fields}
    return Yammer.model_validate(given)


def message(number: int = 7, **fields: Any) -> dict[str, Any]:
    words = {"plain": f"words {number}", "rich": f"<b>words</b> {number}"}
    common = {"id": number, "sender_id": 501, "sender_type": "user", "body": words}
    more = {"created_at": "2026/11/22 09:30:00 +0000", "thread_id": 7, "replied_to_id": None}
    last = {"privacy": "public", "direct_message": False, "web_url": f"https://y/{number}"}
    return {**common, **more, **last, **fields}


async def read(*messages: Any) -> Page:
    return await kind().fetch(Network(*messages), {}, AT)


def ids(page: Page) -> list[str]:
    return [said.native_id for said in page.submissions if isinstance(said, PostSubmission)]


def post(page: Page) -> PostSubmission:
    assert not page.refused
    [said] = page.submissions
    assert isinstance(said, PostSubmission)
    return said


async def test_a_message_is_a_post() -> None:
    said = post(await read(message(8, replied_to_id=7, notified_user_ids=[502], language="en")))
    assert (said.native_id, said.content, said.published) == ("8", "words 8", AT)
    assert said.content_html == "<b>words</b> 8"
    assert (said.context, said.in_reply_to, said.url) == ("7", "7", "https://y/8")
    assert (said.mention, said.language) == (["502"], "en")
    assert said.attributed_to is not None
    assert said.attributed_to.id == "501"
    assert (said.attributed_to.preferred_username, said.attributed_to.name) == ("ann", "Ann A")


async def test_who_is_no_user_is_marked_as_a_bot() -> None:
    actor = post(await read(message(sender_type="guide", sender_id=1))).attributed_to
    assert actor is not None
    assert actor.is_automated


async def test_private_and_system_messages_are_passed_over() -> None:
    page = await read(
        message(1, direct_message=True),
        message(2, privacy="private"),
        message(3, system_message=True),
    )
    assert (page.passed_over, page.submissions) == ({"private": 2, "system": 1}, [])


@pytest.mark.parametrize(
    "bad",
    [
        message(1, created_at="yesterday"),
        message(1, body=None),
        message(1, sender_id=None),
        message(1, sender_id=[1]),
        message(1, body={"plain": "nul \x00"}),
        {"id": 1},
    ],
)
async def test_a_malformed_message_is_refused_alone(bad: Any) -> None:
    page = await read(bad, message(9))
    assert (ids(page), len(page.refused)) == (["9"], 1)
    assert page.cursor == {"newest": 9}


async def test_a_message_without_a_number_is_refused_and_not_in_the_way() -> None:
    class Odd(Network):
        async def get_json(self, *args: Any, **kwargs: Any) -> Any:
            return {"messages": [None, {"body": {}}, message(9)], "references": None, "meta": None}

    page = await kind().fetch(Odd(), {"newest": 8}, AT)
    assert (ids(page), len(page.refused), page.cursor) == (["9"], 2, {"newest": 9})


async def test_a_source_just_added_begins_with_the_newest() -> None:
    network = Network(*map(message, range(1, 31)))
    page = await kind().fetch(network, {}, AT)
    assert ids(page) == [str(number) for number in range(11, 31)]
    assert (page.cursor, page.more) == ({"newest": 30}, False)


async def test_what_one_answer_does_not_hold_is_asked_for_before_it_moves_on() -> None:
    network = Network(*map(message, range(1, 51)))
    cursor: Any = {"newest": 3}
    heard: list[str] = []
    pages = 0
    while True:
        page = await kind().fetch(network, cursor, AT)
        heard += ids(page)
        cursor, pages = page.cursor, pages + 1
        if not page.more:
            break
        assert page.wish is not None
        network.messages.append(message(50 + pages))  # while it pages back, others write
    assert sorted(map(int, heard)) == list(range(4, 51))
    assert (cursor, pages) == ({"newest": 50}, 3)
    later = await kind().fetch(network, cursor, AT)
    assert (ids(later), later.cursor) == (["51", "52"], {"newest": 52})


async def test_a_quiet_network_costs_one_request() -> None:
    network = Network(message(7))
    page = await kind().fetch(network, {"newest": 7}, AT)
    assert (page.submissions, page.cursor, page.more) == ([], {"newest": 7}, False)
    assert network.asked == [("https://www.yammer.com/api/v1/messages.json", {"newer_than": 7})]


async def test_one_community_of_the_network() -> None:
    network = Network()
    await kind(group=42).fetch(network, {"newest": 7}, AT)
    assert network.asked[0][0] == "https://www.yammer.com/api/v1/messages/in_group/42.json"
    assert kind(group=42).place != kind().place


async def test_history_ends_at_the_moment_asked_for() -> None:
    old = [message(number, created_at="2026/11/20 09:30:00 +0000") for number in range(1, 31)]
    network = Network(*old, *map(message, range(31, 61)))
    first = await kind().backfill(network, {}, AT)
    assert (len(ids(first)), first.cursor, first.more) == (20, {"oldest": 41}, True)
    assert first.cursor is not None
    second = await kind().backfill(network, first.cursor, AT)
    assert (len(ids(second)), second.cursor, second.more) == (10, {"oldest": 21}, True)
    assert second.cursor is not None
    third = await kind().backfill(network, second.cursor, AT)
    assert (ids(third), third.more) == ([], False)


async def test_an_answer_that_is_none_is_said_so() -> None:
    class Broken(Network):
        async def get_json(self, *args: Any, **kwargs: Any) -> Any:
            return {"response": {"stat": "fail"}}

    with pytest.raises(FetchError):
        await kind().fetch(Broken(), {}, AT)
