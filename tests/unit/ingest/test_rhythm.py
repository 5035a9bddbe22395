"""Silence against a source's own rhythm: what is missed, and what is merely quiet."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_ingest.rhythm import HOUR, MISSED, Quiet, hour_of, quiet
from klankbord_ingest.tally import Count, SourceHour, Tally

ZONE = ZoneInfo("Europe/Amsterdam")
BEGIN = datetime(2026, 8, 31, tzinfo=UTC)
"""A Monday; the clocks change eight weeks later."""
WEEK = timedelta(weeks=1)


def poisson(
    per_hour: Callable[[datetime], float],
    weeks: int,
    seed: int,
    cluster: Callable[[random.Random], Iterator[timedelta]] = lambda _: iter([timedelta()]),
) -> list[datetime]:
    """When posts came: by themselves, or as clusters that begin by themselves.

    Args:
        per_hour: how many are to be expected in that hour, where the community lives.
        weeks: for how long.
        seed: of chance.
        cluster: how long after its beginning each post of a cluster comes.
    """
    chance = random.Random(seed)
    came = []
    for number in range(weeks * 168):
        hour = BEGIN + number * HOUR
        rate = per_hour(hour.astimezone(ZONE))
        at = chance.expovariate(rate) if rate else 2.0
        while at < 1:
            begun = hour + at * HOUR
            came += [begun + after for after in cluster(chance)]
            at += chance.expovariate(rate)
    return sorted(came)


class Source:
    """A source that was heard so, and a Klankbord that always listened."""

    def __init__(self, came: list[datetime]) -> None:
        self.came = came
        self.by_hour = Counter(map(hour_of, came))
        hours = round((came[-1] - BEGIN) / HOUR) + 2000
        self.listened = {BEGIN + number * HOUR for number in range(hours)}

    def quiet(self, last: datetime, now: datetime) -> Quiet | None:
        """Whether it is silent at that moment, last heard then."""
        heard = {hour: n for hour, n in self.by_hour.items() if hour <= last}
        return quiet(heard, self.listened, last, now, ZONE)

    def false_alarms(self) -> list[datetime]:
        """When it would have been called silent although it spoke again."""
        pairs = zip(self.came, self.came[1:], strict=False)
        return [last for last, then in pairs if then - last >= HOUR and self.quiet(last, then)]

    def missed_after(self, last: datetime | None = None) -> timedelta:
        """How long after it stopped it is missed, to the hour."""
        last = last or self.came[-1]
        return next(
            number * HOUR for number in range(1, 2000) if self.quiet(last, last + number * HOUR)
        )


def all_day(_: datetime) -> float:
    return 4.0


def by_day(at: datetime) -> float:
    """Busy by day, some in the evening, hardly anything at night, less at the weekend."""
    rate = 12.0 if 8 <= at.hour < 18 else 3.0 if 18 <= at.hour < 23 else 0.05
    return rate / 4 if at.weekday() >= 5 else rate


def at_weekends(at: datetime) -> float:
    return 5.0 if at.weekday() >= 5 and 10 <= at.hour < 22 else 0.0


def slow(_: datetime) -> float:
    return 3 / 168


def flare(chance: random.Random) -> Iterator[timedelta]:
    """A thread of some thirty posts in three hours."""
    return (chance.random() * 3 * HOUR for _ in range(chance.randint(10, 50)))


def digest(chance: random.Random) -> Iterator[timedelta]:
    """A feed that brings twenty at once."""
    return (chance.random() * timedelta(minutes=1) for _ in range(20))


@pytest.mark.parametrize("rhythm", [all_day, by_day, at_weekends, slow], ids=lambda it: it.__name__)
@pytest.mark.parametrize("seed", range(3))
def test_what_keeps_its_rhythm_is_not_called_silent(
    rhythm: Callable[[datetime], float], seed: int
) -> None:
    assert len(Source(poisson(rhythm, 10, seed)).false_alarms()) <= 1


@pytest.mark.parametrize("cluster", [flare, digest], ids=lambda it: it.__name__)
@pytest.mark.parametrize("seed", range(3))
def test_what_comes_in_bursts_is_not_called_silent_between_them(
    cluster: Callable[[random.Random], Iterator[timedelta]], seed: int
) -> None:
    source = Source(poisson(lambda _: 1 / 12, 10, seed, cluster))
    assert len(source.false_alarms()) <= 1
    assert timedelta(days=2) <= source.missed_after() <= timedelta(days=21)


def test_a_steady_source_is_missed_after_hours() -> None:
    assert 2 * HOUR <= Source(poisson(all_day, 6, 1)).missed_after() <= 5 * HOUR


def test_a_busy_source_is_missed_after_an_hour_and_never_sooner() -> None:
    source = Source(poisson(lambda _: 60.0, 3, 1))
    last = source.came[-1]
    assert source.quiet(last, last + timedelta(minutes=59)) is None
    assert source.missed_after() == HOUR


def test_a_night_and_a_weekend_are_quiet_and_a_morning_is_missed() -> None:
    noon = datetime(2026, 10, 16, 12, tzinfo=ZONE)  # a Friday
    source = Source([at for at in poisson(by_day, 8, 1) if at < noon])
    assert source.missed_after() <= 3 * HOUR
    night = datetime(2026, 10, 6, 22, 50, tzinfo=ZONE).astimezone(UTC)
    last = max(at for at in source.came if at <= night)
    assert source.quiet(last, night + 8 * HOUR) is None
    assert source.quiet(last, night + 14 * HOUR) is not None


def test_what_speaks_at_weekends_alone_is_missed_at_the_next_one() -> None:
    source = Source(poisson(at_weekends, 6, 1))
    missed = (source.came[-1] + source.missed_after()).astimezone(ZONE)
    assert missed.weekday() == 5
    assert 11 <= missed.hour <= 15


def test_a_slow_source_is_missed_after_weeks() -> None:
    assert timedelta(weeks=2) <= Source(poisson(slow, 9, 2)).missed_after() <= timedelta(weeks=8)


def test_one_flood_says_nothing_of_the_rhythm() -> None:
    calm = poisson(all_day, 6, 1)
    flood = [BEGIN + 5 * WEEK + number * timedelta(seconds=1) for number in range(2000)]
    flooded = Source(sorted(calm + flood))
    assert len(flooded.false_alarms()) <= 1
    assert flooded.missed_after() <= 2 * Source(calm).missed_after()


def test_nobody_is_missed_who_is_not_known_for_two_weeks() -> None:
    source = Source([at for at in poisson(all_day, 3, 1) if at < BEGIN + 2 * WEEK - HOUR])
    assert source.quiet(source.came[-1], source.came[-1] + 12 * HOUR) is None


def test_what_came_while_nobody_listened_is_not_missed() -> None:
    source = Source(poisson(all_day, 5, 1))
    last = source.came[-1]
    away = {hour_of(last) + number * HOUR for number in range(1, 48)}
    source.listened -= away
    assert source.quiet(last, last + 48 * HOUR) is None
    assert source.quiet(last, last + 53 * HOUR) is not None


def test_hours_in_which_nobody_listened_make_no_rhythm_slower() -> None:
    noon = BEGIN + 5 * WEEK + 12 * HOUR
    source = Source([at for at in poisson(all_day, 6, 1) if at < noon])
    usual = source.missed_after()
    nights = {hour for hour in source.listened if hour.hour < 8}
    by_day = Source([at for at in source.came if hour_of(at) not in nights])
    by_day.listened -= nights
    assert by_day.missed_after() <= usual + 2 * HOUR


def test_the_clocks_change_and_nine_o_clock_is_nine_o_clock() -> None:
    """Posts come from nine to ten, local time; on the Monday after, too."""
    came = [
        datetime(2026, 9, 1, 9, minute, tzinfo=ZONE).replace(tzinfo=None) + timedelta(days=day)
        for day in range(54)
        for minute in range(5, 60, 4)
    ]
    source = Source([at.replace(tzinfo=ZONE).astimezone(UTC) for at in came])
    last = source.came[-1]  # Saturday; the clocks change that night
    assert last.astimezone(ZONE).date().isoformat() == "2026-10-24"
    sunday = datetime(2026, 10, 25, 8, 59, tzinfo=ZONE).astimezone(UTC)
    assert source.quiet(last, sunday) is None
    found = source.quiet(last, sunday + 2 * HOUR)
    assert found is not None
    assert found.expected == pytest.approx(14, abs=1)


@given(
    st.lists(st.integers(0, 60 * 24 * 50), min_size=1, max_size=300),
    st.integers(0, 60 * 24 * 30),
    st.integers(0, 60 * 24 * 10),
)
def test_whoever_is_silent_stays_so_until_heard_and_for_a_reason(
    minutes: list[int], later: int, still_later: int
) -> None:
    source = Source(sorted(BEGIN + timedelta(minutes=minute) for minute in minutes))
    last = source.came[-1]
    now = last + timedelta(minutes=later)
    found = source.quiet(last, now)
    if found is None:
        return
    assert now - last >= HOUR
    assert last - source.came[0] >= 2 * WEEK - HOUR
    assert found.at_once >= 1
    assert found.expected / found.at_once >= MISSED
    then = source.quiet(last, now + timedelta(minutes=still_later))
    assert then is None or then.expected >= found.expected


class TestTally:
    NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
    KEY = SourceHour("forum", NOON)

    def test_what_is_heard_adds_up_by_the_hour(self) -> None:
        tally = Tally()
        late, later = self.NOON + timedelta(minutes=5), self.NOON + timedelta(minutes=59)
        tally.note("forum", later, 2)
        tally.note("forum", late, 1)
        tally.note("forum", self.NOON + HOUR, 1)
        tally.note("blog", late, 0)
        assert tally.counts() == {
            self.KEY: Count(3, later),
            SourceHour("forum", self.NOON + HOUR): Count(1, self.NOON + HOUR),
            SourceHour("blog", self.NOON): Count(0, late),
        }

    def test_what_comes_while_it_is_written_is_written_next(self) -> None:
        tally = Tally()
        tally.note("forum", self.NOON, 2)
        counts = tally.counts()
        tally.note("forum", self.NOON + timedelta(minutes=1), 3)
        tally.written(counts)
        assert tally.counts() == {self.KEY: Count(3, self.NOON + timedelta(minutes=1))}
        tally.written(tally.counts())
        assert tally.counts() == {}
