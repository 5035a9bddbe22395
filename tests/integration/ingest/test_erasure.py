"""A member is erased: nothing of theirs is taken in any more, by whatever door."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from world import Migrated, settings

from klankbord_ingest.erase import erase
from klankbord_ingest.language import LanguageDetector
from klankbord_ingest.pseudonym import pseudonym
from klankbord_ingest.source import Source
from klankbord_ingest.sources import parse_sources
from klankbord_ingest.store import Store
from klankbord_ingest.submission import InteractionSubmission, PostSubmission, Submission
from klankbord_ingest.usecases import Delivery, Forgetting, Ingest, Receipt
from klankbord_runtime.service import Service
from klankbord_runtime.settings import ServiceSettings
from klankbord_schemas import MemberErased, Person, member_digest
from klankbord_standalone.servers import Installation

KEY = bytes(32)
SOURCES = b"""
communities:
  - {slug: acme, name: Acme, time_zone: UTC, languages: [en]}
  - {slug: other, name: Other, time_zone: UTC, languages: [en]}
sources:
  - {name: forum, community: acme, kind: webhook, platform: forum.example}
  - {name: mirror, community: other, kind: webhook, platform: forum.example}
"""
PUBLISHED = "2026-03-01T10:00:00Z"
THEM = {"id": "them", "name": "Their Name"}
PERSON = Person("acme", member_digest(pseudonym(KEY, "forum.example", "them")))


def post(native_id: str, author: dict[str, str] | None = None, **more: Any) -> PostSubmission:
    said = {"nativeId": native_id, "published": PUBLISHED, "attributedTo": author, "content": "hi"}
    return PostSubmission.model_validate(said | more)


def like(native_id: str, author: dict[str, str]) -> InteractionSubmission:
    done = {"kind": "like", "nativeId": native_id, "published": PUBLISHED, "attributedTo": author}
    return InteractionSubmission.model_validate(done)


@dataclass
class Door:
    service: Service
    settings: ServiceSettings
    ingest: Ingest

    async def receive(self, *submissions: Submission, source: str = "forum") -> Receipt:
        async with self.service.work() as work:
            delivery = Delivery(submissions)
            (receipt,) = await self.ingest.receive([delivery], source_of(source), work)
        return receipt

    async def erase(self) -> MemberErased:
        """As the command does, and then as the consumer does when it hears of it."""
        event = await erase(self.settings, PERSON)
        async with self.service.work() as work:
            forgetting = Forgetting(Store(), self.service.erasures)
            self.forgotten = await forgetting.forget(event, work)
        return event

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.service.database.connection() as connection:
            return [tuple(row) for row in await connection.fetch(query)]


def source_of(name: str) -> Source:
    return parse_sources(SOURCES).by_name[name]


@pytest.fixture
async def door(installation: Installation, migrated: Migrated) -> AsyncIterator[Door]:
    await migrated("ingest")
    given = settings(installation, "ingest")
    service = Service("ingest", given)
    await service.open()
    yield Door(service, given, Ingest(Store(), KEY, LanguageDetector(), service.erasures))
    await service.close()


async def test_what_they_say_and_do_is_refused_and_what_others_say_is_not(door: Door) -> None:
    assert await door.receive(post("1", THEM), like("l", THEM)) == Receipt(2, 0, 0)
    await door.erase()
    again = (post("1", THEM), post("2", THEM), like("l", THEM), like("m", THEM))
    assert await door.receive(*again) == Receipt(0, 0, 4)
    assert await door.receive(post("3", {"id": "other"}), post("4")) == Receipt(2, 0, 0)


async def test_an_edit_or_a_delete_that_names_no_author_changes_their_posts_no_more(
    door: Door,
) -> None:
    await door.receive(post("1", THEM), post("2", {"id": "other"}))
    await door.erase()
    edit: dict[str, Any] = {
        "operation": "update",
        "content": "other words",
        "updated": "2026-03-02T10:00:00Z",
    }
    assert await door.receive(post("1", **edit), post("2", **edit)) == Receipt(1, 1, 0)
    assert await door.receive(post("1", operation="delete")) == Receipt(0, 1, 0)


async def test_a_post_is_theirs_also_where_versions_before_or_beside_name_nobody(
    door: Door,
) -> None:
    edit: dict[str, Any] = {
        "operation": "update",
        "content": "other words",
        "updated": "2026-03-02T10:00:00Z",
    }
    assert await door.receive(post("1", THEM), post("1", **edit)) == Receipt(2, 0, 0)
    assert await door.receive(post("2", **edit)) == Receipt(1, 0, 0)
    assert await door.receive(post("2", THEM)) == Receipt(1, 0, 0)
    await door.erase()
    assert door.forgotten.removed["posts"] == 2
    later = edit | {"updated": "2026-03-03T10:00:00Z"}
    assert await door.receive(post("1", **later), post("2", **later)) == Receipt(0, 2, 0)


async def test_who_was_never_seen_is_refused_as_well(door: Door) -> None:
    await door.erase()
    assert await door.receive(post("1", THEM)) == Receipt(0, 0, 1)


async def test_in_another_community_they_stay(door: Door) -> None:
    await door.receive(post("1", THEM))
    await door.receive(post("2", THEM), source="mirror")
    await door.erase()
    edited = post("2", content="else", operation="update", updated="2026-03-02T10:00:00Z")
    assert await door.receive(edited, source="mirror") == Receipt(1, 0, 0)
    assert await door.receive(post("3", THEM), source="mirror") == Receipt(1, 0, 0)


async def test_of_their_posts_identity_and_versions_are_left_and_of_their_looks_nothing(
    door: Door,
) -> None:
    await door.receive(post("1", THEM), like("l", THEM))
    await door.receive(post("2", {"id": "other"}))
    await door.erase()
    assert door.forgotten.removed == {"posts": 1, "interactions": 1, "looks": 1}
    (theirs,) = await door.rows("select * from post where erased")
    (columns,) = await door.rows("select attributed_to, numbers, said from post where erased")
    assert columns == (None, [1], [])
    assert [str(theirs[0])] == list(door.forgotten.subjects)
    assert await door.rows("select attributed_to from interaction") == [(None,)]
    assert len(await door.rows("select member from member")) == 1
    them = pseudonym(KEY, "forum.example", "them")
    tables = ("post", "interaction", "member", "erased", "delivery")
    left = [await door.rows(f"select t::text from {table} t") for table in tables]
    assert them not in str(left)


async def test_asked_again_it_tells_every_service_again(door: Door) -> None:
    first, second = await door.erase(), await door.erase()
    assert first.id != second.id
    assert first.data == second.data
    (erased,) = await door.rows("select scope, person from erased")
    assert erased == tuple(PERSON)
