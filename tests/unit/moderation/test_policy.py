"""A policy is checked in full when it is read: every complaint has its line and what to do."""

from datetime import timedelta
from importlib.resources import files

import pytest

from klankbord_moderation.judge import Judge
from klankbord_moderation.policy import MAX_PATTERNS, parse_policy
from klankbord_runtime.refused import Refused

RULE = """\
rules:
  - id: free-money
    label: scam
    severity: high
    mode: live
    explanation: Promises free money.
    terms: [free money]
"""
REPEAT = """\
repeats:
  - id: again
    label: spam
    severity: low
    mode: live
    explanation: Said again.
    by: author
    count: 3
    window: 1h
"""
LINK = """\
links:
  - id: links
    label: link-flood
    severity: low
    mode: shadow
    explanation: Many links.
    same: domain
    count: 3
    window: 10m
    allowed_domains: [WWW.Example.org]
"""


def refusal(text: str) -> str:
    with pytest.raises(Refused) as refused:
        parse_policy(text.encode())
    return str(refused.value)


def test_a_policy_says_what_it_means() -> None:
    policy = parse_policy((RULE + REPEAT + LINK).encode())
    assert policy.rules[0].terms == ("free money",)
    assert policy.repeats[0].window == timedelta(hours=1)
    assert policy.links[0].counts("example.com")
    assert not policy.links[0].counts("docs.example.org")


def test_the_shipped_policy_is_valid_and_can_be_applied() -> None:
    body = files("klankbord_moderation").joinpath("policy.yaml").read_bytes()
    policy = parse_policy(body)
    assert {"en", "nl", "sv", "de", "fi"} <= {code for r in policy.rules for code in r.languages}
    assert all(rule.mode == "shadow" for rule in policy.rules if rule.label == "doxxing")
    assert Judge.read(body).longest_window == timedelta(hours=24)


@pytest.mark.parametrize(
    ("line", "instead", "complaint"),
    [
        ("severity: high", "severity: hgh",
         "line 4: rules[0].severity: 'hgh' is none of low, medium, high, critical; did"),
        ("id: free-money", "id: Free money",
         "line 2: rules[0].id: 'Free money' is no name; write small letters, digits and hyphens"),
        ("mode: live", "mode: on", "line 5: rules[0].mode: 'on' is none of live, shadow"),
        ("mode: live", "modus: live", "line 5: rules[0].modus: is not known here; did"),
        ("explanation: Promises free money.", "explanation: ' '",
         "line 6: rules[0].explanation: says nothing; write in a sentence"),
        ("terms: [free money]", "terms: [ok, '*']",
         "line 7: rules[0].terms[1]: nothing is left of '*' to look for; write a word"),
        ("terms: [free money]", 'terms: ["\\u200b"]', "line 7: rules[0].terms[0]: nothing is"),
        ("terms: [free money]", "terms: [fr*e]",
         "line 7: rules[0].terms[0]: 'fr*e' has a * before its end; write the beginning alone"),
        ("terms: [free money]", "terms: [2024]",
         "line 7: rules[0].terms[0]: 2024 is not text; put it in quotes"),
        ("terms: [free money]", "languages: [nl]",
         "line 2: rules[0]: has neither terms nor patterns; add what the rule should find"),
        ("terms: [free money]", "patterns: ['ok', 'gratis (geld']",
         "line 7: rules[0].patterns[1]: 'gratis (geld' is no RE2 pattern: missing )"),
        ("terms: [free money]", "patterns: ['a(?=b)']",
         "invalid perl operator at character 2 ((?=); RE2 looks neither ahead nor behind"),
        ("terms: [free money]", "patterns: ['ab[']", "missing ] at character 3 ([); close"),
        ("terms: [free money]", "patterns: ['(a)\\1']", "escape sequence at character 4 (\\1)"),
        ("terms: [free money]", "patterns: ['a*']", "matches the empty text, so every"),
        ("terms: [free money]", f"patterns: ['{'a' * 501}']",
         "line 7: rules[0].patterns[0]: is 501 characters long; keep to 500"),
        ("terms: [free money]", "patterns: ['(\\pL{1,99}){1,9}(\\pL{1,99}){1,9}']",
         "too large - compile failed; shorten it, or repeat less"),
        ("terms: [free money]", "terms: [ok]\n    languages: [Dutch]",
         "line 8: rules[0].languages[0]: 'Dutch' is no language; write its code"),
    ],
)  # fmt: skip
def test_a_wrong_rule_is_refused_with_its_line_and_a_fix(
    line: str, instead: str, complaint: str
) -> None:
    assert complaint in refusal(RULE.replace(line, instead))


@pytest.mark.parametrize(
    ("file", "line", "instead", "complaint"),
    [
        (REPEAT, "window: 1h", "window: 1 hour",
         "line 9: repeats[0].window: '1 hour' is no length of time from 1s to 5000w; write one"),
        (REPEAT, "window: 1h", "window: 31d",
         "line 9: repeats[0].window: is longer than 30 days; write 30d or less"),
        (REPEAT, "count: 3", "count: 1", "line 8: repeats[0].count: 1 should be greater than"),
        (REPEAT, "by: author", "by: authors", "did you mean author?"),
        (LINK, "same: domain", "same: post",
         "line 2: links[0]: counts links in one post, where a window means nothing; take it out"),
        (LINK, "    window: 10m\n", "",
         "line 2: links[0]: counts posts, but has no window; add one, such as window: 1h"),
        (LINK, "[WWW.Example.org]", "['https://example.org']",
         "line 10: links[0].allowed_domains[0]: 'https://example.org' is no domain; write"),
    ],
)  # fmt: skip
def test_a_wrong_check_is_refused_with_its_line_and_a_fix(
    file: str, line: str, instead: str, complaint: str
) -> None:
    assert complaint in refusal(file.replace(line, instead))


def test_an_id_may_be_used_once_in_the_whole_file() -> None:
    assert refusal(RULE + REPEAT.replace("id: again", "id: free-money")) == (
        "line 9: repeats[0].id: 'free-money' is the id of rules[0] already; choose another"
    )


def test_every_mistake_is_told_at_once() -> None:
    told = refusal(
        RULE.replace("high", "hgh").replace("free-money", "A") + REPEAT.replace("3", "0")
    )
    assert [complaint.split(":")[0] for complaint in told.splitlines()] == [
        "line 2",
        "line 4",
        "line 15",
    ]


def test_too_many_patterns_are_refused() -> None:
    patterns = [f"word {number}" for number in range(MAX_PATTERNS + 1)]
    told = refusal(RULE.replace("terms: [free money]", f"patterns: {patterns}"))
    assert told == (
        "line 1: rules: has 201 patterns; keep to 200, and write literal words as terms, "
        "which cost nothing"
    )


def test_patterns_that_are_too_large_together_are_refused() -> None:
    patterns = [rf"\b[\pL]{{3,20}}\s+(?:\d{{2,5}}|[a-z]+x{{3,9}}){n}" for n in range(MAX_PATTERNS)]
    told = refusal(
        RULE.replace("terms: [free money]", f"patterns: {patterns}").replace("\\\\", "\\")
    )
    assert "patterns that are too large together; shorten them" in told


def test_a_pattern_that_makes_others_hang_is_harmless() -> None:
    policy = RULE.replace("terms: [free money]", "patterns: ['(a+)+$', '(a|a)*b']")
    judge = Judge.read(policy.encode())
    from klankbord_runtime.plain_text import fold

    assert judge._matcher.broken(fold("a" * 5000 + "!")) == {}


def test_a_rule_concerns_only_what_it_names() -> None:
    named = RULE + "    languages: [nl, und]\n    sources: [forum]\n    communities: [acme]\n"
    (rule,) = parse_policy(named.encode()).rules
    assert rule.concerns("acme", "forum", "nl-BE")
    assert rule.concerns("acme", "forum", "und")
    assert not rule.concerns("acme", "forum", "en")
    assert not rule.concerns("acme", "chat", "nl")
    assert not rule.concerns("other", "forum", "nl")
