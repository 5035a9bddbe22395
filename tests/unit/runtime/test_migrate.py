from pathlib import Path

import pytest

from klankbord_runtime.db import load_queries
from klankbord_runtime.migrate import migrations


def test_the_runtime_comes_first_and_files_come_in_order() -> None:
    found = migrations("klankbord_moderation")
    packages = [migration.package for migration in found]
    assert packages == sorted(packages, key=["klankbord_runtime", "klankbord_moderation"].index)
    for package in set(packages):
        names = [migration.name for migration in found if migration.package == package]
        assert names == sorted(names)
        assert len({name[:4] for name in names}) == len(names), "two migrations share a number"


@pytest.mark.parametrize("package", ["runtime", "ingest", "moderation", "routing", "metrics"])
def test_every_block_of_sql_has_a_name_of_its_own(package: str) -> None:
    queries = load_queries(f"klankbord_{package}")
    assert len(queries) > 0


def test_a_query_that_does_not_exist_says_so() -> None:
    with pytest.raises(AttributeError, match="-- name: no_such_query"):
        _ = load_queries("klankbord_runtime").no_such_query


def test_no_migration_takes_anything_away() -> None:
    """Expand-only: yesterday's build runs on today's schema."""
    for package in ("ingest", "moderation", "routing", "metrics"):
        for migration in migrations(f"klankbord_{package}"):
            words = migration.sql.lower()
            for taking in ("drop table", "drop column", "rename", "set not null"):
                assert taking not in words, f"{Path(migration.name)}: {taking}"
