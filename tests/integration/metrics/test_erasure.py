"""A member is erased: nobody can tell any more whose the posts were, and every figure stands."""

from integration.metrics.world import World, events_of
from unit.metrics.history import NOON, member, said

from klankbord_schemas import Erasure, MemberErased, member_digest


def erased(number: int, community: str = "acme") -> MemberErased:
    digest = member_digest(member(number))
    return MemberErased.of(Erasure(community=community, member_digest=digest), NOON)


async def test_every_figure_stands_and_no_row_names_the_member(world: World) -> None:
    await world.hear(
        said("a", 1), said("b", 1), said("c", 2, answers="a"), said("elsewhere", 1, community="b")
    )
    await world.settle()
    before = await world.measurements()
    async with world.work() as work:
        forgotten = await world.metrics.forget(erased(1), work)
    assert forgotten.removed == {"posts": 2, "counted": 2}

    authors = await world.fetch("select distinct author from post where community = 'acme'")
    assert len(authors) == 2, "one who stands in for the member, and the other"
    assert member(1) not in {f"p-{author.hex}" for (author,) in authors}
    counted = await world.fetch("select distinct author from counted where community = 'acme'")
    assert sorted(counted) == sorted(authors)
    (elsewhere,) = await world.fetch("select author from post where community = 'b'")
    assert f"p-{elsewhere[0].hex}" == member(1), "who is erased in one community stays in another"

    # also when everything is counted anew
    async with world.work() as work:
        await work.connection.execute("insert into touched_post select community, post from post")
    await world.settle()
    assert await world.measurements() == before


async def test_somebody_new_is_not_taken_for_whoever_stands_in(world: World) -> None:
    await world.hear(said("a", 1))
    await world.settle()
    async with world.work() as work:
        await world.metrics.forget(erased(1), work)
    await world.hear(said("b", 2))
    await world.settle()
    assert events_of(world.said, "contributors") == [(1, 1), (2, 2)]


async def test_forgetting_again_finds_nothing(world: World) -> None:
    await world.hear(said("a", 1))
    await world.settle()
    counts = []
    for _ in range(2):
        async with world.work() as work:
            counts.append((await world.metrics.forget(erased(1), work)).removed)
    assert counts == [{"posts": 1, "counted": 1}, {"posts": 0, "counted": 0}]
