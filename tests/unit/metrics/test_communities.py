import pytest

from klankbord_metrics.communities import CountedCommunity, parse_communities, unlisted
from klankbord_runtime.accepted import Refused

FILE = """\
communities:
  - slug: acme
    name: Acme users
    time_zone: Europe/Amsterdam
    languages: [nl, en]
sources:
  - {name: forum, kind: whatever ingest knows}
"""


def test_only_the_communities_are_read() -> None:
    assert parse_communities(FILE.encode()) == {
        "acme": CountedCommunity("acme", "Acme users", "Europe/Amsterdam", is_known=True)
    }


def test_a_misspelt_time_zone_is_refused_with_its_line_and_a_suggestion() -> None:
    with pytest.raises(Refused) as refused:
        parse_communities(FILE.replace("Amsterdam", "Amsterdm").encode())
    assert "line 4" in str(refused.value)
    assert "did you mean Europe/Amsterdam?" in str(refused.value)


@pytest.mark.parametrize("name", ["../../etc/passwd", "localtime", "CET-1CEST", ""])
def test_what_is_no_iana_time_zone_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="is no IANA time zone"):
        parse_communities(FILE.replace("Europe/Amsterdam", f"'{name}'").encode())


def test_two_communities_of_one_name_are_refused() -> None:
    twice = FILE.replace(
        "sources:", "  - {slug: acme, name: B, time_zone: UTC, languages: [en]}\nsources:"
    )
    with pytest.raises(Refused, match="two communities are named 'acme'"):
        parse_communities(twice.encode())


def test_a_community_that_is_not_listed_counts_in_utc() -> None:
    assert unlisted("acme", None) == CountedCommunity("acme", "acme", "UTC", is_known=False)


def test_a_community_that_is_no_longer_listed_keeps_its_days() -> None:
    known = CountedCommunity("acme", "Acme users", "Europe/Amsterdam", is_known=True)
    assert unlisted("acme", known) == known._replace(is_known=False)
