"""Alerts, their pages, their table, and the metrics that they are about belong together."""

import re
from pathlib import Path
from typing import Any

import panels
import pytest
import yaml
from alarms.pages import BEGIN, END, HEADINGS, Page, all_pages
from alarms.shortened import SECONDS, shortened
from prometheus_client import CollectorRegistry
from scripts.metrics import MAKERS

from klankbord_schemas.topology import CONSUMERS, SERVICES
from klankbord_standalone.jsz import Families

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
CONFIG = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
RULES_TEXT = (PROMETHEUS / "rules" / "klankbord.yaml").read_text("utf-8")
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES_TEXT)["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
NAMES = sorted({rule["alert"] for rule in ALERTS})
PROMTOOL_TESTS = "".join(
    path.read_text("utf-8") for path in (PROMETHEUS / "rules").glob("*_test.yaml")
)
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")


def told() -> set[str]:
    """Every series that the services and the exporter may show."""
    registry = CollectorRegistry()
    for make in MAKERS.values():
        make(registry)
    names = set()
    for family in [*registry.collect(), *Families()]:
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
        names |= {family.name + suffix for suffix in suffixes.get(family.type, [""])}
    return names


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_asks_for_what_is_there(rule: dict[str, Any]) -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    assert set(re.findall(r"\bklankbord_\w+", rule["expr"])) <= told()
    assert set(re.findall(r"\bklankbord:[\w:]+", rule["expr"])) <= recorded


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_means_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    said = rule["annotations"]
    assert set(said) == {"summary", "description", "action", "runbook_url"}
    assert ROOT / said["runbook_url"] == Page.of(rule["alert"]).path


def test_promtool_tries_every_alert_and_every_reason_of_it() -> None:
    expected = [
        dict(re.findall(r'(\w+)="([^"]*)"', labels))
        for labels in re.findall(r"\{__name__=\"ALERTS\", [^}]*\}", PROMTOOL_TESTS)
    ]
    assert {(labels["alertname"], labels.get("reason")) for labels in expected} == {
        (rule["alert"], rule["labels"].get("reason")) for rule in ALERTS
    }


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    pages = [page.path.name for page in all_pages() if page.path.name != "README.md"]
    assert pages == sorted(Page.of(name).path.name for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_tells_everything_in_its_order(name: str) -> None:
    page = Page.of(name)
    assert page.text.startswith(f"# {name}\n")
    assert tuple(page.sections) == HEADINGS
    assert page.commands("Look")[0] == "klankbord doctor"
    tried = page.text.partition(BEGIN)[2].partition(END)[0]
    reasons = {rule["labels"].get("reason", "") for rule in ALERTS if rule["alert"] == name}
    assert tried.count("\n- ") == len(reasons), "force it: make alarms"


@pytest.mark.parametrize("page", all_pages(), ids=lambda page: page.path.name)
def test_a_page_names_panels_that_there_are(page: Page) -> None:
    for dashboard, told in re.findall(r"Dashboard\s+\*(\w+)\*([^.]*)", page.text):
        titles = {panel["title"] for panel in panels.read(dashboard.lower())["panels"]}
        named = {" ".join(title.split()) for title in re.findall("“([^”]+)”", told)}
        assert named <= titles, f"{dashboard} has no such panel"


def test_the_jobs_are_the_services_and_the_exporter() -> None:
    jobs = [job["job_name"] for job in CONFIG["scrape_configs"]]
    assert jobs == [*(f"klankbord-{service.name}" for service in SERVICES), "klankbord-exporter"]
    expected = [rule for rule in RULES if rule.get("record") == "klankbord:job_expected"]
    assert [rule["labels"]["job"] for rule in expected] == jobs


def test_a_consumer_begins_with_the_name_of_its_service() -> None:
    """The rules find the job of a consumer by that."""
    for consumer in CONSUMERS:
        assert consumer.name.partition("-")[0] == consumer.service


def test_operations_lists_every_alert_with_its_severity() -> None:
    rows = re.findall(
        r"^\| \[(\w+)\]\(runbooks/([\w-]+\.md)\) \| (\w+) \|", OPERATIONS, re.MULTILINE
    )
    listed = {(name, path, severity) for name, path, severity in rows}
    assert listed == {
        (rule["alert"], Page.of(rule["alert"]).path.name, rule["labels"]["severity"])
        for rule in ALERTS
    }


def test_a_trial_shortens_every_time_and_nothing_else() -> None:
    short = yaml.safe_load(shortened(RULES_TEXT))["groups"]
    for long_group, short_group in zip(GROUPS, short, strict=True):
        for rule, shorter in zip(long_group["rules"], short_group["rules"], strict=True):
            assert not SECONDS.search(shorter["expr"])
            numbers = r"[\d.]+(ms|[smhdw])?( \* \d+)?"
            assert re.sub(numbers, "", rule["expr"]) == re.sub(numbers, "", shorter["expr"])
            assert {**rule, "expr": "", "for": ""} == {**shorter, "expr": "", "for": ""}
