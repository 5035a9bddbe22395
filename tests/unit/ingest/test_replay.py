"""`make replay` reads what a document says of itself, without running it, and compares."""

from pathlib import Path

import pytest
from scripts.replay.__main__ import files_of, main
from scripts.replay.expectations import Claim, expectation_of
from scripts.replay.feeds import compared
from scripts.replay.recordings import answers, pieces, streams
from scripts.replay.tally import Tally

from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.kind import Page, PostSubmission
from klankbord_ingest.submission import FieldError, InteractionSubmission


def document(line: str, item: str = "", header: str = "") -> bytes:
    comment = f"<!--\n{header}Description: one of ours\nExpect:      {line}\n-->"
    return f"{comment}<rss version='2.0'><channel><item>{item}</item></channel></rss>".encode()


@pytest.mark.parametrize(
    ("line", "claims"),
    [
        ("not bozo and entries[0]['title'] == 'A' + ' b'", [Claim(0, "title", "A b")]),
        (
            "entries[0]['link'] == entries[1]['link'] == 'http://e.org/'",
            [Claim(0, "link", "http://e.org/"), Claim(1, "link", "http://e.org/")],
        ),
        (
            "not bozo and (entries[0]['authors'][0]['name'] == 'Jo') and (entries[0]['id'] == '7')",
            [Claim(0, "author", "Jo"), Claim(0, "id", "7")],
        ),
        (
            "entries[0]['updated_parsed'] == (2004, 1, 1, 19, 48, 21, 3, 1, 0)",
            [Claim(0, "updated", (2004, 1, 1, 19, 48, 21, 3, 1, 0))],
        ),
        ("not bozo and feed['title'] == 'A'", []),
        ("len(entries[0]['links']) == 1", []),
        ("entries[0]['authors'][1]['name'] == 'Sam'", []),
        ("entries[0]['title'] != 'A'", []),
        ("entries[0]['title'] == __import__('os').getcwd()", []),
        ("entries[0]['title' == ", []),
    ],
)
def test_an_expectation_is_read_out_of_its_syntax_alone(line: str, claims: list[Claim]) -> None:
    expectation = expectation_of(document(line))
    assert expectation is not None
    assert list(expectation.claims) == claims


def test_what_a_document_says_of_itself_is_found_in_every_encoding() -> None:
    said = document("bozo", header="Header: Content-Location: http://e.org/\n")
    for encoding in ("utf-8", "utf-16", "utf-16-le", "utf-32", "utf-32-be"):
        expectation = expectation_of(said.decode().encode(encoding))
        assert expectation is not None
        assert not expectation.is_well_formed
        assert expectation.headers == {"content-location": "http://e.org/"}
    assert expectation_of(b"<rss/>") is None


def test_documents_are_compared_with_what_they_say(tmp_path: Path) -> None:
    title = "<title>Export &lt;b&gt;hangs&lt;/b&gt;</title>"
    documents = {
        "equal.xml": document("not bozo and entries[0]['title'] == 'Export <b>hangs</b>'", title),
        "different.xml": document("entries[0]['id'] == '8'", f"{title}<guid>7</guid>"),
        "base.xml": document(
            "entries[0]['link'] == 'http://e.org/7'",
            "<link>/7</link>",
            "Header: Content-Location: http://e.org/\n",
        ),
        "other.xml": document("not bozo and feed['title'] == 'A'"),
        "broken.xml": document("bozo"),
        "silent.xml": b"<rss/>",
    }
    for name, body in documents.items():
        (tmp_path / name).write_bytes(body)
    with FeedReader() as reader:
        comparison = compared(files_of(tmp_path), reader)
    assert comparison.counts == {
        "applicable": 3, "equal": 2, "not_applicable": 1, "bozo": 1, "silent": 1,
    }  # fmt: skip
    (different,) = comparison.different
    assert different.startswith("different.xml: id is")
    assert not comparison.is_good


def test_payloads_that_are_not_here_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["replay", "--payloads", str(tmp_path / "nowhere")])
    assert main() == 2
    assert "--payloads" in capsys.readouterr().err


def test_a_row_counts_what_became_of_a_page() -> None:
    tally = Tally("chat", "slack")
    post = PostSubmission.model_validate({"nativeId": "7", "published": "2026-11-22T12:00:00Z"})
    like = InteractionSubmission.model_validate(
        {"kind": "like", "object": "7", "published": "2026-11-22T12:00:00Z"}
    )
    refused = [FieldError(0, "id", "is missing", "missing")]
    tally.add(Page([post, post, like], refused, {"private": 3}))
    assert tally.cells()[3:] == ("2", "1", "private 3", "missing 1", "–", "0")


CASSETTE = b"""
interactions:
- request: {uri: 'https://e.org/api/things?x=1', method: GET}
  response: {body: {string: '[{"id": 1, "text": "a", "parts": [{"id": 2, "text": "b"}]}]'}}
- request: {uri: 'https://e.org/none', method: GET}
  response: {body: {string: 'no JSON'}}
- request: {uri: 'https://e.org/stream', method: GET}
  response: {body: {string: "event: update\\ndata: {\\"id\\": 3}\\n\\n"}}
"""


def test_recordings_hold_answers_and_streams() -> None:
    ((path, answer),) = answers(CASSETTE)
    assert path == "/api/things"
    assert [piece["id"] for piece in pieces(answer, "id", "text")] == [1]
    assert [(event.event, event.data) for event in streams(CASSETTE)] == [("update", '{"id": 3}')]
