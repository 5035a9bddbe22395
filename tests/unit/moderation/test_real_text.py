"""The shipped policy on text of real people; `pytest -s` shows the table of the README."""

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest

from klankbord_moderation.flood import Sightings
from klankbord_moderation.judge import Judge
from klankbord_schemas import Post, PostReceived, post_identity

CORPORA = Path(__file__).parents[4] / "shared" / "real" / "corpora"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not CORPORA.is_dir(), reason="no real text beside the repository")


def tweets(language: str) -> Iterator[str]:
    for part in ("train", "test", "val"):
        file = CORPORA / "xlm-t-sentiment" / language / f"{part}_text.txt"
        yield from file.read_text("utf-8").splitlines()


def news(code: str) -> Iterator[str]:
    file = CORPORA / "lingua-langid" / "sentences" / f"{code}.txt"
    yield from file.read_text("utf-8").splitlines()


def small_talk() -> Iterator[str]:
    parts = json.loads((CORPORA / "clinc150-small" / "data" / "data_small.json").read_text("utf-8"))
    for part in parts.values():
        yield from (text for text, _ in part)


def labelled(path: str, text: str, label: str, value: str) -> Iterator[str]:
    with (CORPORA / path).open(encoding="utf-8") as file:
        yield from (row[text] for row in csv.DictReader(file) if row[label] == value)


def quarrel(label: str) -> Iterator[str]:
    file = CORPORA / "germeval2018-de" / "germeval2018.training.txt"
    rows = (line.split("\t") for line in file.read_text("utf-8").splitlines())
    yield from (text for text, coarse, _ in rows if coarse == label)


def flagged(texts: Iterator[str], language: str) -> tuple[int, float]:
    """How many posts there are, and which part of them gets a label that acts."""
    judge = Judge.read(files("klankbord_moderation").joinpath("policy.yaml").read_bytes())
    posts = live = 0
    for posts, text in enumerate(texts, start=1):
        post = Post(
            community="acme",
            source="forum",
            platform="forum",
            post=post_identity("acme", "forum", str(posts)),
            native_id=str(posts),
            operation="create",
            published=NOON,
            published_trust="attested",
            content=text,
            language=language,
        )
        labels = judge.labels(judge.hear(PostReceived.of(post, 1, NOON)), Sightings())
        live += any(label.mode == "live" for label in labels)
    return posts, live / posts


@pytest.mark.parametrize("code", ["en", "nl", "sv", "de", "fi", "fr", "da"])
def test_news_is_left_alone(code: str) -> None:
    posts, share = flagged(news(code), code)
    print(f"news {code}: {posts} posts, {share:.2%} flagged")
    assert share < 0.002


def test_small_talk_is_left_alone() -> None:
    posts, share = flagged(small_talk(), "en")
    print(f"small talk en: {posts} posts, {share:.2%} flagged")
    assert share < 0.001


@pytest.mark.parametrize(("name", "code"), [("english", "en"), ("german", "de"), ("french", "fr")])
def test_tweets_are_rarely_flagged(name: str, code: str) -> None:
    posts, share = flagged(tweets(name), code)
    print(f"tweets {code}: {posts} posts, {share:.2%} flagged")
    assert share < 0.01


def test_insults_are_flagged_more_often_than_other_quarrel() -> None:
    (offensive, found), (other, wrong) = (
        flagged(quarrel(label), "de") for label in ("OFFENSE", "OTHER")
    )
    print(f"quarrel de: {offensive} offensive {found:.2%}, {other} other {wrong:.2%} flagged")
    assert found > 5 * wrong


def test_most_hate_is_not_found_by_words() -> None:
    """Not a promise but a warning: whoever ships such a policy must know how little it finds."""
    hateful, found = flagged(
        labelled("hatecheck-en/test_suite_cases.csv", "test_case", "label_gold", "hateful"), "en"
    )
    print(f"HateCheck en: {hateful} hateful, {found:.2%} flagged")
    assert found < 0.2
