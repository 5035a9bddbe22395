"""The sample community: the same each time, large enough to look at, and consistent in itself."""

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from klankbord_ingest.sources import parse_sources
from klankbord_ingest.submission import InteractionSubmission, PostSubmission
from klankbord_standalone.sample import CONFIGURATION, SEED, Sample, sample
from klankbord_standalone.sample.phrases import LANGUAGES, phrases
from klankbord_standalone.sample.planted import planted

TODAY = date(2026, 11, 22)


@pytest.fixture(scope="module")
def shipped() -> Sample:
    return sample(SEED, TODAY)


def test_same_seed_and_day_give_the_same_bytes(shipped: Sample) -> None:
    assert written(sample(SEED, TODAY)) == written(shipped)


def test_another_seed_gives_another_sample(shipped: Sample) -> None:
    assert written(sample(SEED + 1, TODAY)) != written(shipped)


@pytest.mark.parametrize(
    "today", [date(2026, 1, 1), date(2026, 4, 12), date(2026, 5, 18), date(2026, 12, 31)]
)
def test_the_sample_is_the_eight_whole_weeks_before_this_one(today: date) -> None:
    made = sample(SEED, today)
    monday = today - timedelta(days=today.weekday())
    weeks = [monday - timedelta(weeks=8 - number) for number in range(8)]
    assert list(made.planted.posts_by_week) == weeks
    assert max(one.at for one in made.submitted).date() < monday


def test_it_is_large_enough_to_look_at(shipped: Sample) -> None:
    truth = shipped.planted
    assert 2_800 < truth.posts < 3_300
    assert 230 < truth.contributors < 290
    assert 500 < truth.interactions < 1_000
    assert set(truth.open_cases_by_department) == {
        "management", "marketing", "product", "sales", "support"
    }  # fmt: skip
    assert set(truth.interactions_by_kind) == {"click", "join", "like", "share"}


def test_the_launch_is_the_busiest_week_and_the_community_grows(shipped: Sample) -> None:
    weeks = list(shipped.planted.posts_by_week.values())
    assert max(weeks) == weeks[4]
    assert weeks[-1] > weeks[0] * 1.2


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_many_sentences(language: str) -> None:
    book = phrases(language)
    sentences = [
        sentence
        for name in type(book).model_fields
        if name not in {"words", "staff", "opening", "closing", "correction"}
        for sentence in getattr(book, name)
    ]
    sentences += [sentence for answers in book.staff.values() for sentence in answers]
    assert len(set(sentences)) >= 80


def test_no_two_members_write_the_same_text(shipped: Sample) -> None:
    texts = Counter(post.text for post in shipped.posts)
    assert [text for text, times in texts.items() if times > 1] == []


def test_every_blank_is_filled_in(shipped: Sample) -> None:
    assert [post.text for post in shipped.posts if "{" in post.text] == []


def test_the_door_takes_all_of_it(shipped: Sample) -> None:
    for delivery in shipped.deliveries():
        (form, bodies), *_ = delivery.body.items()
        model = PostSubmission if form == "posts" else InteractionSubmission
        for body in bodies:
            model.model_validate(body)


def test_its_configuration_is_one_that_ingest_reads(shipped: Sample) -> None:
    sources = parse_sources(json.dumps(CONFIGURATION).encode())
    assert {one.source for one in shipped.submitted} == set(sources.by_name)
    assert [community.slug for community in sources.communities.values()] == ["kwint"]


def test_deliveries_hold_everything_once_and_in_order(shipped: Sample) -> None:
    deliveries = list(shipped.deliveries(at_most=50))
    together = [body for delivery in deliveries for part in delivery.body.values() for body in part]
    assert len(together) == len(shipped.submitted)
    assert max(len(part) for one in deliveries for part in one.body.values()) == 50
    for source in ("forum", "chat"):
        posts = [b for d in deliveries if d.source == source for b in d.body.get("posts", ())]
        moments = [str(body.get("updated", body["published"])) for body in posts]
        assert moments == sorted(moments)


def test_replies_come_after_what_they_answer(shipped: Sample) -> None:
    posts = {post.native_id: post for post in shipped.posts}
    assert len(posts) == len(shipped.posts)
    for post in shipped.posts:
        if post.thread:
            opening, answered = posts[post.thread], posts[post.to or post.thread]
            assert opening.thread is None
            assert opening.stands
            assert opening.source == post.source
            assert post.at > answered.at


def test_nothing_lies_in_the_future(shipped: Sample) -> None:
    assert max(one.at for one in shipped.submitted) < datetime(2026, 11, 22, tzinfo=UTC)


def test_what_is_planted_leaves_out_what_was_deleted(shipped: Sample) -> None:
    standing = [post for post in shipped.posts if post.stands]
    assert 0 < len(shipped.posts) - len(standing) < 60
    assert shipped.planted.posts == len(standing)
    assert planted(standing, []).posts == len(standing)
    assert shipped.planted.posts == sum(shipped.planted.posts_by_week.values())


def written(made: Sample) -> str:
    return json.dumps([(one.source, one.form, one.body) for one in made.submitted])
