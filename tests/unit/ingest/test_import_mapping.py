"""Anybody's table becomes posts by a mapping; what is wrong with one is said with its line."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from klankbord_ingest.imports.csv import HeaderError, read_csv
from klankbord_ingest.imports.formats import Circumstances, UnknownFormatError, detect, open_rows
from klankbord_ingest.imports.mapping import ImportMapping, read_mapping
from klankbord_ingest.imports.ndjson import read_ndjson
from klankbord_ingest.imports.row import Refusal, Row
from klankbord_ingest.submission import InteractionSubmission, PostSubmission
from klankbord_runtime.refused import Refused

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
PAGE = Path(__file__).parents[3] / "docs" / "sources" / "import.md"

DISCOURSE = """\
topic_id,post_number,reply_to_post_number,user_id,username,name,raw,cooked,created_at,edited_at,post_type,hidden,archetype,title,category,read_restricted
9,1,,5,ada,Ada L.,"How do I
export?",<p>How do I<br>export?</p>,2026-03-01 10:00:00.123,,1,f,regular,Export,help,f
9,2,,6,bo,,"[quote=""ada, post:1, topic:9""]
How do I
[/quote]
Like this.",<p>Like this.</p>,2026-03-01 10:05:00,2026-03-01 11:00:00.5,1,f,regular,,help,f
9,3,2,5,ada,Ada L.,Thanks!,<p>Thanks!</p>,2026-03-01 12:00:00,,1,f,regular,,help,f
9,4,,1,system,,closed,,2026-03-02 10:00:00,,3,f,regular,,help,f
10,1,,5,ada,Ada L.,psst,<p>psst</p>,2026-03-02 10:00:00,,1,f,private_message,Secret,,
"""

PHPBB = """\
"post_id";"topic_id";"topic_first_post_id";"poster_id";"username";"post_time";"post_edit_time";"post_subject";"post_text";"post_visibility";"forum_name"
"7";"3";"7";"2";"ada";"1772359200";"0";"Broken";"<t>It &amp; that hang.</t>";"1";"Help"
"8";"3";"7";"4";"bo";"1772359260";"1772359300";"Re: Broken";"<r><QUOTE author=""ada""><s>[quote=""ada""]</s>It hangs.<e>[/quote]</e></QUOTE>Try <B><s>[b]</s>this<e>[/b]</e></B>.</r>";"1";"Help"
"9";"3";"7";"4";"bo";"1772359270";"0";"Re: Broken";"[quote=&quot;ada&quot;:1a2b]x[/quote:1a2b] [b:1a2b]Or[/b:1a2b] a[i]";"1";"Help"
"10";"3";"7";"4";"bo";"1772359280";"0";"Re: Broken";"spam";"0";"Help"
"""  # noqa: E501


def mapping(text: str) -> ImportMapping:
    return read_mapping(text.encode())


def shipped(name: str) -> ImportMapping:
    """A mapping as the page has it."""
    found = re.search(rf"```yaml\n(# {name}\n.*?)```", PAGE.read_text(), re.S)
    assert found is not None
    return mapping(found[1])


def rows(tmp_path: Path, body: str, given: ImportMapping) -> list[Row]:
    file = tmp_path / "rows.csv"
    file.write_text(body)
    return list(read_csv(file, AMSTERDAM, given))


def posts(found: list[Row]) -> list[PostSubmission]:
    return [row.content for row in found if isinstance(row.content, PostSubmission)]


def codes(found: list[Row]) -> list[str]:
    return [row.content.code for row in found if isinstance(row.content, Refusal)]


def test_a_dump_of_discourse(tmp_path: Path) -> None:
    found = rows(tmp_path, DISCOURSE, shipped("discourse.yaml"))
    opening, answer, thanks = posts(found)
    assert codes(found) == ["left_out", "left_out"]
    assert (opening.native_id, opening.context, opening.in_reply_to) == ("9/1", "9", None)
    assert (opening.name, opening.content, opening.tag) == ("Export", "How do I\nexport?", ["help"])
    assert opening.published == datetime(2026, 3, 1, 10, 0, 0, 123000, UTC)
    assert opening.attributed_to is not None
    assert (opening.attributed_to.id, opening.attributed_to.name) == ("5", "Ada L.")
    assert (answer.native_id, answer.in_reply_to, answer.operation) == ("9/2", "9/1", "update")
    assert answer.content == "Like this."
    assert answer.updated == datetime(2026, 3, 1, 11, 0, 0, 500000, UTC)
    assert (thanks.in_reply_to, thanks.name) == ("9/2", None)


def test_a_dump_of_phpbb(tmp_path: Path) -> None:
    found = rows(tmp_path, PHPBB, shipped("phpbb.yaml"))
    opening, new, old = posts(found)
    assert codes(found) == ["left_out"]
    assert (opening.native_id, opening.context, opening.in_reply_to) == ("7", "3", None)
    assert opening.content == "It & that hang."
    assert opening.published == datetime.fromtimestamp(1772359200, UTC)
    assert opening.updated is None
    assert (new.in_reply_to, new.content, new.operation) == ("7", "Try this.", "update")
    assert old.content == "Or a"
    assert old.url == "https://forum.example.org/viewtopic.php?p=9#p9"


def test_lines_of_json_are_mapped_too(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    row = {"n": 7, "at": 1772359200000, "by": {"id": 3, "tags": ["a", "b"]}, "odd": {"x": 1}}
    file.write_text(json.dumps(row) + '\n{"n": null, "at": 0}\n[1]\n')
    given = mapping(
        "times: unix_ms\nfields: {nativeId: 'x-{n}', published: '{at}', attributedTo: '{by.id}', "
        "tag: '{by.tags}', content: '{odd}', isAutomated: true}"
    )
    first, second, third = read_ndjson(file, UTC, given)
    assert isinstance(first.content, PostSubmission)
    assert first.content.native_id == "x-7"
    assert first.content.tag == ["a", "b"]
    assert first.content.content == '{"x": 1}'
    assert first.content.is_automated
    assert codes([second, third]) == ["missing_nativeId", "no_object"]
    assert detect(file, is_mapped=True) == "ndjson"


def test_a_row_may_be_an_interaction(tmp_path: Path) -> None:
    given = mapping(
        "times: '%d-%m-%Y %H:%M'\ntime_zone: Europe/London\n"
        "fields: {kind: like, object: '{p}', published: '{t}', attributedTo: '{u}'}"
    )
    (row,) = rows(tmp_path, "p\tt\tu\n1\t01-07-2026 10:00\t5\n", given)
    assert isinstance(row.content, InteractionSubmission)
    assert row.content.published == datetime(2026, 7, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize("moment", ["soon", "1e400", "99999999999999", "nan"])
def test_a_time_that_is_none_is_refused(tmp_path: Path, moment: str) -> None:
    given = mapping("times: unix\nfields: {nativeId: '{n}', published: '{t}'}")
    refused = rows(tmp_path, f"n,t\n1,{moment}\n", given)
    assert codes(refused) == ["no_moment"]
    assert isinstance(refused[0].content, Refusal)
    assert refused[0].content.row == {"n": "1", "t": moment}  # to be put right there


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("fields:\n  nativeId: '{a}'\n  contents: '{b}'", 3, "did you mean content?"),
        ("fields:\n  content: '{a}'", 1, "nativeId is missing"),
        ("fields:\n  nativeId: '{a'", 2, "brace"),
        ("fields:\n  nativeId: 'a{}'", 2, "brace"),
        ("times: yesterday\nfields:\n  nativeId: '{a}'", 1, "no format of times"),
        ("times: '%Q'\nfields:\n  nativeId: '{a}'", 1, "no format of times"),
        ("time_zone: Amsterdam\nfields:\n  nativeId: '{a}'", 1, "did you mean Europe/Amsterdam?"),
        ("fields:\n  nativeId: '{a}'\ndelimiter: ;", 3, "delimiter"),
        ("markup: html\nfields:\n  nativeId: '{a}'", 1, "bbcode"),
        ("{}", 1, "fields"),
    ],
)
def test_what_is_wrong_with_a_mapping_is_said_with_its_line(
    text: str, line: int, told: str
) -> None:
    with pytest.raises(Refused) as refused:
        mapping(text)
    assert told in str(refused.value)
    assert refused.value.problems[0].line == line


def test_a_column_that_there_is_not_is_named(tmp_path: Path) -> None:
    given = mapping("only: {d: 1}\nfields: {nativeId: '{a}{c}'}")
    with pytest.raises(HeaderError, match=r"the column c, d, and the first line does not: 'a;b'"):
        rows(tmp_path, "a;b\n1;2\n", given)


def test_other_formats_need_no_mapping(tmp_path: Path) -> None:
    around = Circumstances(UTC, datetime.now(UTC), mapping=shipped("phpbb.yaml"))
    with pytest.raises(UnknownFormatError, match="needs no mapping"):
        open_rows(tmp_path, "mbox", around)


def test_quotes_within_quotes_and_those_that_never_end(tmp_path: Path) -> None:
    given = mapping(
        "markup: markdown\nfields: {nativeId: '{n}', published: '2026-01-01', content: '{c}'}"
    )
    said = "a [quote]b [quote=x]c[/quote] d[/quote] e [quote]f"
    (post,) = posts(rows(tmp_path, f"n,c\n1,{said}\n", given))
    assert post.content == "a  e [quote]f"
