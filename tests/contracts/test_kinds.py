"""Every kind keeps every promise: it is played in each of its ways, and has a page."""

from importlib.metadata import entry_points

import pytest
from conformance.platform import PullPlatform, PushPlatform, StreamPlatform
from conformance.platforms_found import platforms
from scripts.sources_index import PAGES

from klankbord_ingest.kind import Pull, Push, Stream
from klankbord_ingest.kinds import GROUP, installed
from klankbord_ingest.source import SourceEntry

OURS = {
    name: kind
    for name, kind in installed().items()
    if kind.__module__.startswith("klankbord_ingest.")
}
WAYS = ((Push, PushPlatform), (Pull, PullPlatform), (Stream, StreamPlatform))


@pytest.mark.parametrize("name", OURS)
def test_a_kind_is_played_in_each_of_its_ways(name: str) -> None:
    for way, platform in WAYS:
        played = {one.kind for one in platforms(platform)}
        assert not issubclass(OURS[name], way) or name in played, way.__name__


@pytest.mark.parametrize("name", OURS)
def test_a_kind_has_a_page_with_an_entry_to_copy(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text("utf-8")
    assert page.startswith("# ")
    assert f"kind: {name}" in page
    for role in OURS[name].secrets:
        assert role == "signature" or f".{role}" in page or f"--secret {role}" in page, role


def test_a_kind_is_called_in_klankbord_yaml_what_its_entry_point_is_called() -> None:
    for point in entry_points(group=GROUP):
        kind: type[SourceEntry] = point.load()
        assert kind.model_fields["kind"].annotation.__args__ == (point.name,)  # type: ignore[union-attr]
