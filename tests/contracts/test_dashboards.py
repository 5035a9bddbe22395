"""The committed dashboards are those that the code makes, and keep the rules of their style."""

import re
from typing import Any

import panels
import pytest
import yaml
from scripts.dashboards.__main__ import dashboards
from scripts.dashboards.pipeline import alerts
from scripts.dashboards.style import page_of

PROVISIONING = panels.FOLDER.parent / "provisioning"
MOST_PANELS = 13
PLACEHOLDER = re.compile(r"\$\{?(\w+)")


def test_the_dashboards_are_those_that_the_code_makes() -> None:
    stored = {path.name: path.read_text("utf-8") for path in panels.FOLDER.glob("*.json")}
    made = dashboards()
    stale = [name for name in sorted({*made, *stored}) if made.get(name) != stored.get(name)]
    assert stale == [], "run `make dashboards`"


def each_panel() -> list[Any]:
    return [
        pytest.param(panel, id=f"{dashboard}: {panel['title']}")
        for dashboard in panels.DASHBOARDS
        for panel in panels.read(dashboard)["panels"]
    ]


@pytest.mark.parametrize("panel", each_panel())
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    """In a sentence, with a unit, from one data source, and high enough for what it shows."""
    assert panel["description"].endswith(".")
    assert len(panel["description"]) > len(panel["title"])
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert panel["targets"]
    assert {str(target["datasource"]) for target in panel["targets"]} == {str(panel["datasource"])}
    assert panel["gridPos"]["h"] >= 5


@pytest.mark.parametrize("dashboard", panels.DASHBOARDS)
def test_a_dashboard_can_be_read_and_leads_on(dashboard: str) -> None:
    """It is not long, nothing in it overlaps, and it leads to the others and to what to do."""
    document = panels.read(dashboard)
    assert len(document["panels"]) <= MOST_PANELS
    ids = [panel["id"] for panel in document["panels"]]
    assert len(set(ids)) == len(ids)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in document["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert {link["type"] for link in document["links"]} == {"dashboards", "link"}


@pytest.mark.parametrize("dashboard", panels.DASHBOARDS)
def test_every_variable_that_is_asked_with_is_there(dashboard: str) -> None:
    known = {variable["name"] for variable in panels.read(dashboard)["templating"]["list"]}
    for asked in panels.asked_by(dashboard):
        text = asked.target.get("rawSql") or asked.target.get("expr") or asked.target["query"]
        used = {name for name in PLACEHOLDER.findall(text) if not name.startswith("__")}
        assert used <= known, asked


def test_every_alert_is_linked_from_what_shows_its_cause() -> None:
    """And no panel leads to the page of an alert that there is not."""
    linked = {
        link["url"].rpartition("/")[2]
        for dashboard in panels.DASHBOARDS
        for panel in panels.read(dashboard)["panels"]
        for link in panel.get("links") or ()
    }
    assert linked == {page_of(alert) for alert in alerts()}


def test_the_page_of_an_alert_has_its_name() -> None:
    assert page_of("CountedTooLateSlowly") == "counted-too-late-slowly.md"


def test_grafana_is_given_the_data_sources_that_the_dashboards_ask() -> None:
    """By a file that Grafana reads when it starts; it holds no password."""
    file = PROVISIONING / "datasources" / "klankbord.yaml"
    sources = yaml.safe_load(file.read_text("utf-8"))["datasources"]
    assert {(source["uid"], source["type"]) for source in sources} == {
        ("prometheus", "prometheus"),
        ("postgres", "grafana-postgresql-datasource"),
        ("jaeger", "jaeger"),
    }
    asked = {
        variable["query"]
        for dashboard in panels.DASHBOARDS
        for variable in panels.read(dashboard)["templating"]["list"]
        if variable["type"] == "datasource"
    }
    assert asked <= {source["type"] for source in sources}
    (password,) = (source["secureJsonData"] for source in sources if "secureJsonData" in source)
    assert password["password"].startswith("$__file{")
