"""Every service has the same rooms, and what belongs in one is not done in another."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[2] / "services"
NAMES = ("ingest", "moderation", "routing", "metrics")
ROOMS = {"__main__", "app", "handlers", "settings", "store", "telemetry", "usecases"}
DOORS = {"api", "erase", "handlers"}
REACHES_OUT = {
    "api",
    "feeds",
    "fetch",
    "hearing",
    "imap",
    "imports.client",
    "arrivals",
    "imports.door",
    "links.door",
    "links.store",
    "listening",
    "listening.door",
    "listening.health",
    "listening.listener",
    "listening.store",
    "listening.trial",
    "operator",
    "outgoing",
    "query.run",
    "problem",
    "request_body",
    "web",
    "webhook",
}
"""Modules that are no domain: they talk HTTP or SQL, or make others wait, by their purpose."""
KINDS = "kinds."
"""Kinds of sources: they reach out through `web` alone, though they may wait."""
ASKS = {"listening.listener", "listening.trial"}
"""Modules that ask a platform, by a method with the name of one of the database's."""
IO = {
    "asyncpg", "nats", "starlette", "httpx", "httpcore", "faststream", "asyncio", "websockets",
    "socket", "urllib3", "requests",
}  # fmt: skip
RUNTIME_IO = {"bus", "consumer", "db", "relay", "service", "work"}
SQL_CALLS = {"execute", "executemany", "fetch", "fetchrow", "fetchval"}


def modules(service: str) -> Iterator[tuple[str, ast.Module]]:
    """Each module of a service, by its name within the service."""
    package = SERVICES / service / "src" / f"klankbord_{service}"
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__" or len(parts) == 1)
        yield name, ast.parse(file.read_text(encoding="utf-8"))


def imported(module: ast.Module) -> set[str]:
    """The dotted names that a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


@pytest.mark.parametrize("service", NAMES)
def test_a_service_has_the_rooms_of_every_service(service: str) -> None:
    package = SERVICES / service / "src" / f"klankbord_{service}"
    assert {name for name, _ in modules(service)} >= ROOMS
    assert (package / "sql" / "queries.sql").exists()
    assert list((package / "sql" / "migrations").glob("0001_*.sql"))
    assert (SERVICES / service / "README.md").exists()


@pytest.mark.parametrize("service", NAMES)
def test_only_a_store_speaks_sql(service: str) -> None:
    speaking = {
        name
        for name, module in modules(service)
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in SQL_CALLS
    }
    assert {name for name in speaking - ASKS if name.rpartition(".")[2] != "store"} == set()


@pytest.mark.parametrize("service", NAMES)
def test_the_domain_does_no_input_or_output(service: str) -> None:
    for name, module in modules(service):
        if name in ROOMS | DOORS | REACHES_OUT | {"__init__"}:
            continue
        names = imported(module)
        roots = {found.split(".")[0] for found in names}
        if name.startswith(KINDS):
            roots -= {"asyncio", "websockets"}  # the errors of what `web` opened
        runtime = {found.split(".")[1] for found in names if found.startswith("klankbord_runtime.")}
        assert (name, roots & IO, runtime & RUNTIME_IO) == (name, set(), set())


@pytest.mark.parametrize("service", NAMES)
def test_data_flows_one_way(service: str) -> None:
    """Doors know use cases, use cases the store and the domain; never the other way round."""
    package = f"klankbord_{service}"
    above = {
        "store": {"usecases", "handlers", "api", "app"},
        "usecases": {"handlers", "api", "app"},
    }
    for name, module in modules(service):
        forbidden = above.get(name, {"app"})
        if name in {"__main__", "app"}:
            continue
        known = {
            found.removeprefix(f"{package}.").split(".")[0]
            for found in imported(module)
            if found.startswith(f"{package}.")
        }
        assert (name, known & forbidden) == (name, set())
