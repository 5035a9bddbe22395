"""Ingest and metrics read one `klankbord.yaml`: both find the same in it, or refuse it alike."""

import pytest

from klankbord_ingest.sources import parse_sources
from klankbord_metrics.communities import parse_communities
from klankbord_runtime.accepted import Refused

ACME = "{slug: acme, name: Acme, time_zone: Europe/Amsterdam, languages: [nl, en]}"


def file(*communities: str) -> bytes:
    return f"communities: [{', '.join(communities)}]".encode()


def test_both_find_the_same_communities() -> None:
    read = file(ACME, ACME.replace("acme", "other"))
    listed = parse_sources(read).communities
    counted = parse_communities(read)
    assert listed.keys() == counted.keys() == {"acme", "other"}
    for slug, community in listed.items():
        assert (community.name, community.time_zone) == counted[slug][1:3]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (file(), "communities"),
        (file(ACME, ACME), "two communities are named 'acme'"),
        (file(ACME.replace("acme", "Acme")), "communities[0].slug"),
        (file(ACME.replace("Europe/Amsterdam", "localtime")), "'localtime' is no IANA time zone"),
        (file(ACME.replace("Amsterdam", "Amsterdm")), "did you mean Europe/Amsterdam?"),
        (file(ACME.replace("[nl, en]", "[]")), "communities[0].languages"),
        (file(ACME.replace(", languages: [nl, en]", "")), "communities[0].languages: is missing"),
        (b"sources: []", "communities: is missing"),
    ],
)
def test_both_refuse_the_same_in_the_same_words(body: bytes, told: str) -> None:
    with pytest.raises(Refused, match="communities") as by_ingest:
        parse_sources(body)
    with pytest.raises(Refused, match="communities") as by_metrics:
        parse_communities(body)
    assert told in str(by_ingest.value)
    assert str(by_ingest.value) == str(by_metrics.value)
