"""The shipped rules with all their times divided, so that an alert can be waited for.

What is shortened: windows (`[5m]`), `offset 1w`, `for`, the groups' intervals, and times in
expressions, which are written `5 * 60` or `4 * 3600`. Everything else stays as it is shipped.
"""

import re
from typing import Any

import yaml

FACTOR = 60
"""A minute is a second."""
FACTORS = {"klankbord-sources": 3600}
"""The groups that are shortened by another: here an hour is a second, and a week three minutes."""
SCRAPE_EVERY = 1.0
"""Seconds between two scrapes of the trial, which is also its time-out."""
SHORTEST_WINDOW = 10.0
"""No window is shorter: in it there must be several scrapes, also on a busy machine."""
SHORTEST_FOR = 2.0

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
WINDOW = re.compile(r"\[(\d+[smhdw])\]")
OFFSET = re.compile(r"\boffset (\d+[smhdw])\b")
SECONDS = re.compile(r"\b(\d+) \* (60|3600)\b")
SCRAPE_TIME_OUT = "> 9\n"
"""How the rules know a scrape that ran into its time-out of ten seconds."""


def shortened(rules: str) -> str:
    """The rules, for the trial."""
    document: dict[str, Any] = yaml.safe_load(rules)
    for group in document["groups"]:
        factor = FACTORS.get(group["name"], FACTOR)
        group["interval"] = _written(
            max(SCRAPE_EVERY, seconds(group.get("interval", "15s")) / factor)
        )
        for rule in group["rules"]:
            rule["expr"] = _shorter(rule["expr"], factor)
            if "for" in rule:
                rule["for"] = _written(max(SHORTEST_FOR, seconds(rule["for"]) / factor))
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def seconds(duration: str) -> float:
    """How long that is, as Prometheus writes it: `5m`."""
    return float(duration[:-1]) * UNITS[duration[-1]]


def _shorter(expression: str, factor: int) -> str:
    def window(found: re.Match[str]) -> str:
        return f"[{_written(max(SHORTEST_WINDOW, seconds(found[1]) / factor))}]"

    def offset(found: re.Match[str]) -> str:
        return f"offset {_written(seconds(found[1]) / factor)}"

    def plain(found: re.Match[str]) -> str:
        return f"{int(found[1]) * int(found[2]) / factor:g}"

    expression = WINDOW.sub(window, expression)
    expression = OFFSET.sub(offset, expression)
    expression = SECONDS.sub(plain, expression)
    if "scrape_duration_seconds" in expression:
        expression = expression.replace(SCRAPE_TIME_OUT, f"> {0.9 * SCRAPE_EVERY}\n")
    return expression


def _written(duration: float) -> str:
    return f"{round(duration * 1000)}ms"
