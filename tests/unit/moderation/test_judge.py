"""A label says which rule, which words, and why; the gravest that acts comes first."""

from datetime import UTC, datetime

from klankbord_moderation.flood import Sightings
from klankbord_moderation.judge import EVIDENCE_CHARACTERS, Judge
from klankbord_schemas import Label, Post, PostReceived, post_identity

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = b"""
rules:
  - id: watch
    label: doxxing
    severity: critical
    mode: shadow
    explanation: Watch.
    terms: [secret]
  - id: mild
    label: spam
    severity: low
    mode: live
    explanation: Mild.
    terms: [lamps, buy]
  - id: grave
    label: scam
    severity: high
    mode: live
    explanation: Grave.
    terms: [free money]
  - id: dutch
    label: spam
    severity: low
    mode: live
    explanation: Nederlands.
    terms: [lamps]
    languages: [nl]
  - id: long
    label: spam
    severity: low
    mode: shadow
    explanation: Long.
    patterns: ['x{150}x{100}']
"""


def labels(content: str, **more: object) -> list[Label]:
    post = {
        "community": "acme", "source": "forum", "platform": "forum", "native_id": "1",
        "post": post_identity("acme", "forum", "1"), "operation": "create", "published": NOON,
        "published_trust": "attested", "content": content, "language": "en",
    }  # fmt: skip
    event = PostReceived.of(Post.model_validate({**post, **more}), 1, NOON)
    judge = Judge.read(POLICY)
    return judge.labels(judge.hear(event), Sightings())


def test_labels_that_act_come_first_and_then_the_gravest() -> None:
    given = labels("A secret: lamps for free money")
    assert [label.rule for label in given] == ["grave", "mild", "watch"]


def test_a_label_carries_its_rule_and_every_word_that_it_rests_on() -> None:
    (label,) = labels("Buy LAMPS", name="Lamps!")
    assert (label.val, label.rule, label.explanation) == ("spam", "mild", "Mild.")
    assert [(e.field, e.start, e.end, e.text) for e in label.evidence] == [
        ("name", 0, 5, "Lamps"),
        ("content", 0, 3, "Buy"),
        ("content", 4, 9, "LAMPS"),
    ]


def test_evidence_shows_its_beginning_and_tells_where_it_ends() -> None:
    (label,) = labels("x" * 260)
    (evidence,) = label.evidence
    assert (evidence.start, evidence.end) == (0, 250)
    assert evidence.text == "x" * EVIDENCE_CHARACTERS


def test_a_rule_for_a_language_leaves_others_alone() -> None:
    assert [label.rule for label in labels("lamps", language="nl-NL")] == ["dutch", "mild"]
    assert [label.rule for label in labels("lamps", language="und")] == ["mild"]


def test_a_delete_has_nothing_to_judge() -> None:
    assert labels("buy lamps", operation="delete") == []
