"""Inputs made by hand to do harm, each for the door that it would come through."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trust.tally import MIB, Tally

from klankbord_ingest.feeds.document import UnreadableFeedError
from klankbord_ingest.feeds.entries import submissions
from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.imports.archive import ExportError
from klankbord_ingest.imports.csv import HeaderError, read_csv
from klankbord_ingest.imports.discord import read_discord
from klankbord_ingest.imports.formats import Circumstances, UnknownFormatError, open_rows
from klankbord_ingest.imports.mapping import read_mapping
from klankbord_ingest.imports.mastodon import read_mastodon
from klankbord_ingest.imports.mbox import read_mailbox
from klankbord_ingest.imports.ndjson import read_ndjson
from klankbord_ingest.imports.row import Rows
from klankbord_ingest.imports.slack import read_slack
from klankbord_ingest.sources import parse_sources
from klankbord_moderation.judge import Judge
from klankbord_routing.intent import Cues
from klankbord_routing.rules import parse_rules
from klankbord_runtime.refused import Refused

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ZALGO = "H" + "\u0301\u0315\u0489" * 3000
RTL = "\u202e\u2066gnp.exe\u2069 שלום \u200f"
POST = {"nativeId": "1", "published": "2026-03-01T10:00:00Z", "content": "Hello"}


@dataclass(frozen=True)
class Hostile:
    """One input and where it goes: a kind of file, or `webhook`, `import` of the real ingest."""

    name: str
    door: str
    body: bytes


def corpus() -> list[Hostile]:
    """All of them."""
    return [
        *(Hostile(name, "webhook", body) for name, body in _json_bodies()),
        *(Hostile(name, "import", body) for name, body in _batches()),
        *(Hostile(name, "feed", body) for name, body in _feeds()),
        *(Hostile(name, "mail", body) for name, body in _mails()),
        *(Hostile(name, "slack", body) for name, body in _slack_exports()),
        *(
            Hostile(name, door, body)
            for name, body in (*_slack_exports(), *_files(), *_long_lists())
            for door in ("discord", "mastodon")
        ),
        *(Hostile(name, door, body) for name, body in _tables() for door in ("csv", "mapped csv")),
        *(
            Hostile(name, door, body)
            for name, body in (*_lines(), *_json_bodies())
            for door in ("ndjson", "mapped ndjson")
        ),
        *(Hostile(name, "mapped ndjson", body) for name, body in _marks()),
        *(Hostile(name, "mapping", body) for name, body in _yaml()),
        *(Hostile(name, door, body) for name, body in _yaml() for door in ("policy", "sources")),
        *(Hostile(name, "policy", body) for name, body in _policies()),
        *(Hostile(name, "routing", body) for name, body in _routing()),
        *(Hostile(name, "any file", body) for name, body in _files()),
    ]


def read_hostile(folder: Path) -> Tally:
    """Give every hostile file to its reader."""
    tally = Tally()
    with FeedReader() as feeds:
        feeds.read(b'<rss version="2.0"><channel><item><title>a</title></item></channel></rss>')
        readers = _readers(feeds)
        for one in corpus():
            if one.door in readers:
                read, refusals = readers[one.door]
                path = folder / "hostile"
                path.write_bytes(one.body)
                with tally.input(f"{one.door}: {one.name}", refusals):
                    read(path)
    return tally


Reader = tuple[Callable[[Path], object], tuple[type[Exception], ...]]


def _readers(feeds: FeedReader) -> dict[str, Reader]:
    def all_of(rows: Rows) -> None:
        for _ in rows:
            pass

    def feed(path: Path) -> None:
        posts, _ = submissions(feeds.read(path.read_bytes()), "https://example.org/feed", NOW)
        for post in posts:
            post.model_dump_json().encode()

    around = Circumstances(UTC, NOW)
    columns = "nativeId: '{nativeId}', published: '{published}', content: '{content}{a.b}'"
    mapping = read_mapping(f"{{times: unix, markup: bbcode, fields: {{{columns}}}}}".encode())
    return {
        "feed": (feed, (UnreadableFeedError,)),
        "mail": (lambda path: all_of(read_mailbox(path)), ()),
        "slack": (lambda path: all_of(read_slack(path)), (ExportError,)),
        "discord": (lambda path: all_of(read_discord(path)), (ExportError,)),
        "mastodon": (lambda path: all_of(read_mastodon(path)), (ExportError,)),
        "csv": (lambda path: all_of(read_csv(path, UTC)), (HeaderError,)),
        "mapped csv": (lambda path: all_of(read_csv(path, UTC, mapping)), (HeaderError,)),
        "ndjson": (lambda path: all_of(read_ndjson(path)), ()),
        "mapped ndjson": (lambda path: all_of(read_ndjson(path, UTC, mapping)), ()),
        "mapping": (lambda path: read_mapping(path.read_bytes()), (Refused,)),
        "policy": (lambda path: Judge.read(path.read_bytes()), (Refused,)),
        "routing": (lambda path: parse_rules(path.read_bytes()), (Refused,)),
        "sources": (lambda path: parse_sources(path.read_bytes()), (Refused,)),
        "cues": (lambda path: Cues.parse(path.read_bytes()), (Refused,)),
        "any file": (
            lambda path: all_of(open_rows(path, "auto", around)),
            (UnknownFormatError, ExportError, HeaderError),
        ),
    }


def _marks() -> Iterator[tuple[str, bytes]]:
    """Posts in BBCode, whose marks are to be taken out."""
    quotes = "[quote]x[/quote]"
    for name, content in {
        "quotes that never end": "[quote]" * 140_000,
        "ends without quotes": "[/quote]" * 120_000,
        "many quotes after much text": "y" * 400_000 + quotes * 30_000,
        "quotes within quotes": "[quote]" * 60_000 + "[/quote]" * 60_000,
        "stored marks that never end": "<r>" + "<QUOTE<s>" * 100_000,
        "brackets": "[" * 900_000,
    }.items():
        yield name, json.dumps({"nativeId": "1", "published": "1", "content": content}).encode()


def _long_lists() -> Iterator[tuple[str, bytes]]:
    """Exports that are one long list: of Discord's messages, and of an outbox."""
    for head in (b'{"guild":{},"channel":{},"messages":[', b'{"orderedItems":['):
        for name, body in _json_bodies():
            yield f"a list of: {name}", head + body + b"]}"
        yield "a list that is spaces", head + b" ," * 3_000_000
        yield "a text without end", head + b'{"a":"' + b"x" * 9_000_000
        yield "deep within a list", head + b"[" * 3_000_000
    yield "a head without end", b'{"a":"' + b"x" * 9_000_000
    yield "a head of quotation marks", b'{"a":' + b'"messages"' * 200_000
    yield "a head that is no object", b'1,"messages":[{}]'


def _post(**fields: Any) -> bytes:
    return json.dumps(POST | fields).encode()


def _raw(field: str, value: bytes) -> bytes:
    """A post with a value that `json.dumps` would not write."""
    return b'{"nativeId":"1","published":"2026-03-01T10:00:00Z","%b":%b}' % (field.encode(), value)


def _json_bodies() -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    yield "NUL escaped", _post(content="a\0b")
    yield "NUL raw", _raw("content", b'"a\0b"')
    yield "NUL in the id", _post(nativeId="a\0b")
    yield "lone surrogate", _raw("content", b'"\\ud800"')
    yield "surrogates the wrong way round", _raw("content", b'"\\udc00\\ud800"')
    yield "surrogate in a key", b'{"\\ud800":1}'
    yield "raw surrogate bytes", _raw("content", b'"\xed\xa0\x80"')
    yield "overlong UTF-8", _raw("content", b'"\xc0\xaf"')
    yield "half a character", b'{"content":"\xe2\x82'
    yield "NaN", _raw("sequence", b"NaN")
    yield "Infinity", _raw("sequence", b"-Infinity")
    yield "1e999", _raw("sequence", b"1e999")
    yield "2^63", _raw("sequence", b"9223372036854775808")
    yield "2^64", _raw("sequence", b"18446744073709551616")
    yield "-1", _raw("sequence", b"-1")
    yield "a million digits", _raw("sequence", b"9" * 1_000_000)
    yield "a fraction", _raw("sequence", b"1.5")
    yield "true for a number", _raw("sequence", b"true")
    yield "deep lists", b"[" * 500_000
    yield "deep objects", b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    yield "deep within a field", _raw("x", b"[" * 190 + b"]" * 190)
    yield "duplicate keys", b'{"nativeId":"1","nativeId":"2","published":"2026-03-01T10:00:00Z"}'
    yield "a key a hundred thousand times", b"{" + b'"a":1,' * 100_000 + b'"b":2}'
    yield "many small objects", b"[" + b'{"":[]},' * 130_000 + b"1]"
    yield "UTF-8 BOM", b"\xef\xbb\xbf" + _post()
    yield "UTF-16", _post().decode().encode("utf-16")
    yield "UTF-32", _post().decode().encode("utf-32")
    yield "gzip under another name", gzip.compress(_post())
    yield "5 MB", _post(content="x" * 5_000_000)
    yield "right to left", _post(content=RTL, name=RTL, nativeId=RTL)
    yield "zalgo", _post(content=ZALGO, tag=[ZALGO[:1000]])
    yield (
        "all of Unicode's odd ones",
        _post(content="\ufeff\u200b\u2028\u2029\ufffe\uffff\U0010ffff"),
    )
    yield "a bell in every place", _post(content="\x07\x1b[31m", name="\x7f", url="\x08")
    yield "the year 0", _post(published="0000-01-01T00:00:00Z")
    yield "the year 9999 in the west", _post(published="9999-12-31T23:59:59-23:59")
    yield "the year 1 in the east", _post(published="0001-01-01T00:00:00+23:59")
    yield "a second that leaps", _post(published="2016-12-31T23:59:60Z")
    yield "a moment as a number", _raw("updated", b"99999999999999999999")
    yield "wrong types everywhere", _post(nativeId=[], content={}, tag=7, url=True, updated="x")
    yield (
        "500 posts with 600 wrong tags",
        json.dumps({"posts": [{"tag": [1] * 600}] * 500}).encode(),
    )
    yield "501 posts", json.dumps({"posts": [POST] * 501}).encode()
    yield "posts that is no list", b'{"posts":{"posts":[]}}'
    yield (
        "formatting that reopens",
        _post(contentHtml="<p>" + "".join(f"<font a{n}>" for n in range(190)) + "<p>x" * 24_000),
    )
    yield "depth that hides", _post(contentHtml="<div></h1>" * 9_900)
    yield "items within items", _post(contentHtml="<dd><li>" * 12_000)
    yield "a script", _post(contentHtml="<svg><style><img src=x onerror=alert(1)></style></svg>")
    yield "900 kB of control characters", _post(content="\x01" * 100_000, name="\x02" * 2_000)
    yield "an address of scripts", _post(url="javascript:alert(1)", attributedTo={"id": "a"})
    yield "an author that is a list", _post(attributedTo=["a", {"id": []}])
    yield "a language of its own", _post(language="x" * 36)


def _batches() -> Iterator[tuple[str, bytes]]:
    yield "1.5 MB of small objects", b'{"posts":[' + b'{"":[]},' * 190_000 + b"1]}"
    yield (
        "each post wrong in its own way",
        json.dumps(
            {
                "posts": [
                    POST | {"published": n, "sequence": "x", "nativeId": []} for n in range(500)
                ]
            }
        ).encode(),
    )
    yield (
        "one native id 500 times",
        json.dumps({"posts": [POST | {"content": str(n)} for n in range(500)]}).encode(),
    )
    yield "a source of another's", _post(source="Not A Slug", platform="\0", community="x" * 90)


def _rss(inside: bytes, head: bytes = b"") -> bytes:
    return (
        b'<?xml version="1.0"?>' + head + b'<rss version="2.0"><channel><title>t</title><item>'
        b"<guid>g</guid>" + inside + b"</item></channel></rss>"
    )


def _feeds() -> Iterator[tuple[str, bytes]]:
    laughs = b"<!DOCTYPE x [<!ENTITY a0 'ha'>" + b"".join(
        b"<!ENTITY a%d '%b'>" % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10)
    )
    yield "billion laughs", _rss(b"<title>&a9;</title>", laughs + b"]>")
    big = b"<!DOCTYPE x [<!ENTITY a '" + b"a" * 100_000 + b"'>]>"
    yield "quadratic blow-up", _rss(b"<title>" + b"&a;" * 10_000 + b"</title>", big)
    steal = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    yield "an external entity", _rss(b"<title>&e;</title>", steal)
    yield "an external entity in UTF-16", _rss(b"&e;", steal).decode().encode("utf-16")
    yield (
        "a parameter entity",
        _rss(b"x", b'<!DOCTYPE x [<!ENTITY % p SYSTEM "http://[::1]/"> %p;]>'),
    )
    yield "tags without end", b"<rss><channel>" + b"<a>" * 400_000
    yield "attributes without end", _rss(b"<title " + b"a='b' " * 100_000 + b">x</title>")
    yield "escaped HTML", _rss(b"<description>" + b"&lt;b&gt;" * 100_000 + b"</description>")
    fonts = b"&lt;p&gt;" + b"".join(b"&lt;font a%d&gt;" % n for n in range(190))
    yield (
        "formatting that reopens",
        _rss(b"<description>" + fonts + b"&lt;p&gt;x" * 20_000 + b"</description>"),
    )
    yield "20,000 entries", b"<rss><channel>" + b"<item><guid>1</guid></item>" * 20_000
    yield "5 MB", _rss(b"<title>" + b"x" * 5_000_000 + b"</title>")
    yield "NUL", _rss(b"<title>a\0b</title>")
    yield "impossible dates", _rss(b"<pubDate>1 Jan 99999999999999999999 00:00:00</pubDate>")
    yield "a date with a zone from far", _rss(b"<pubDate>1 Jan 2026 00:00 +9999999999</pubDate>")
    yield "a ttl without end", b"<rss><channel><ttl>" + b"9" * 5_000 + b"</ttl></channel></rss>"
    yield "links that are none", _rss(b"<link>http://[::1</link><guid>http://[</guid>")
    yield (
        "a JSON feed of nonsense",
        b'{"version":"https://jsonfeed.org/version/1","items":[[],1,{}]}',
    )
    yield "a JSON feed with surrogates", b'{"items":[{"id":"\\ud800","content_text":"\\udfff"}]}'
    yield "a deep JSON feed", b'{"items":' + b"[" * 100_000
    yield "gzip cut short", gzip.compress(_rss(b"x"))[:-9]
    yield "zalgo", _rss(f"<title>{ZALGO}</title>".encode())
    yield "an encoding that is none", b'<?xml version="1.0" encoding="zlib"?><rss/>'
    yield "UTF-7", b'<?xml version="1.0" encoding="UTF-7"?><rss>+ADw-script+AD4-</rss>'


def _mail(head: bytes, body: bytes = b"Hello") -> bytes:
    return b"From: a@example.org\nDate: Sun, 1 Mar 2026 10:00:00 +0000\n" + head + b"\n\n" + body


def _mails() -> Iterator[tuple[str, bytes]]:
    yield "impossible date", b"From: a@x.org\nDate: 1 Jan 99999999999999999999 00:00:00\n\nx"
    yield "impossible zone", b"From: a@x.org\nDate: 1 Jan 2026 00:00 +99999999999999999999\n\nx"
    yield "impossible envelope", b"From a 1:00 Jan 1 0000 99999999999999999999\nFrom: a\n\nx"
    yield "a parameter in pieces", _mail(b"Content-Type: text/plain; charset*=x'y'z; charset*1=2")
    yield "a charset that is none", _mail(b"Content-Type: text/plain; charset=zlib", b"\xff\xfe")
    yield "encoded words without end", _mail(b"Subject: " + b"=?utf-8?q?a?= " * 100_000)
    yield "half an encoded word", _mail(b"Subject: " + b"=?utf-8?q?" * 50_000)
    yield "comments within comments", _mail(b"Sender: " + b"(" * 200_000)
    yield "addresses without end", _mail(b"Sender: " + b"<@" * 200_000)
    yield (
        "parts within parts",
        b"".join(
            b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n)
            for n in range(10_000)
        ),
    )
    yield "mails within mails", _mail(b"Content-Type: message/rfc822\n\n" * 10_000)
    yield "no boundary", _mail(b'Content-Type: multipart/mixed; boundary=""')
    yield "uuencode of nonsense", _mail(b"Content-Transfer-Encoding: x-uuencode", b"begin\n!!!\n")
    yield "base64 of nonsense", _mail(b"Content-Transfer-Encoding: base64", b"=A==" * 99)
    yield "5 MB in one line", _mail(b"Subject: x", b"x" * 5_000_000)
    yield "5 MB of short lines", _mail(b"Subject: x", b"> x\n" * 1_250_000)
    yield "NUL", _mail(b"Subject: a\0b", b"a\0b")
    yield (
        "HTML that reopens",
        _mail(
            b"Content-Type: text/html",
            b"<p>" + b"".join(b"<b a%d>" % n for n in range(190)) + b"<p>x" * 200_000,
        ),
    )
    yield "a mailbox of empty mails", b"From a 1:00 Jan 1 00:00:00 2026\n\n" * 20_000


def _zip(**files: bytes) -> bytes:
    folder = io.BytesIO()
    with zipfile.ZipFile(folder, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("users.json", b"[]")
        for name, body in files.items():
            archive.writestr(f"general/{name}.json", body)
    return folder.getvalue()


def _slack_exports() -> Iterator[tuple[str, bytes]]:
    message = {"type": "message", "ts": "1763805600.000100", "text": "Hello", "user": "U1"}
    said = json.dumps([message]).encode()
    yield "a zip bomb", _zip(day=b" " * 100 * MIB)
    yield "a zip cut short", _zip(day=said)[:-30]
    yield "deep", _zip(day=b"[" * 1_000_000)
    yield (
        "surrogates",
        _zip(day=json.dumps([message | {"text": "\ud800", "user": "\udfff"}]).encode()),
    )
    yield "NaN", _zip(day=said.replace(b'"Hello"', b"NaN"))
    yield "a million digits", _zip(day=b"[" + b"9" * 1_000_000 + b"]")
    yield "an entity without end", _zip(day=said.replace(b"Hello", b"&#" + b"9" * 5_000))
    yield "markup without end", _zip(day=said.replace(b"Hello", b"<@" * 200_000))
    yield (
        "types at random",
        _zip(
            day=json.dumps(
                [message | {key: [{}]} for key in (*message, "edited", "files")]
            ).encode()
        ),
    )
    yield "a path out of the archive", _zip(**{"../../../etc/x": said})
    yield (
        "a member that says it is encrypted",
        _zip(day=said).replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"),
    )


def _tables() -> Iterator[tuple[str, bytes]]:
    head = b"nativeId,published,content,tag\n"
    yield "no header", b"\0\0\0\n1,2,3"
    yield "a quotation mark left open", head + b'1,2026-03-01,"' + b"x\n" * 200_000
    yield "a line of 5 MB", head + b"x" * 5_000_000
    yield "a row of 100,000 cells", head + b"," * 100_000
    yield "a formula", head + b'=cmd|"/c calc"!A1,2026-03-01T10:00:00Z,@SUM(1),x\n'
    yield "no UTF-8", head + b"1,2026-03-01T10:00:00Z,\xff\xfe,x\n"
    yield "NUL", head + b"1,2026-03-01T10:00:00Z,a\0b,x\n"
    yield "tags that are JSON", head + b'1,2026-03-01T10:00:00Z,a,"[[[[[[1e999,{}]]]]]]"\n'
    yield "UTF-16", head.decode().encode("utf-16")
    yield "a header 10,000 times", head * 10_000


def _lines() -> Iterator[tuple[str, bytes]]:
    yield "a line of 5 MB", _post(content="x" * 5_000_000)
    yield "half lines", _post()[:20] + b"\n" + _post()[20:]
    yield (
        "everything the webhook gets",
        b"\n".join(body for _, body in _json_bodies() if len(body) < MIB),
    )


def _yaml() -> Iterator[tuple[str, bytes]]:
    yield (
        "aliases that laugh",
        b"a: &a [x,x]\n"
        + b"".join(b"b%d: &b%d [*b%d,*b%d]\n" % (n, n, n - 1, n - 1) for n in range(1, 30)),
    )
    yield "a tag that makes objects", b"!!python/object/apply:os.system ['true']"
    yield "flow without end", b"[" * 500_000
    yield "blocks without end", b"- " * 400_000
    yield "mappings without end", b"a: {" * 100_000
    yield "questions without end", b"? " * 400_000
    yield "a key twice", b"rules: []\nrules: []\n"
    yield "NUL", b'a: "\\0"\n'
    yield "surrogates", b'a: "\\ud800"\n'
    yield "a BOM within", "rules: []\n\ufeffrules: []\n".encode()
    yield "UTF-16", "rules: []\n".encode("utf-16")
    yield "a million digits", b"rules: " + b"9" * 1_000_000
    yield "1.1's tricks", b"rules: [no, 1:30, 0o7, 0x1f, .inf, .nan, 2026-03-01, <<, =]\n"
    yield "5 MB", b"#" * 5_000_000
    yield "two documents", b"rules: []\n---\nrules: []\n"


def _policies() -> Iterator[tuple[str, bytes]]:
    def rule(**fields: Any) -> bytes:
        one = {"id": "a", "label": "spam", "severity": "low", "mode": "live", "explanation": "x"}
        return json.dumps({"rules": [one | fields]}).encode()

    yield "a pattern that explodes", rule(patterns=["(((a{100}){100}){100}){100}"])
    yield "a pattern that backtracks", rule(patterns=[r"(a+)+$", r"(a|a)*$"])
    yield "a pattern that refers back", rule(patterns=[r"(a)\1"])
    yield "200 large patterns", rule(patterns=[f"x{{{n}}}[^a]{{999}}" for n in range(200)])
    yield "a megabyte of terms", rule(terms=[f"term{n}" for n in range(70_000)])
    yield "terms of nothing", rule(terms=["\u200b", "*", " "])
    yield "5,000 rules", b'{"rules":[' + b",".join([b"{}"] * 5_000) + b"]}"


def _routing() -> Iterator[tuple[str, bytes]]:
    yield "rules of nothing", b'{"rules":[' + b",".join([b"{}"] * 5_000) + b"]}"
    yield "durations from afar", b"ignore_older_than: 999999999999999d\nrules: []\n"
    yield "numbers from afar", b"thresholds: {bug: 1e308, idea: -1e999, risk: .nan}\n"


def _files() -> Iterator[tuple[str, bytes]]:
    yield "noise", bytes(range(256)) * 4_000
    yield "nothing", b""
    yield "gzip cut short", gzip.compress(b"x" * 5_000_000)[:-9]
    yield "a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 100_000
    yield "a page", b"<!doctype html><html>" + b"<div>" * 100_000
