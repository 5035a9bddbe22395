"""What counts, and when: on a real PostgreSQL."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from integration.metrics.world import World, events_of, listed_in
from unit.metrics.history import NOON, did, flagged, routed, said, withdrawn

from klankbord_metrics.store import Store

DAY = timedelta(days=1)


async def test_posts_are_counted_on_their_day_and_in_their_week(world: World) -> None:
    await world.hear(
        said("a", 1), said("b", 2), said("c", 1, NOON + DAY), said("d", 3, NOON + 2 * DAY)
    )
    await world.settle()
    assert await world.values("posts") == {"2026-03-28": 2, "2026-03-29": 1, "2026-03-30": 1}
    assert await world.values("posts", "week") == {"2026-03-23": 3, "2026-03-30": 1}
    assert await world.values("contributors", "week") == {"2026-03-23": 2, "2026-03-30": 1}


async def test_a_day_begins_at_midnight_in_amsterdam_also_when_the_clock_changes(
    world: World,
) -> None:
    await world.hear(
        said("winter, 23:59", at=datetime(2026, 3, 28, 22, 59, tzinfo=UTC)),
        said("winter, 0:00", at=datetime(2026, 3, 28, 23, 0, tzinfo=UTC)),
        said("summer, 23:59", at=datetime(2026, 3, 29, 21, 59, tzinfo=UTC)),
        said("summer, 0:00", at=datetime(2026, 3, 29, 22, 0, tzinfo=UTC)),
    )
    await world.settle()
    assert await world.values("posts") == {"2026-03-28": 1, "2026-03-29": 2, "2026-03-30": 1}
    hours = await world.fetch(
        "select distinct extract(hour from window_end - window_start) from published_measurement"
        " where grain = 'day' and (window_start at time zone time_zone)::date = '2026-03-29'"
    )
    assert hours == [(23,)]


async def test_the_first_days_of_january_belong_to_the_week_that_began_in_december(
    world: World,
) -> None:
    await world.hear(
        said("new year's eve", at=datetime(2026, 12, 31, 12, tzinfo=UTC)),
        said("new year", at=datetime(2027, 1, 1, 12, tzinfo=UTC)),
        said("monday", at=datetime(2027, 1, 4, 12, tzinfo=UTC)),
    )
    await world.settle()
    assert await world.values("posts", "week") == {"2026-12-28": 2, "2027-01-04": 1}


async def test_a_late_post_counts_on_the_day_it_was_written_and_makes_a_new_revision(
    world: World,
) -> None:
    await world.hear(said("a", 1))
    await world.settle()
    await world.hear(said("b", 2), said("c", 1, NOON + DAY))
    await world.settle()
    assert events_of(world.said, "posts") == [(1, 1), (2, 2), (1, 1)]
    assert await world.total("posts") == 3


async def test_what_bots_do_is_no_interaction(world: World) -> None:
    await world.hear(did("x", automated=True))
    await world.settle()
    assert await world.total("interactions") == 0


async def test_nothing_is_said_again_while_nothing_changes(world: World) -> None:
    post = said("a", 1)
    await world.hear(post, did("x"))
    await world.settle()
    world.said.clear()
    await world.hear(post, did("x"))
    await world.hear(said("a", 1, version=2, operation="update"))
    await world.settle()
    assert world.said == []


async def test_a_deleted_post_takes_its_author_along(world: World) -> None:
    await world.hear(said("a", 1), said("b", 2))
    await world.settle()
    await world.hear(said("b", None, version=2, operation="delete"))
    await world.settle()
    assert await world.values("posts") == {"2026-03-28": 1}
    assert await world.values("contributors") == {"2026-03-28": 1}
    assert (await world.total("posts"), await world.total("contributors")) == (1, 1)


async def test_a_delete_that_comes_before_its_post_keeps_it_from_counting(world: World) -> None:
    await world.hear(said("b", None, version=2, operation="delete"))
    await world.settle()
    await world.hear(said("b", 2))
    await world.settle()
    assert await world.total("posts") == 0


async def test_an_older_post_that_comes_late_makes_its_author_new_on_the_earlier_day(
    world: World,
) -> None:
    await world.hear(said("later", 1, NOON + DAY))
    await world.settle()
    assert await world.values("new-contributors") == {"2026-03-29": 1}
    await world.hear(said("earlier", 1, NOON))
    await world.settle()
    assert await world.values("new-contributors") == {"2026-03-28": 1, "2026-03-29": 0}
    assert await world.total("contributors") == 1
    await world.hear(said("earlier", None, version=2, operation="delete"))
    await world.settle()
    assert await world.values("new-contributors") == {"2026-03-28": 0, "2026-03-29": 1}


async def test_an_edit_that_names_another_author_makes_nobody_new_twice(world: World) -> None:
    await world.hear(said("a", 1, NOON + DAY), said("b", 2, NOON), said("c", 1, NOON + 2 * DAY))
    await world.settle()
    await world.hear(said("a", 2, NOON + DAY, version=2, operation="update"))
    await world.settle()
    assert await world.values("new-contributors") == {
        "2026-03-28": 1,
        "2026-03-29": 0,
        "2026-03-30": 1,
    }


async def test_an_edit_of_a_claimed_post_leaves_it_on_the_day_it_was_first_heard(
    world: World,
) -> None:
    first = said("a", 1, trust="claimed", recorded=NOON)
    edit = said("a", 1, trust="claimed", version=2, operation="update", recorded=NOON + 9 * DAY)
    await world.hear(edit)
    await world.settle()
    await world.hear(first)
    await world.settle()
    assert await world.values("posts") == {"2026-03-28": 1, "2026-04-06": 0}


async def test_the_first_response_is_by_another_person_and_no_bot(world: World) -> None:
    minutes = timedelta(minutes=1)
    await world.hear(
        said("question", 1),
        said("by itself", 1, NOON + minutes, answers="question"),
        said("by a bot", 9, NOON + 2 * minutes, answers="question", automated=True),
        said("unanswered", 2),
    )
    await world.settle()
    assert await world.values("time-to-first-response") == {"2026-03-28": None}
    await world.hear(said("answer", 3, NOON + DAY, answers="question"))
    await world.settle()
    assert (await world.values("time-to-first-response"))["2026-03-28"] == DAY.total_seconds()
    await world.hear(said("quicker", 4, NOON + 5 * minutes, answers="question"))
    await world.settle()
    assert (await world.values("time-to-first-response"))["2026-03-28"] == 300
    await world.hear(said("quicker", 4, version=2, operation="delete"))
    await world.settle()
    assert (await world.values("time-to-first-response"))["2026-03-28"] == DAY.total_seconds()


async def test_the_earliest_post_opens_a_thread_that_is_named_after_none(world: World) -> None:
    await world.hear(
        said("second", 2, NOON + timedelta(minutes=7), context="topic-5"),
        said("third", 3, NOON + timedelta(minutes=9), context="topic-5"),
    )
    await world.settle()
    await world.hear(said("first", 1, NOON, context="topic-5"))
    await world.settle()
    assert await world.values("replies") == {"2026-03-28": 2}
    assert await world.values("time-to-first-response") == {"2026-03-28": 420}


async def test_a_post_that_leaves_its_thread_leaves_the_answers_there(world: World) -> None:
    await world.hear(
        said("first", 1, context="topic-5"),
        said("answer", 2, NOON + timedelta(minutes=7), context="topic-5"),
    )
    await world.settle()
    assert await world.values("time-to-first-response") == {"2026-03-28": 420}
    await world.hear(said("first", 1, version=2, operation="update"))
    await world.settle()
    assert await world.values("time-to-first-response") == {"2026-03-28": None}


async def test_a_flag_stands_for_its_version_alone_and_may_come_first(world: World) -> None:
    post = said("a", 1)
    await world.hear(flagged(post, ["spam", "scam"], shadow=["troll"]))
    await world.settle()
    await world.hear(post)
    await world.settle()
    assert await world.values("flagged-posts") == {"2026-03-28": 1}
    assert await world.total("flagged_posts_by_label") == {"spam": 1, "scam": 1}
    await world.hear(said("a", 1, version=2, operation="update"))
    await world.settle()
    assert await world.values("flagged-posts") == {"2026-03-28": 0}
    assert await world.total("flagged_posts_by_label") == {}


async def test_a_newer_policy_that_only_shadows_takes_a_flag_back(world: World) -> None:
    post = said("a", 1)
    later = flagged(post, [], ["spam"], at=NOON + DAY, policy=1)
    await world.hear(post, later)
    await world.hear(flagged(post, ["spam"]))
    await world.settle()
    assert await world.total("flagged_posts") == 0


async def test_a_withdrawal_closes_the_case_also_when_it_is_heard_first(world: World) -> None:
    post = said("a", 1)
    sales, product = routed(post, "sales"), routed(post, "product")
    await world.hear(withdrawn(sales), product)
    await world.hear(post, sales)
    await world.settle()
    assert await world.total("open_cases_by_department") == {"product": 1}
    await world.hear(routed(post, "product", revision=2), routed(post, "sales", revision=2))
    await world.settle()
    assert await world.total("open_cases_by_department") == {"product": 1, "sales": 1}
    await world.hear(withdrawn(routed(post, "product", revision=2)))
    await world.settle()
    assert await world.total("open_cases_by_department") == {"sales": 1}
    assert await world.total("open_cases") == 1


async def test_a_community_that_is_not_listed_counts_in_utc(world: World) -> None:
    await world.hear(said("a", at=datetime(2026, 3, 28, 23, tzinfo=UTC), community="elsewhere"))
    await world.settle()
    assert await world.values("posts") == {"2026-03-28": 1}
    assert await world.fetch(
        "select community, name, time_zone, is_known from published_community order by 1"
    ) == [("acme", "Acme", "Europe/Amsterdam", True), ("elsewhere", "elsewhere", "UTC", False)]


async def test_another_time_zone_measures_everything_anew(world: World) -> None:
    await world.hear(said("a", at=datetime(2026, 3, 28, 22, 30, tzinfo=UTC)), did("x"))
    await world.settle()
    await world.configure(listed_in("Asia/Kolkata"))
    await world.settle()
    assert await world.values("posts") == {"2026-03-29": 1}
    assert (await world.total("posts"), await world.total("interactions")) == (1, 1)
    await world.configure(listed_in("Europe/Amsterdam"))
    await world.settle()
    assert await world.values("posts") == {"2026-03-28": 1}
    assert await world.total("posts") == 1
    assert len({event.id for event in world.said}) == len(world.said)


async def test_a_day_whose_midnight_comes_twice_keeps_its_revisions(world: World) -> None:
    await world.configure(listed_in("America/Havana"))
    at = datetime(2025, 11, 2, 4, 30, tzinfo=UTC)  # 0:30, half an hour before it is 0:00 again
    await world.hear(said("a", 1, at))
    await world.settle()
    await world.hear(said("b", 1, at + timedelta(hours=1)))
    await world.settle()
    assert await world.values("posts") == {"2025-11-02": 2}
    assert events_of(world.said, "posts") == [(1, 1), (2, 2)]


async def test_a_busy_community_rests_between_two_measurements(world: World) -> None:
    await world.hear(said("a", 1))
    await world.settle()
    await world.hear(said("b", 1))
    await world.tick()
    assert await world.values("posts") == {"2026-03-28": 1}
    assert await world.fetch("select is_settled from published_community") == [(False,)]
    world.now += timedelta(seconds=3)
    await world.tick()
    assert await world.values("posts") == {"2026-03-28": 2}


async def test_the_window_before_is_shown_beside(world: World) -> None:
    await world.hear(said("a", 1), said("b", 1), said("c", 1, NOON + DAY))
    await world.settle()
    (after,) = [
        event.data
        for event in world.said
        if (event.data.metric, event.data.source, event.data.value) == ("posts", None, 1)
    ]
    assert after.previous == 2


async def test_only_what_may_have_changed_is_looked_at_again(world: World) -> None:
    """The result would be the same without this; the work would not."""
    first, answer = said("a", 1), said("b", 2, NOON + DAY, answers="a", context="a")
    await world.hear(first, answer)
    await world.settle()
    await world.hear(flagged(first), routed(answer, "support"))
    await world.hear(said("c", 1, NOON + DAY), said("d", 1, NOON - DAY))
    await world.hear(said("e", 2, NOON + 2 * DAY, answers="a", context="a"))
    store = Store()
    async with world.work() as work:
        posts = await store.take_touched_posts(work.connection, ["acme"], 100)
        counted = await store.count_posts(work.connection, posts)
        await store.mark_first_posts(work.connection, counted.authors)
    assert len(posts) == 5
    assert counted.authors == {("acme", UUID(int=1))}  # of the post that came late
    assert counted.openings == set()
    assert counted.responses == {answer.thread}
    assert await world.fetch("select counted_at from counted where is_first order by 1") == [
        (NOON - DAY,),
        (NOON + DAY,),
    ]


async def test_replicas_that_count_at_once_count_nothing_twice(world: World) -> None:
    for start in range(0, 200, 20):
        names = [f"post {number}" for number in range(start, start + 20)]
        posts = [said(name, int(name[5:]) % 7, NOON + start * DAY / 40) for name in names]
        again = [said(name, int(name[5:]) % 7, version=2, operation="delete") for name in names[:5]]
        await asyncio.gather(
            world.hear(*posts),
            world.hear(*reversed(posts), *again),
            world.hear(*again),
            world.tick(),
            world.tick(),
        )
    await world.settle()
    assert await world.total("posts") == 150
    assert sum(value or 0 for value in (await world.values("posts")).values()) == 150
    assert len({event.id for event in world.said}) == len(world.said)
