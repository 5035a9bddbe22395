"""klankbord.yaml as ingest reads it, and the secrets that are not in it."""

import base64
import logging
import re
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import pytest
from pydantic import ValidationError

from klankbord_ingest.keys import SourceKeys
from klankbord_ingest.kinds.feed import Feed
from klankbord_ingest.signature import secret_key
from klankbord_ingest.sources import parse_sources
from klankbord_runtime.accepted import Refused

COMMUNITIES = """
communities:
  - {slug: demo, name: Demo, time_zone: Europe/Amsterdam, languages: [en, nl]}
  - {slug: other, name: Other, time_zone: Europe/Helsinki, languages: [fi]}
"""
FORUM = "{name: forum, community: demo, kind: webhook, platform: forum.example.org, language: nl}"
BLOG = "{name: blog, community: other, kind: feed, url: 'https://example.org/feed', every: 6h}"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD_SECRET = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
DECOY = b"nobody has it"


def sources(*entries: str) -> str:
    return COMMUNITIES + "sources:\n" + "".join(f"  - {entry}\n" for entry in entries)


def refusal(text: str) -> str:
    with pytest.raises(Refused) as caught:
        parse_sources(text.encode())
    return str(caught.value)


def test_a_webhook_a_feed_and_an_import_are_read() -> None:
    read = parse_sources(
        sources(FORUM, BLOG, "{name: mail, community: demo, kind: import}").encode()
    )
    forum = read.by_name["forum"]
    assert (forum.platform, forum.published_trust) == ("forum.example.org", "attested")
    assert forum.language == "nl"
    assert forum.community.languages == ("en", "nl")
    blog = read.by_name["blog"]
    assert isinstance(blog.entry, Feed)
    assert (str(blog.entry.url), blog.entry.every) == (
        "https://example.org/feed",
        timedelta(hours=6),
    )
    assert (blog.platform, blog.published_trust) == ("blog", "claimed")
    assert read.by_name["mail"].published_trust == "attested"


def test_the_shipped_file_is_in_order_and_what_it_says_in_comments_too() -> None:
    shipped = files("klankbord_ingest").joinpath("klankbord.yaml").read_bytes()
    assert parse_sources(shipped).by_name["forum"].kind == "webhook"
    entries = re.sub(rb"^  # (- |  )", rb"  \1", shipped, flags=re.MULTILINE)
    feeds = [name for name, one in parse_sources(entries).by_name.items() if one.kind == "feed"]
    assert feeds == ["blog"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (sources("{name: Forum, community: demo, kind: webhook}"), "line 6: sources[0].name"),
        (sources("{name: a, community: demi, kind: webhook}"), "did you mean demo?"),
        (sources("{name: a, community: demo, kind: webook}"), "did you mean webhook?"),
        (sources("{name: a, community: demo, kind: feed}"), "sources[0].url: is missing"),
        (sources("{name: a, community: demo, kind: webhook, secret: x}"), "sources[0].secret"),
        (sources(FORUM, FORUM), "two sources are named 'forum'"),
        (sources(BLOG.replace("6h", "often")), "'often' is no length of time"),
        (sources(BLOG.replace("https:", "gopher:")), "sources[0].url"),
        (sources(BLOG.replace("//", "//me:hush@")), "an address with a name or a password in it"),
        (
            COMMUNITIES + "  - {slug: demo, name: X, time_zone: UTC, languages: [en]}",
            "two communities",
        ),
        (COMMUNITIES.replace("Europe/Helsinki", "Mars"), "'Mars' is no IANA time zone"),
        (COMMUNITIES.replace("[fi]", "[]"), "communities[1].languages"),
        ("sources: []", "communities: is missing"),
    ],
)
def test_what_is_wrong_is_told_with_line_and_place(text: str, told: str) -> None:
    assert told in refusal(text)


def test_history_belongs_to_a_listed_source_or_to_one_made_for_the_occasion() -> None:
    read = parse_sources(sources(FORUM).encode())
    listed = read.importing("forum", "demo")
    assert (listed.kind, listed.platform, listed.language) == ("import", "forum.example.org", "nl")
    made = read.importing("old-mail", "demo")
    assert (made.kind, made.platform, made.published_trust) == ("import", "old-mail", "attested")
    assert read.importing("old-mail", "demo", "mail.example.org").platform == "mail.example.org"


def test_history_of_a_community_that_is_not_listed_counts_in_utc() -> None:
    community = parse_sources(sources(FORUM).encode()).importing("x", "nowhere").community
    assert (community.slug, community.time_zone) == ("nowhere", "UTC")


def test_history_of_a_source_belongs_to_its_own_community() -> None:
    read = parse_sources(sources(FORUM).encode())
    with pytest.raises(LookupError, match="belongs to community 'demo'"):
        read.importing("forum", "other")
    for name, platform in (("Not A Slug", None), ("x", ""), ("x", "a\0b")):
        with pytest.raises(ValidationError):
            read.importing(name, "demo", platform)


def read_keys(folder: Path | None, environment: dict[str, str] | None = None) -> SourceKeys:
    keys = SourceKeys(folder, environment or {}, DECOY)
    keys.refresh(parse_sources(sources(FORUM, BLOG).encode()).by_name.values())
    return keys


def test_secrets_come_from_a_file_or_a_variable_and_two_are_good_while_they_are_rotated(
    tmp_path: Path,
) -> None:
    variable = {"KLANKBORD_SECRET_FORUM": SECRET}
    assert read_keys(None, variable).of("forum") == {"signature": (secret_key(SECRET),)}
    (tmp_path / "forum").write_text(f"{SECRET}\n{OLD_SECRET}\n")
    both = (secret_key(SECRET), secret_key(OLD_SECRET))
    assert read_keys(tmp_path, variable).of("forum") == {"signature": both}
    assert read_keys(tmp_path).disabled == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "it has no signature; write the secret that the sender signs with"),
        ("", "it has no signature"),
        ("hunter2", "openssl rand"),
        (f"{SECRET}\n{SECRET}\n{SECRET}", "holds 3 secrets"),
        (f"{SECRET}\nwhsec_", "is no secret"),
    ],
)
def test_a_source_without_a_proper_secret_is_disabled_aloud_and_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None, told: str
) -> None:
    if text is not None:
        (tmp_path / "forum").write_text(text)
    keys = read_keys(tmp_path)
    keys.refresh(parse_sources(sources(FORUM).encode()).by_name.values())
    assert told in keys.disabled["forum"]
    assert SECRET not in keys.disabled["forum"]
    assert keys.of("forum") is None is keys.of("unknown")
    assert keys.decoy == {"signature": (DECOY,)}
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_secret_that_is_put_right_enables_the_source(tmp_path: Path) -> None:
    keys = read_keys(tmp_path)
    assert keys.disabled
    (tmp_path / "forum").write_text(SECRET)
    keys.refresh(parse_sources(sources(FORUM).encode()).by_name.values())
    assert keys.of("forum") == {"signature": (secret_key(SECRET),)}
    assert not keys.disabled
