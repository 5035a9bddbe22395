"""The routing file: for whom a post is, and what is said of a file that is wrong."""

from datetime import UTC, datetime, timedelta
from importlib.resources import files

import pytest

from klankbord_routing.intent import shipped_cues
from klankbord_routing.plain import Plain
from klankbord_routing.rules import Rules, parse_rules
from klankbord_runtime.accepted import Refused
from klankbord_schemas import Post, PostReceived, post_identity

SHIPPED = files("klankbord_routing").joinpath("routing.yaml").read_bytes()
CUES = shipped_cues()
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def heard(
    content: str, language: str = "en", source: str = "forum", **more: object
) -> PostReceived:
    post = Post(
        community="acme",
        source=source,
        platform="forum.example.org",
        post=post_identity("acme", "forum.example.org", "1"),
        native_id="1",
        operation="create",
        published=NOON,
        published_trust="attested",
        content=content,
        language=language,
    ).model_copy(update=more)
    return PostReceived.of(post, 1, NOON + timedelta(minutes=5))


def assigned(rules: Rules, event: PostReceived) -> list[tuple[str, str, str]]:
    plain = Plain.of(event.data.name, event.data.content)
    readings = CUES.read(plain, event.data.language)
    return [(a.department, a.intent, a.priority) for a in rules.assign(event, plain, readings)]


def file(rules: str, more: str = "") -> Rules:
    return parse_rules(
        f"departments: {{product: Product, sales: Sales}}\n{more}rules:\n{rules}".encode()
    )


RULE = "  - {name: n, explain: e, to: product, priority: low, answer_within: 1d"
ALL_TO_PRODUCT = "  - {name: all, explain: all, to: product, priority: low, answer_within: 2d}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The app crashes when I save", [("product", "bug", "medium")]),
        ("It would be nice if there were a dark mode", [("product", "idea", "low")]),
        ("How do I change my password?", [("support", "question", "medium")]),
        ("Disappointed, no response for a week", [("support", "complaint", "medium")]),
        ("Waste of money, I want a refund", [("support", "complaint", "high")]),
        ("Great work, love the new editor", [("marketing", "praise", "low")]),
        ("Please send us a quote for our company", [("sales", "lead", "high")]),
        ("My lawyer will call about this data breach", [("management", "risk", "critical")]),
        ("I can't log in since the update", [("product", "bug", "high")]),
        ("Good morning all, I baked bread today", []),
        ("Who is coming on Friday?", []),
    ],
)
def test_the_shipped_file_carries_posts_to_the_department_that_can_act(
    text: str, expected: list[tuple[str, str, str]]
) -> None:
    assert assigned(parse_rules(SHIPPED), heard(text)) == expected


def test_a_second_intent_adds_a_department_where_its_rule_says_also() -> None:
    text = "We want to buy more licenses for our team, but the importer crashes: error message 500"
    found = assigned(parse_rules(SHIPPED), heard(text))
    assert {department for department, _, _ in found} == {"sales", "product"}


def test_a_second_intent_adds_nothing_otherwise() -> None:
    text = "How do I change my password? Great work by the way"
    assert {d for d, _, _ in assigned(parse_rules(SHIPPED), heard(text))} == {"support"}


def test_a_department_has_a_post_once_for_its_strongest_intent() -> None:
    text = "The app crashes, not working since the update. It would be nice if it said why"
    assert assigned(parse_rules(SHIPPED), heard(text)) == [("product", "bug", "medium")]


def test_the_first_rule_that_fits_decides() -> None:
    bugs = f"{RULE}, when: {{intents: [bug]}}}}\n"
    rules = bugs.replace("to: product", "to: sales") + bugs.replace("name: n", "name: m")
    assert assigned(file(rules), heard("crash")) == [("sales", "bug", "low")]


@pytest.mark.parametrize(
    ("when", "event", "fits"),
    [
        ("{languages: [de]}", heard("crash", "de-AT"), True),
        ("{languages: [de]}", heard("crash", "en"), False),
        ("{languages: [und]}", heard("crash", "und"), True),
        ("{sources: [chat]}", heard("crash", source="chat"), True),
        ("{sources: [chat]}", heard("crash"), False),
        ("{communities: [acme]}", heard("crash"), True),
        ("{communities: [other]}", heard("crash"), False),
        ("{terms: [importer, invoice*]}", heard("crash of the Invoices page"), True),
        ("{terms: [importer]}", heard("crash of the Invoices page"), False),
        ("{min_score: 0.6}", heard("crash"), False),
        ("{min_score: 0.6}", heard("crash, it throws an error"), True),
    ],
)
def test_a_rule_fits_what_it_asks(when: str, event: PostReceived, fits: bool) -> None:
    rule = (
        f"  - {{name: n, explain: e, when: {when}, to: product, priority: low, answer_within: 1d}}"
    )
    assert bool(assigned(file(rule), event)) == fits


def test_several_departments_and_the_due_time_counted_from_the_post() -> None:
    rules = file(
        "  - {name: n, explain: why, to: [product, sales], priority: high, answer_within: 4h}\n"
    )
    event = heard("crash")
    plain = Plain.of(None, "crash")
    both = rules.assign(event, plain, CUES.read(plain, "en"))
    assert [one.department for one in both] == ["product", "sales"]
    assert {one.due_at for one in both} == {NOON + timedelta(hours=4)}
    assert [(r.rule, r.text, r.weight) for r in both[0].reasons] == [
        ("malfunction", "crash", 2),
        ("n", "why", 0),
    ]


def test_a_claimed_time_of_writing_does_not_move_the_due_time() -> None:
    event = heard("crash", published_trust="claimed", published=NOON - timedelta(days=400))
    plain = Plain.of(None, "crash")
    (one,) = file(ALL_TO_PRODUCT).assign(event, plain, CUES.read(plain, "en"))
    assert one.due_at == event.recordedtime + timedelta(days=2)


def test_an_intent_below_its_threshold_goes_nowhere() -> None:
    assert assigned(file(ALL_TO_PRODUCT, "thresholds: {bug: 0.7}\n"), heard("crash")) == []


def test_what_was_old_when_it_was_heard_is_history_if_the_file_says_so() -> None:
    old = heard("crash", published=NOON - timedelta(days=20))
    edited = heard("crash", published=NOON - timedelta(days=20), updated=NOON)
    assert not file(ALL_TO_PRODUCT).is_history(old)
    assert not file(ALL_TO_PRODUCT, "ignore_older_than: off\n").is_history(old)
    rules = file(ALL_TO_PRODUCT, "ignore_older_than: 14d\n")
    assert rules.is_history(old)
    assert not rules.is_history(edited)


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        (
            RULE.replace("product", "prodcut") + "}",
            (
                "line 3: rules[0].to: 'prodcut' is no department of this file; "
                "add it under departments, or write one of product, sales"
            ),
        ),
        (
            RULE.replace("low", "lwo") + "}",
            (
                "line 3: rules[0].priority: 'lwo' is none of critical, high, medium, low; "
                "did you mean low?"
            ),
        ),
        (
            RULE.replace("1d", "soon") + "}",
            (
                "line 3: rules[0].answer_within: 'soon' is no length of time from 1s "
                "to 5000w; write one such as 90s, 15m, 6h, 2d or 1w"
            ),
        ),
        (RULE + ", wehn: {}}", "line 3: rules[0].wehn: is not known here; did you mean when?"),
        (
            RULE + ", when: {intents: [bugs]}}",
            (
                "line 3: rules[0].when.intents[0]: 'bugs' is none of bug, idea, question, "
                "complaint, praise, lead, risk; did you mean bug?"
            ),
        ),
        (
            RULE + ", when: {min_score: 2}}",
            "line 3: rules[0].when.min_score: 2 should be less than or equal to 1",
        ),
        (
            f"{RULE}, when: {{intents: [bug]}}}}\n{RULE}}}",
            "line 4: rules[1].name: 'n' names two rules; give one another name",
        ),
        (
            f"{RULE}}}\n{RULE.replace('name: n', 'name: m')}}}",
            (
                "line 4: rules[1].name: no post gets here, because 'n' above takes all; "
                "move it up, or give 'n' a `when`"
            ),
        ),
    ],
)
def test_a_wrong_file_is_refused_with_line_place_and_fix(rules: str, problem: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_rules(f"departments: {{product: P, sales: S}}\nrules:\n{rules}\n".encode())
    assert str(refused.value) == problem


def test_all_problems_of_a_file_are_told_at_once() -> None:
    rule = RULE.replace("product", "nobody")
    two = f"{rule}, when: {{intents: [bug]}}}}\n{rule.replace('name: n', 'name: m')}}}\n"
    with pytest.raises(Refused) as refused:
        parse_rules(f"departments: {{product: P}}\nrules:\n{two}".encode())
    assert [problem.line for problem in refused.value.problems] == [3, 4]
