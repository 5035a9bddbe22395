"""Intents on text of real people. It is not in this repository: skipped without it beside.

`pytest tests/unit/routing/test_real_text.py -s` prints the table of services/routing/README.md.

Nobody labelled these texts with our intents. What their own labels honestly say: a customer of a
bank who writes to it needs someone (Banking77); small talk with an assistant and news need nobody;
a tweet with a good feeling is no complaint, one with a bad feeling no praise. Cues were chosen
while reading the training parts and the first halves; these are the others. Of CLINC150's small
talk only `what_can_i_ask_you` is left out: it asks what the service can do.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from unit.routing.world import CUES, SHIPPED

from klankbord_routing.plain import Plain
from klankbord_routing.rules import RoutingFile
from klankbord_runtime.yamlfile import read_yaml

CORPORA = Path(__file__).parents[4] / "shared" / "real" / "corpora"
THRESHOLDS = read_yaml(SHIPPED, RoutingFile).thresholds
TROUBLE = (
    "not_working", "declined_", "failed", "not_recognised", "wrong_", "charged_twice", "reverted",
    "not_received", "not_updated", "not_showing_up", "swallowed", "extra_charge",
)  # fmt: skip
SMALL_TALK = {
    "greeting", "goodbye", "thank_you", "how_old_are_you", "what_is_your_name", "tell_joke",
    "fun_fact",
    "are_you_a_bot", "meaning_of_life", "do_you_have_pets", "where_are_you_from", "who_made_you",
    "what_are_your_hobbies", "who_do_you_work_for", "flip_coin", "yes", "no", "maybe",
}  # fmt: skip

pytestmark = pytest.mark.skipif(not CORPORA.is_dir(), reason="../shared/real is not there")


class Shares:
    """Of a set of posts, which part has each intent (a post may have several) or none."""

    def __init__(self, name: str, texts: Sequence[str], language: str) -> None:
        found: Counter[str] = Counter()
        for text in texts:
            intents: set[str] = {
                reading.intent
                for reading in CUES.read(Plain.of(None, text), language)
                if reading.score >= THRESHOLDS[reading.intent]
            }
            found.update(intents or {"nothing"})
            found["help"] += bool(intents & {"question", "complaint", "bug", "risk"})
            found["trouble"] += bool(intents & {"complaint", "bug", "risk"})
        self._found, self._size = found, len(texts)
        listed = ", ".join(f"{k} {v / len(texts):.3f}" for k, v in found.most_common())
        print(f"\n{name} ({len(texts)}): {listed}")

    def __getitem__(self, intent: str) -> float:
        return self._found[intent] / self._size


def banking(belongs: Callable[[str], bool]) -> list[str]:
    with (CORPORA / "banking77/banking_data/test.csv").open(encoding="utf-8") as file:
        return [row["text"] for row in csv.DictReader(file) if belongs(row["category"])]


def tweets(language: str, label: str) -> list[str]:
    folder = CORPORA / "xlm-t-sentiment" / language
    texts = (folder / "test_text.txt").read_text("utf-8").splitlines()
    labels = (folder / "test_labels.txt").read_text("utf-8").split()
    return [text for text, given in zip(texts, labels, strict=True) if given == label]


def test_most_customers_who_write_to_their_bank_are_heard() -> None:
    heard = Shares("banking77", banking(lambda _: True), "en")
    assert heard["help"] > 0.65
    assert heard["praise"] + heard["idea"] + heard["lead"] < 0.02
    trouble = Shares("banking77 trouble", banking(lambda c: any(t in c for t in TROUBLE)), "en")
    asking = Shares("banking77 the rest", banking(lambda c: not any(t in c for t in TROUBLE)), "en")
    assert trouble["trouble"] > asking["trouble"]


def test_small_talk_bothers_few() -> None:
    said = json.loads((CORPORA / "clinc150-small/data/data_small.json").read_text("utf-8"))
    small_talk = [text for text, intent in said["test"] if intent in SMALL_TALK]
    assert Shares("clinc150 small talk", small_talk, "en")["nothing"] > 0.85


@pytest.mark.parametrize("language", ["en", "nl", "sv", "de", "fi"])
def test_news_bothers_few(language: str) -> None:
    file = CORPORA / "lingua-langid" / "sentences" / f"{language}.txt"
    sentences = file.read_text("utf-8").splitlines()[500:]
    assert Shares(f"news {language}", sentences, language)["nothing"] > 0.94
    assert Shares(f"news {language} as und", sentences, "und")["nothing"] > 0.93


@pytest.mark.parametrize(("name", "language"), [("english", "en"), ("german", "de")])
def test_feelings_are_not_turned_around(name: str, language: str) -> None:
    bad = Shares(f"tweets {language} negative", tweets(name, "0"), language)
    good = Shares(f"tweets {language} positive", tweets(name, "2"), language)
    assert bad["praise"] < 0.02
    assert good["complaint"] < 0.02
    assert bad["complaint"] > good["complaint"]
    assert good["praise"] > bad["praise"]


def test_political_quarrel_bothers_few() -> None:
    lines = (CORPORA / "germeval2018-de/germeval2018.training.txt").read_text("utf-8").splitlines()
    texts = [line.split("\t")[0] for line in lines if line.strip()][2500:]
    assert Shares("germeval de", texts, "de")["nothing"] > 0.85
