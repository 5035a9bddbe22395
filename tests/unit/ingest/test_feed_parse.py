"""Feeds of every dialect are read alike; what is no feed is refused with a reason."""

import json
from datetime import UTC, datetime

import pytest

from klankbord_ingest.feeds.document import FeedEntry, UnreadableFeedError
from klankbord_ingest.feeds.parse import parse

RSS = """<?xml version="1.0"?>
<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel>
  <title>The forum</title><language>nl</language><ttl>45</ttl>
  <item>
    <guid isPermaLink="false">post-7</guid><link>https://forum.example.org/7</link>
    <title>Export &amp; import</title>
    <description>
      &lt;p&gt;It &lt;b&gt;hangs&lt;/b&gt;.&lt;/p&gt;&lt;script&gt;x()&lt;/script&gt;
    </description>
    <author>jo@example.org (Jo Jansen)</author>
    <pubDate>Sat, 21 Nov 2026 10:00:00 GMT</pubDate><category>bug</category>
  </item>
</channel></rss>"""

ATOM = """<?xml version="1.0"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:t="http://purl.org/syndication/thread/1.0">
  <entry xml:lang="de"><id>tag:example.org,2026:8</id><title>Re: Export</title>
    <t:in-reply-to ref="tag:example.org,2026:7"/>
    <link href="https://forum.example.org/8"/><author><name>Alex</name></author>
    <published>2026-11-21T10:00:00Z</published><updated>2026-11-21T12:00:00+01:00</updated>
    <content type="xhtml">
      <div xmlns="http://www.w3.org/1999/xhtml">Bei mir <b>auch</b>.</div>
    </content>
  </entry>
</feed>"""

RDF = """<?xml version="1.0"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/">
  <channel rdf:about="https://example.org/"><title>News</title></channel>
  <item rdf:about="https://example.org/n/1"><title>One</title><link>https://example.org/n/1</link>
    <description>First</description><dc:creator>Sam</dc:creator><dc:date>2026-11-20</dc:date></item>
</rdf:RDF>"""

JSON_FEED = json.dumps(
    {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "Notes",
        "items": [
            {
                "id": 12,
                "url": "https://example.org/12",
                "content_text": "a < b",
                "tags": ["maths"],
                "authors": [{"name": "Kim"}],
                "date_published": "2026-11-20T08:00:00+02:00",
            }
        ],
    }
)


def test_rss_is_read() -> None:
    document = parse(RSS.encode())
    (entry,) = document.entries
    assert document.ttl_minutes == 45
    assert (entry.id, entry.link) == ("post-7", "https://forum.example.org/7")
    assert (entry.title, entry.content) == ("Export & import", "It hangs.")
    assert entry.html == "<p>It <b>hangs</b>.</p>"
    assert (entry.author, entry.tags, entry.language) == ("Jo Jansen", ("bug",), "nl")
    assert entry.published == datetime(2026, 11, 21, 10, tzinfo=UTC)


def test_atom_is_read_with_what_it_answers() -> None:
    (entry,) = parse(ATOM.encode()).entries
    assert (entry.id, entry.in_reply_to) == ("tag:example.org,2026:8", "tag:example.org,2026:7")
    assert (entry.author, entry.language, entry.content) == ("Alex", "de", "Bei mir auch.")
    assert entry.updated == datetime(2026, 11, 21, 11, tzinfo=UTC)


def test_rdf_is_read() -> None:
    (entry,) = parse(RDF.encode()).entries
    assert (entry.id, entry.title, entry.author) == ("https://example.org/n/1", "One", "Sam")
    assert entry.published == datetime(2026, 11, 20, tzinfo=UTC)


def test_json_feed_is_read_and_its_text_is_text() -> None:
    (entry,) = parse(JSON_FEED.encode()).entries
    assert (entry.id, entry.content, entry.html) == ("12", "a < b", None)
    assert (entry.author, entry.tags) == ("Kim", ("maths",))
    assert entry.published == datetime(2026, 11, 20, 6, tzinfo=UTC)


def test_a_feed_that_is_not_well_formed_is_read_as_far_as_it_goes() -> None:
    broken = RSS.replace("</item>", "<b>&nbsp;</item>").replace("</rss>", "")
    assert parse(broken.encode()).entries[0].id == "post-7"


def test_a_number_for_a_guid_is_not_taken_for_a_date() -> None:
    undated = (
        RSS.replace("post-7", "20240131").replace("<pubDate>", "<x>").replace("</pubDate>", "</x>")
    )
    (entry,) = parse(undated.encode()).entries
    assert (entry.id, entry.published) == ("20240131", None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_a_feed_that_declares_entities_is_refused_in_every_encoding(encoding: str) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><rss>&b;</rss>'
    with pytest.raises(UnreadableFeedError, match="entities") as refused:
        parse(bomb.encode(encoding))
    assert refused.value.code == "entities_refused"


def test_a_doctype_that_declares_nothing_is_harmless() -> None:
    doctype = '<!DOCTYPE rss PUBLIC "-//Netscape//DTD RSS 0.91//EN" "http://example.org/rss.dtd">'
    assert len(parse(RSS.replace("<rss", doctype + "<rss").encode()).entries) == 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "no RSS"),
        (b"<!DOCTYPE html><html><body>Hello</body></html>", "web page"),
        (b'{"version": "https://jsonfeed.org/version/1", "items": [1, null]}', "JSON"),
        (b'{"items": ' + b"[" * 100_000, "JSON"),
        (b"/etc/passwd", "no RSS"),
        (b"http://127.0.0.1:9/feed", "no RSS"),
        (b"\0" * 1000, "no RSS"),
    ],
)
def test_what_is_no_feed_is_refused_with_a_reason(body: bytes, told: str) -> None:
    with pytest.raises(UnreadableFeedError, match=told) as refused:
        parse(body)
    assert refused.value.code == "no_feed"


def test_a_feed_of_three_megabytes_is_refused() -> None:
    with pytest.raises(UnreadableFeedError) as refused:
        parse(RSS.replace("hangs", "h" * 3_000_000).encode())
    assert refused.value.code == "too_large"


def test_a_feed_with_too_many_entries_is_refused() -> None:
    items = "<item><title>x</title></item>" * 5001
    with pytest.raises(UnreadableFeedError) as refused:
        parse(f"<rss version='2.0'><channel>{items}</channel></rss>".encode())
    assert refused.value.code == "too_many_entries"


def test_an_entry_whose_html_cannot_be_read_safely_silences_no_other() -> None:
    deep = "&lt;div&gt;" * 300 + "Hello &amp;amp; more"
    feed = parse(
        f"""<rss version="2.0"><channel><title>t</title>
        <item><guid>deep-one</guid><title>{deep}</title><description>{deep}</description></item>
        <item><guid>good-one</guid><title>b</title><description>Good</description></item>
        </channel></rss>""".encode()
    )
    assert [(entry.title, entry.content) for entry in feed.entries] == [
        ("Hello & more", "Hello & more"),
        ("b", "Good"),
    ]
    assert feed.entries[0].html is None


def entry_of(item: str, *, root: str = "rss") -> FeedEntry:
    """What is read of one entry of RSS, or of Atom."""
    if root == "rss":
        names = (
            'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dct="http://purl.org/dc/terms/" '
            'xmlns:m="http://search.yahoo.com/mrss/"'
        )
        body = f'<rss version="2.0" {names}><channel><item>{item}</item></channel></rss>'
    else:
        body = f'<feed xmlns="http://www.w3.org/2005/Atom"><entry>{item}</entry></feed>'
    (entry,) = parse(body.encode()).entries
    return entry


@pytest.mark.parametrize(
    ("item", "root", "title"),
    [
        ("<title>Why &lt;b&gt; is bold</title>", "feed", "Why <b> is bold"),
        ('<title type="html">Why &lt;b&gt;this&lt;/b&gt; is</title>', "feed", "Why this is"),
        ("<title>Export &lt;b&gt;hangs&lt;/b&gt;</title>", "rss", "Export hangs"),
        ("<title>Export <b>hangs</b></title>", "rss", "Export hangs"),
        ("<m:title>The film</m:title><title>The post</title>", "rss", "The post"),
        ('<title type="application/octet-stream">RXhwb3J0</title>', "feed", "Export"),
        ("<title>Q&amp;A</title>", "rss", "Q&A"),
    ],
)
def test_a_title_is_read_as_what_it_is_text_or_html(item: str, root: str, title: str) -> None:
    assert entry_of(item, root=root).title == title


def test_a_json_feeds_title_is_text() -> None:
    feed = json.loads(JSON_FEED)
    feed["items"][0]["title"] = "a <b> c"
    assert parse(json.dumps(feed).encode()).entries[0].title == "a <b> c"


@pytest.mark.parametrize(
    ("links", "link"),
    [
        ('<link rel="enclosure" href="http://e.org/1.mp3"/><link href="http://e.org/1"/>', "1"),
        ('<link rel="self" href="http://e.org/1.atom"/>', None),
        (
            '<link rel="alternate">http://e.org/1</link><link rel="enclosure">http://e.org/2</link>',
            "1",
        ),
    ],
)
def test_a_link_leads_to_what_a_person_can_read(links: str, link: str | None) -> None:
    read = entry_of(f"<id>x</id><title>t</title>{links}", root="feed").link
    assert read == (link and f"http://e.org/{link}")


def test_a_link_is_relative_to_the_base_that_the_feed_gives() -> None:
    item = '<id>x</id><link xml:base="http://e.org/blog/" href="1"/>'
    assert entry_of(item, root="feed").link == "http://e.org/blog/1"


@pytest.mark.parametrize(
    ("item", "author"),
    [
        ("<author>jo@example.org (Jo Jansen)</author>", "Jo Jansen"),
        ("<dc:creator>Jo Jansen (jo@example.org)</dc:creator>", "Jo Jansen"),
        ("<dc:creator>Jo Jansen</dc:creator><dc:creator>Sam</dc:creator>", "Jo Jansen"),
        ("<dc:publisher>Jo Jansen</dc:publisher>", None),
        ("<author>jo@example.org</author>", "jo@example.org"),
    ],
)
def test_an_author_is_the_first_that_is_named_without_an_address(
    item: str, author: str | None
) -> None:
    assert entry_of(f"<title>t</title>{item}").author == author


def test_a_moment_is_found_in_dublin_core_terms() -> None:
    item = "<title>t</title><dct:created>2026-11-20T08:00:00Z</dct:created>"
    assert entry_of(item).published == datetime(2026, 11, 20, 8, tzinfo=UTC)
