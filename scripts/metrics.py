"""The tables of docs/telemetry.md: every metric, from the instruments themselves."""

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from scripts.catalogue import table

from klankbord_ingest.telemetry import Telemetry as OfIngest
from klankbord_metrics.telemetry import Telemetry as OfMetrics
from klankbord_moderation.telemetry import Telemetry as OfModeration
from klankbord_routing.telemetry import Telemetry as OfRouting
from klankbord_runtime.telemetry import RuntimeMetrics
from klankbord_standalone.jsz import Families

BEGIN, END = "<!-- metrics: written by `make docs` -->", "<!-- end -->"
HEADS = ("metric", "type", "labels", "what it says")
MAKERS: dict[str, Callable[[CollectorRegistry], Any]] = {
    "Every service": lambda registry: RuntimeMetrics(registry, "a service"),
    "ingest": OfIngest,
    "moderation": OfModeration,
    "routing": OfRouting,
    "metrics": OfMetrics,
}
EXPORTER = "The exporter (`klankbord exporter`)"


def with_metrics(page: str) -> str:
    """The page with its tables as the code says they are.

    Raises:
        ValueError: the page has no place for them.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/telemetry.md has no lines {BEGIN} and {END}")
    return f"{before}{begin}\n\n{metrics()}\n\n{end}{after}"


def metrics() -> str:
    parts = [section(title, rows(make)) for title, make in MAKERS.items()]
    return "\n\n".join([*parts, section(EXPORTER, exporter_rows())])


def section(title: str, found: Iterator[tuple[str, str, str, str]]) -> str:
    return f"### {title}\n\n{table(HEADS, list(found))}"


def rows(make: Callable[[CollectorRegistry], Any]) -> Iterator[tuple[str, str, str, str]]:
    """A row per metric that is made. The client hands out neither names nor labels otherwise."""
    made: list[Any] = []

    class Noting(CollectorRegistry):
        def register(self, collector: Any) -> None:
            made.append(collector)

    make(Noting())
    for one in made:
        kind, name = one._type, one._name
        shown = f"{name}_total" if kind == "counter" else name
        yield f"`{shown}`", kind, labels(one._labelnames), one._documentation


def exporter_rows() -> Iterator[tuple[str, str, str, str]]:
    family: Any
    for family in Families():
        yield f"`{family.name}`", family.type, labels(family._labelnames), family.documentation


def labels(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)
