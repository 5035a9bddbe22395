"""A member is erased: the departments are told, the cases are counted, and nobody is named."""

import pytest
from integration.routing.test_routing import Replicas
from integration.routing.test_routing import replicas as replicas  # the fixture
from unit.routing.history import NOON, TEXTS, post

from klankbord_runtime.work import Work
from klankbord_schemas import Erasure, FeedbackWithdrawn, MemberErased, member_digest

THEM = "p-" + "1" * 32
OTHER = "p-" + "2" * 32
ERASED = MemberErased.of(Erasure(community="acme", member_digest=member_digest(THEM)), NOON)


@pytest.fixture
async def erased(replicas: Replicas) -> list[FeedbackWithdrawn]:
    """What is said when the member is erased."""
    await replicas.hear(
        [
            post(1, text=TEXTS[0], attributed_to=THEM, url="https://forum.example/@them/1"),
            post(2, text=TEXTS[4], attributed_to=THEM),
            post(3, text=TEXTS[0], attributed_to=OTHER, url="https://forum.example/@other/3"),
            post(4, text=TEXTS[0], attributed_to=THEM, community="elsewhere"),
        ]
    )
    async with replicas.database.transaction() as connection:
        work = Work(connection, NOON)
        forgotten = await replicas.routing.forget(ERASED, work)
    assert forgotten.removed == {"posts": 2, "cases": 1}
    return [event for event in work.emitted if isinstance(event, FeedbackWithdrawn)]


async def test_what_is_open_is_withdrawn_with_the_reason(
    replicas: Replicas, erased: list[FeedbackWithdrawn]
) -> None:
    (withdrawn,) = erased
    routed = next(e for e in replicas.said if e.data.attributed_to == THEM)
    assert withdrawn.data.routed == routed.id
    assert withdrawn.data.because == "deleted"
    assert "was erased. Delete what you hold of it" in withdrawn.data.explanation
    assert withdrawn.person is None
    assert {row["community"] for row in await rows(replicas, "state = 'open'")} == {
        "acme",
        "elsewhere",
    }


async def test_the_case_is_counted_and_names_nobody(
    replicas: Replicas, erased: list[FeedbackWithdrawn]
) -> None:
    assert len(erased) == 1
    (case,) = await rows(replicas, "state = 'withdrawn'")
    assert (case["department"], case["intent"], case["url"]) == ("product", "bug", None)
    async with replicas.database.connection() as connection:
        left = await connection.fetch("select attributed_to from post order by post")
    assert sorted(row["attributed_to"] or "" for row in left) == ["", "", THEM, OTHER]


async def rows(replicas: Replicas, where: str) -> list[dict[str, object]]:
    async with replicas.database.connection() as connection:
        found = await connection.fetch(f"select * from published_case where {where}")
    return [dict(row) for row in found]
