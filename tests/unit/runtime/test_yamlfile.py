import time
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel, field_validator
from pydantic import model_validator as check_model

from klankbord_runtime.accepted import Problem, Refused
from klankbord_runtime.yamlfile import MAX_BYTES, MAX_DEPTH, MAX_PROBLEMS, read_yaml

Severity = Literal["low", "medium", "high", "critical"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Terms(Strict):
    kind: Literal["terms"]
    terms: list[str]
    severity: Severity = "low"


class Pattern(Strict):
    kind: Literal["pattern"]
    pattern: str
    severity: Severity = "low"


class Sound(StrEnum):
    LOUD = "loud"
    SOFT = "soft"


class Policy(Strict):
    rules: list[Annotated[Terms | Pattern, Field(discriminator="kind")]] = []
    languages: list[str] = []
    opens: str = "09:00"
    limit: int = Field(default=3, ge=0)
    share: float = 0.5
    active: bool = True
    sound: Sound = Sound.SOFT
    by_name: dict[str, Terms] = {}
    words: str | list[str] = ""
    per_sound: dict[Sound, int] = {}
    time_zone: str = Field(default="UTC", alias="timeZone")

    @field_validator("opens")
    @classmethod
    def _is_a_time(cls, opens: str) -> str:
        if ":" not in opens:
            raise ValueError(f"{opens!r} is no time of day; write it as 09:00")
        return opens

    @check_model(mode="after")
    def _loud_needs_rules(self) -> "Policy":
        if self.sound is Sound.LOUD and not self.rules:
            raise ValueError("sound is loud but there are no rules; add one")
        return self


class Anything(RootModel[JsonValue]):
    pass


def refusal(text: str | bytes, model: type[BaseModel] = Policy) -> Refused:
    with pytest.raises(Refused) as caught:
        read_yaml(text if isinstance(text, bytes) else text.encode(), model)
    return caught.value


def test_a_valid_file_becomes_the_model() -> None:
    body = b"""\
# what we look for
rules:
  - kind: terms
    terms: [free money, "100% sure"]
    severity: high
timeZone: Europe/Amsterdam
"""
    policy = read_yaml(body, Policy)
    assert policy.rules == [Terms(kind="terms", terms=["free money", "100% sure"], severity="high")]
    assert policy.time_zone == "Europe/Amsterdam"


@pytest.mark.parametrize(
    ("text", "wrong", "fix"),
    [
        (
            "rules:\n- kind: terms\n  terms: []\n  severity: hgh\n",
            "line 4: rules[0].severity: 'hgh' is none of low, medium, high, critical",
            "did you mean high?",
        ),
        (
            "rules:\n- kind: terms\n  terms: []\n  severity: zzz\n",
            "line 4: rules[0].severity: 'zzz' is none of low, medium, high, critical",
            "choose one of them",
        ),
        ("rules:\n- kind: terms\n", "line 2: rules[0].terms: is missing", "add it"),
        ("rules:\n- limit: 1\n", "line 2: rules[0].kind: is missing", "add it"),
        ("rules:\n- {}\n", "line 2: rules[0].kind: is missing", "add it"),
        (
            "rules:\n- kind: patern\n",
            "line 2: rules[0].kind: 'patern' is none of terms, pattern",
            "did you mean pattern?",
        ),
        ("sound: laud\n", "line 1: sound: 'laud' is none of loud, soft", "did you mean loud?"),
        (
            "per_sound:\n  soft: 1\n  lout: 2\n",
            "line 3: per_sound.lout: 'lout' is none of loud, soft",
            "did you mean loud?",
        ),
        (
            "limit: 1\n\nlanguagse: []\n",
            "line 3: languagse: is not known here",
            "did you mean languages?",
        ),
        ("timezone: UTC\n", "line 1: timezone: is not known here", "did you mean timeZone?"),
        (
            "rules:\n- kind: terms\n  terms: []\n  zork: 1\n",
            "line 4: rules[0].zork: is not known here",
            "take it out; known here: kind, terms, severity",
        ),
        (
            "by_name:\n  a:\n    term: []\n    kind: terms\n    terms: []\n",
            "line 3: by_name.a.term: is not known here",
            "did you mean terms?",
        ),
        ("opens: noon\n", "line 1: opens: 'noon' is no time of day", "write it as 09:00"),
        ("limit: 1\nsound: loud\n", "line 1: sound is loud but there are no rules", "add one"),
        ("languages: [nl, 2024]\n", "line 1: languages[1]: 2024 is not text", "put it in quotes"),
        ("opens: [a]\n", "line 1: opens: a list is not text", "write one value"),
        (
            "languages: nl\n",
            "line 1: languages: 'nl' is not a list",
            "write `- ` before each item, or [a, b]",
        ),
        ("- a\n- b\n", "line 1: a list is not a mapping", "write `name: value` lines under it"),
        ("limit: many\n", "line 1: limit: 'many' is not a whole number", "write digits only"),
        ("limit: 2.5\n", "line 1: limit: 2.5 is not a whole number", "write digits only"),
        (
            "share: half\n",
            "line 1: share: 'half' is not a number",
            "write digits, with a point where it has a fraction",
        ),
        ("active: maybe\n", "line 1: active: 'maybe' is not yes or no", "write true or false"),
        (
            "rules:\nactive: true\n",
            "line 1: rules: nothing is written here",
            "write a value, or take the line out",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_line_place_and_fix(text: str, wrong: str, fix: str) -> None:
    assert str(refusal(text)) == f"{wrong}; {fix}"


def test_a_bound_says_what_the_value_should_be() -> None:
    assert str(refusal("limit: -1\n")) == "line 1: limit: -1 should be greater than or equal to 0"


def test_a_union_of_plain_types_complains_at_its_own_place() -> None:
    refused = refusal("limit: 1\nwords: {a: 1}\n")
    assert {(problem.line, problem.place) for problem in refused.problems} == {(2, "words")}


def test_a_name_that_is_also_a_branch_of_the_union_is_not_taken_for_the_place() -> None:
    (problem,) = refusal("rules:\n- kind: terms\n  terms: []\n  severty: low\n").problems
    assert (problem.line, problem.place) == (4, "rules[0].severty")


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    refused = refusal("limit: -1\nzork: 1\nrules:\n- kind: terms\nopens: noon\n")
    assert [problem.line for problem in refused.problems] == [1, 2, 4, 5]


def test_very_many_problems_are_counted_and_not_all_told() -> None:
    text = "".join(f"name{number}: 1\n" for number in range(3 * MAX_PROBLEMS))
    refused = refusal(text)
    assert len(refused.problems) == MAX_PROBLEMS + 1
    assert str(refused.problems[-1]) == "there are 200 more problems; put these right first"


def test_a_key_said_twice_is_refused_with_both_lines() -> None:
    refused = refusal("limit: 1\nactive: true\nlimit: 2\nrules:\n- kind: terms\n  kind: pattern\n")
    assert str(refused) == (
        "line 3: limit: this stands on line 1 already; keep one of the two\n"
        "line 6: rules[0].kind: this stands on line 5 already; keep one of the two"
    )


@pytest.mark.parametrize(
    ("body", "line", "word"),
    [
        (b"", None, "empty"),
        (b"# nothing but a comment\n\n", None, "empty"),
        (b"limit: 1\nopens: \xff\n", 2, "UTF-8"),
        ("limit: 1\n".encode("utf-16"), 1, "UTF-8"),
        (b"limit: 1\n\topens: x\n", 2, "tab"),
        (b"rules:\n\t- kind: terms\n", 2, "tab"),
        (b"limit: 1\nopens: a\x07b\n", 2, "U+0007"),
        (b"limit: 1\nopens: a\x00b\n", 2, "U+0000"),
        (b'limit: 1\nopens: "a\\0b"\n', 2, "U+0000"),
        (b'opens: "\\ud800"\n', 1, "Unicode"),
        (b"limit: 1\n---\nlimit: 2\n", 2, "second document"),
        (b"opens: a: b\n", 1, "colon"),
        (b"limit: 1\nopens: 'x\nrules: []\n", 3, "begins on line 2"),
        (b"languages: [nl,\nlimit: 1\n", 2, "begins on line 1"),
        (b"opens: @home\n", 1, "quotes"),
        (b'opens: "\\d+"\n', 1, "single quotes"),
        (b"limit: 1\n? [a]\n: 3\n", 2, "name: value"),
        (b"limit: 1\nopens: !!python/object/apply:os.system [ls]\n", 2, "tag"),
        (b"limit: 1\nwords: &all [a]\n", 2, "anchor"),
        (b"limit: 1\nwords: *all\n", 2, "alias"),
        (b"[" * 100_000, 1, f"{MAX_DEPTH} levels"),
        (b"- " * 100_000, 1, f"{MAX_DEPTH} levels"),
        (b"limit: 1\n" + b"#" * MAX_BYTES, None, f"{MAX_BYTES}"),
    ],
)
def test_what_is_no_plain_yaml_is_told_with_its_line(
    body: bytes, line: int | None, word: str
) -> None:
    (problem,) = refusal(body).problems
    assert problem.line == line
    assert word in str(problem)
    assert problem.fix, "it says what to do"


def test_a_billion_laughs_are_refused_before_they_grow() -> None:
    laughs = "a: &a [ha, ha]\n" + "".join(
        f"{name}: &{name} [*{before}, *{before}]\n"
        for before, name in zip("abcdefghijklmno", "bcdefghijklmnop", strict=True)
    )
    began = time.process_time()
    refusal(laughs)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("17:30", "17:30"),
        ("2026-11-01", "2026-11-01"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("'true'", "true"),
        ("'12'", "12"),
        ("true", True),
        ("~", None),
        ("-7", -7),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_values_are_read_as_yaml_1_2_reads_them(text: str, value: object) -> None:
    assert read_yaml(f"x: {text}".encode(), Anything).root == {"x": value}


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert read_yaml(b"\xef\xbb\xbflimit: 7\n", Policy).limit == 7


def test_a_very_large_valid_file_is_read_in_seconds() -> None:
    body = b"languages:\n" + b"- xxxxxx\n" * (MAX_BYTES // 9 - 10)
    began = time.process_time()
    assert len(read_yaml(body, Policy).languages) > 100_000
    assert time.process_time() - began < 20


keys = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=10)
scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**63), max_value=2**63),
    keys,
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=10,
)


class WithoutAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def quote(self, text: str) -> yaml.ScalarNode:
        """PyYAML is of YAML 1.1, to which `0E0` is text: bare, it is a number to YAML 1.2."""
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"')


WithoutAliases.add_representer(str, WithoutAliases.quote)


@given(st.dictionaries(keys, documents, min_size=1, max_size=3))
def test_whatever_pyyaml_writes_is_read_as_it_was(document: dict[str, Any]) -> None:
    body = yaml.dump(document, Dumper=WithoutAliases, allow_unicode=True).encode()
    assert read_yaml(body, Anything).root == document


@given(st.binary(max_size=200) | st.text(alphabet="ab:-[]{}'\"|>&*!%@`#,? \n\t").map(str.encode))
def test_any_bytes_are_read_or_refused_with_a_problem(body: bytes) -> None:
    lines = body.count(b"\n") + 1
    for problem in problems(body):
        assert problem.wrong
        assert problem.line is None or 1 <= problem.line <= lines


def problems(body: bytes) -> tuple[Problem, ...]:
    try:
        read_yaml(body, Anything)
    except Refused as refused:
        return refused.problems or pytest.fail("refused without a problem")
    return ()
