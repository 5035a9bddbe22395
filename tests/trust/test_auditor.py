"""What the auditor calls lost, doubled and out of nowhere; and that the crowd adds up."""

from datetime import timedelta

from trust.auditor import Audit
from trust.crowd import Expected, Said, Size, deliveries, malformed


def test_what_is_there_once_is_in_order() -> None:
    found = Audit()
    found.compare("here", {1, 2}, [2, 1])
    assert found == Audit()
    assert found.clean


def test_what_is_missing_repeated_or_strange_is_counted_and_named() -> None:
    found = Audit()
    found.compare("here", {1, 2, 3}, [1, 1, 1, 4])
    assert (found.lost, found.doubled, found.strange) == (2, 2, 1)
    assert found.findings == [
        "here: 2 lost of 3",
        "here: 2 doubled of 3",
        "here: 1 out of nowhere of 3",
    ]


def test_a_number_that_is_too_small_has_lost_and_one_too_large_has_doubled() -> None:
    found = Audit()
    found.compare_values("the total of", {"posts": 10, "flags": 5}, {"posts": 8, "flags": 6})
    assert (found.lost, found.doubled) == (2, 1)
    assert len(found.findings) == 2


def test_what_several_runs_found_adds_up() -> None:
    one, other = Audit(lost=1, findings=["a"]), Audit(lost=2, doubled=1, findings=["b"])
    assert one + other == Audit(lost=3, doubled=1, findings=["a", "b"])


def test_the_crowd_says_each_post_once_and_one_in_twenty_again() -> None:
    size = Size(posts=1_000, poisons=2, hasty=3, skewed=4)
    said = deliveries(size, seed=1)
    numbers = [post.number for delivery in said for post in delivery.posts]
    assert numbers == list(range(1_000))
    again = [post for delivery in said for post in delivery.again]
    assert 50 <= len(again) <= 55
    hasty = {post.number for d in said if d.hasty for post in d.posts}
    assert sum(d.hasty for d in said) == 3
    assert not hasty & {post.number for post in again}
    assert {d.skew for d in said} == {timedelta(), timedelta(minutes=10), timedelta(minutes=-10)}
    assert sum(post.poison for d in said for post in d.posts) == 2
    assert deliveries(size, seed=1) == said
    assert deliveries(size, seed=2) != said


def test_what_is_expected_of_each_day_adds_up_to_the_totals() -> None:
    expected = Expected([Said(number) for number in range(5_000)])
    days, totals = expected.days(), expected.totals()
    for metric, total in (
        ("posts", "posts"),
        ("flagged-posts", "flagged_posts"),
        ("open-cases", "open_cases"),
        ("new-contributors", "contributors"),
    ):
        assert sum(value for (name, _), value in days.items() if name == metric) == totals[total]
    assert len({day for _, day in days}) == 4


def test_each_malformed_message_has_an_id_of_its_own() -> None:
    assert len({bad.id for bad in malformed(200, seed=1)}) == 200
