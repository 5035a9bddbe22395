"""The committed dashboards, and what they ask, as Grafana asks it: with everything put in."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards"
DASHBOARDS = sorted(path.stem for path in FOLDER.glob("*.json"))
RATE_INTERVAL = "15s"
LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")
"""How a variable asks Prometheus for the values of a label."""


@dataclass(frozen=True)
class Asked:
    """What a panel asks, or an annotation, or a variable."""

    dashboard: str
    title: str
    target: Mapping[str, Any]

    @property
    def is_sql(self) -> bool:
        """Whether PostgreSQL is asked."""
        return "rawSql" in self.target

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.title} ({self.target['refId']})"


@dataclass(frozen=True)
class Chosen:
    """What a reader has chosen at the top of a dashboard; of several values each after a `|`."""

    begin: datetime
    end: datetime
    variables: Mapping[str, str]


def read(dashboard: str) -> dict[str, Any]:
    """A committed dashboard."""
    found: dict[str, Any] = json.loads((FOLDER / f"{dashboard}.json").read_text("utf-8"))
    return found


def asked_by(dashboard: str) -> Iterator[Asked]:
    """Everything that a dashboard asks: its panels, its annotations, its variables."""
    document = read(dashboard)
    for panel in document["panels"]:
        for target in panel["targets"]:
            yield Asked(dashboard, panel["title"], target)
    for annotation in document.get("annotations", {}).get("list", ()):
        yield Asked(dashboard, annotation["name"], annotation["target"])
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            query = variable["query"]
            target = {"rawSql": query, "refId": "variable"} if isinstance(query, str) else query
            yield Asked(dashboard, f"${variable['name']}", target)


def interpolated(asked: Asked, chosen: Chosen) -> str:
    """The query with everything put in that Grafana puts in.

    Args:
        asked: the query.
        chosen: the variables and the time.
    """
    text: str = asked.target.get("rawSql") or asked.target.get("expr") or asked.target["query"]
    begin, end = (moment.astimezone(UTC).isoformat() for moment in (chosen.begin, chosen.end))
    text = re.sub(r"\$__timeFilter\((.+?)\)", rf"\1 between '{begin}' and '{end}'", text)
    for name, value in {
        "$__timeFrom()": f"'{begin}'",
        "$__timeTo()": f"'{end}'",
        "$__rate_interval": RATE_INTERVAL,
        "$__range": f"{round((chosen.end - chosen.begin).total_seconds())}s",
    }.items():
        text = text.replace(name, value)
    for name, value in chosen.variables.items():
        quoted = ", ".join(f"'{one}'" for one in value.split("|"))
        text = text.replace(f"${{{name}:sqlstring}}", quoted).replace(f"${name}", value)
    assert "$" not in text, f"{asked}: what is to be put in here? {text}"
    return text
