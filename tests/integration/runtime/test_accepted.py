"""Accepted files: offered once, stored, in force for every replica."""

import asyncio
import logging
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from klankbord_runtime.accepted import AcceptedFile, Problem, Refused
from klankbord_runtime.db import Database

GOOD, BETTER, BAD = b"good", b"better", b"bad"


def parse(body: bytes) -> str:
    """A file that is refused when it says `bad`, with the line that says so."""
    if body == BAD:
        raise Refused(Problem("says bad", "say good", line=1, place="word"))
    return body.decode()


def of_an_older_build(body: bytes) -> str:
    """Does not know what is better yet."""
    if body == BETTER:
        raise Refused(Problem("says better", "say good", line=1))
    return parse(body)


def replica(path: Path | None = None, read: Callable[[bytes], str] = parse) -> AcceptedFile[str]:
    return AcceptedFile("policy", read, path)


async def load(file: AcceptedFile[str], database: Database) -> AcceptedFile[str]:
    async with database.transaction() as connection:
        await file.load(connection)
    return file


async def apply(database: Database, body: bytes) -> str:
    async with database.transaction() as connection:
        return await replica().apply(connection, body)


async def refresh(file: AcceptedFile[str], database: Database) -> bool:
    async with database.transaction() as connection:
        return await file.refresh(connection)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_bytes(GOOD)
    return path


async def test_a_valid_file_on_disk_is_accepted_and_in_force(
    database: Database, disk: Path
) -> None:
    file = await load(replica(disk), database)
    assert file.accepted
    assert file.value == "good"
    assert file.digest == sha256(GOOD).hexdigest()
    assert file.problem is None


async def test_what_a_service_can_do_without_is_in_force_until_one_is_accepted(
    database: Database, disk: Path
) -> None:
    disk.write_bytes(BAD)
    file = await load(AcceptedFile("policy", parse, disk, otherwise=b"nothing"), database)
    assert (file.value, file.problem) == ("nothing", None)
    await apply(database, GOOD)
    assert await refresh(file, database)
    assert file.value == "good"


async def test_a_replica_without_the_file_uses_the_stored_one(
    database: Database, disk: Path
) -> None:
    await load(replica(disk), database)
    assert (await load(replica(), database)).value == "good"


async def test_a_changed_file_on_disk_is_accepted_at_the_next_start(
    database: Database, disk: Path
) -> None:
    await load(replica(disk), database)
    disk.write_bytes(BETTER)
    assert (await load(replica(disk), database)).value == "better"


async def test_an_edit_that_is_taken_back_comes_into_force_too(
    database: Database, disk: Path
) -> None:
    await load(replica(disk), database)
    disk.write_bytes(BETTER)
    await load(replica(disk), database)
    disk.write_bytes(GOOD)
    assert (await load(replica(disk), database)).value == "good"


async def test_a_bad_file_is_logged_and_the_last_good_one_stays(
    database: Database, disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await load(replica(disk), database)
    disk.write_bytes(BAD)
    file = await load(replica(disk), database)
    assert file.value == "good"
    assert file.problem is None, "a replica with a good file is ready"
    assert "line 1: word: says bad; say good" in caplog.text


async def test_a_bad_file_and_no_good_one_says_why_nothing_is_in_force(
    database: Database, disk: Path
) -> None:
    disk.write_bytes(BAD)
    file = await load(replica(disk), database)
    assert not file.accepted
    assert file.problem
    assert str(disk) in file.problem
    assert "line 1: word: says bad; say good" in file.problem
    with pytest.raises(RuntimeError, match="says bad"):
        _ = file.value


async def test_no_file_at_all_says_what_to_do(database: Database, tmp_path: Path) -> None:
    missing = tmp_path / "policy.yaml"
    file = await load(replica(missing), database)
    assert not file.accepted
    assert file.problem == f"no policy was accepted yet: write {missing}, or apply one"
    with pytest.raises(RuntimeError, match="apply one"):
        _ = file.digest


async def test_a_file_that_cannot_be_opened_says_why(database: Database, tmp_path: Path) -> None:
    file = await load(replica(tmp_path), database)
    assert not file.accepted
    assert "directory" in str(file.problem)


async def test_what_is_applied_is_in_force_everywhere_after_a_refresh(
    database: Database, disk: Path
) -> None:
    one, other = await load(replica(disk), database), await load(replica(), database)
    digest = await apply(database, BETTER)
    assert one.value == "good", "until it refreshes"
    assert await refresh(one, database) is True
    assert await refresh(other, database) is True
    assert one.value == other.value == "better"
    assert one.digest == digest
    assert await refresh(one, database) is False


async def test_what_is_refused_is_not_stored(database: Database) -> None:
    with pytest.raises(Refused, match="says bad"):
        await apply(database, BAD)
    assert not (await load(replica(), database)).accepted


async def test_what_rolls_back_never_comes_into_force(database: Database, disk: Path) -> None:
    file = await load(replica(disk), database)
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await file.apply(connection, BETTER)
        await transaction.rollback()
    assert await refresh(file, database) is False
    assert file.value == "good"


async def test_applying_an_older_file_puts_it_in_force_again(
    database: Database, disk: Path
) -> None:
    file = await load(replica(disk), database)
    await apply(database, BETTER)
    await apply(database, GOOD)
    assert await refresh(file, database) is False, "it never left"
    await apply(database, BETTER)
    assert await refresh(file, database) is True
    await apply(database, GOOD)
    assert await refresh(file, database) is True
    assert file.value == "good"


async def test_a_restart_with_an_older_file_on_disk_does_not_bring_it_back(
    database: Database, disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await load(replica(disk), database)
    await apply(database, BETTER)
    assert (await load(replica(disk), database)).value == "better"
    assert "apply it to put it in force again" in caplog.text


async def test_the_newest_is_the_last_applied_even_if_the_clock_was_set_back(
    database: Database,
) -> None:
    await apply(database, GOOD)
    async with database.connection() as connection:
        await connection.execute("update accepted_file set accepted = now() + interval '1 day'")
    await apply(database, BETTER)
    assert (await load(replica(), database)).value == "better"


async def test_many_replicas_may_start_at_once(database: Database, disk: Path) -> None:
    files = await asyncio.gather(*(load(replica(disk), database) for _ in range(8)))
    assert {file.value for file in files} == {"good"}
    async with database.connection() as connection:
        assert await connection.fetchval("select count(*) from accepted_file") == 1


async def test_many_may_apply_at_once(database: Database) -> None:
    bodies = [str(number % 3).encode() for number in range(12)]
    await asyncio.gather(*(apply(database, body) for body in bodies))
    one, other = await load(replica(), database), await load(replica(), database)
    assert one.digest == other.digest


async def test_files_of_other_names_are_other_files(database: Database, disk: Path) -> None:
    await load(replica(disk), database)
    other = AcceptedFile("routing", parse)
    assert not (await load(other, database)).accepted


async def test_an_older_build_keeps_the_last_one_that_it_can_read(
    database: Database, disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    older = await load(replica(disk, of_an_older_build), database)
    digest = await apply(database, BETTER)
    with caplog.at_level(logging.ERROR):
        assert await refresh(older, database) is False
        assert await refresh(older, database) is False
    assert older.value == "good"
    assert older.problem is None
    assert caplog.text.count(digest) == 1, "told once, not at every refresh"
    await apply(database, b"good again")
    assert await refresh(older, database) is True
    assert older.value == "good again"


async def test_a_build_that_cannot_read_the_newest_does_not_go_back_by_itself(
    database: Database,
) -> None:
    await apply(database, GOOD)
    digest = await apply(database, BETTER)
    older = await load(replica(read=of_an_older_build), database)
    assert not older.accepted
    assert digest in str(older.problem)
    assert "line 1: says better; say good" in str(older.problem)
    await apply(database, GOOD)
    assert await refresh(older, database) is True
    assert older.value == "good"
