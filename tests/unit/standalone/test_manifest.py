"""A folder that is no whole backup, or one of another installation, is refused with the reason."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from klankbord_standalone import restore
from klankbord_standalone.backup import copy_private, make_room
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.explained import UsageError
from klankbord_standalone.home import Home, Running
from klankbord_standalone.manifest import (
    DUMP,
    FILE,
    BackupRefusedError,
    Manifest,
    digest_of_key,
    known_migrations,
    sha256_of,
)
from klankbord_standalone.restore import (
    bring_files,
    require_fit_bus,
    require_same_key,
    require_stopped,
)
from klankbord_standalone.servers import Installation

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A backup as small as one can be."""
    kept = tmp_path / "backup"
    make_room(kept)
    (kept / DUMP).write_bytes(b"dumped")
    Manifest(
        klankbord="0.1.0",
        nats="2.15.1",
        postgres=15,
        owner="postgres",
        as_of=NOW,
        said_since=NOW,
        pseudonym_key=digest_of_key(b"k" * 32),
        audit_head="0" * 64,
        migrations={"routing": known_migrations("routing")},
        rows={},
        streams=[],
        files={DUMP: sha256_of(kept / DUMP)},
    ).write(kept)
    return kept


def damage(folder: Path) -> None:
    (folder / DUMP).write_bytes(b"dumbed")


def lose(folder: Path) -> None:
    (folder / DUMP).unlink()


def break_off(folder: Path) -> None:
    (folder / FILE).unlink()


def cut(folder: Path) -> None:
    (folder / FILE).write_text((folder / FILE).read_text()[:-20])


def make_newer(folder: Path) -> None:
    told = json.loads((folder / FILE).read_text())
    told["migrations"]["routing"]["klankbord_routing/0099_of_tomorrow"] = "0" * 64
    (folder / FILE).write_text(json.dumps(told))


def change_a_migration(folder: Path) -> None:
    told = json.loads((folder / FILE).read_text())
    told["migrations"]["routing"] = dict.fromkeys(told["migrations"]["routing"], "0" * 64)
    (folder / FILE).write_text(json.dumps(told))


def add_a_service(folder: Path) -> None:
    told = json.loads((folder / FILE).read_text())
    told["migrations"]["answers"] = {"klankbord_answers/0001_first": "0" * 64}
    (folder / FILE).write_text(json.dumps(told))


async def check(folder: Path) -> None:
    manifest = Manifest.read(folder)
    manifest.require_known_schema()
    await manifest.verify(folder)


async def test_a_whole_backup_is_taken(folder: Path) -> None:
    await check(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (damage, "is damaged"),
        (lose, "not whole"),
        (break_off, "was never finished"),
        (cut, "cannot be read"),
        (make_newer, "0099_of_tomorrow, which this build"),
        (change_a_migration, "0001_inbox_outbox, which this build"),
        (add_a_service, "schema answers has"),
    ],
)
async def test_what_is_no_backup_for_this_build_is_refused(
    folder: Path, change: Callable[[Path], None], told: str
) -> None:
    change(folder)
    with pytest.raises(BackupRefusedError, match=told):
        await check(folder)


def test_another_pseudonym_key_is_refused(folder: Path, tmp_path: Path) -> None:
    credentials = Credentials.create(tmp_path / "credentials")
    here = Installation("", "", credentials)
    with pytest.raises(BackupRefusedError, match="every member becomes a stranger"):
        require_same_key(Manifest.read(folder), here)
    credentials.pseudonym_key_file.write_bytes(b"k" * 32)
    require_same_key(Manifest.read(folder), here)


def test_a_new_installation_needs_the_key_from_somewhere(folder: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "data", tmp_path / "config")
    with pytest.raises(BackupRefusedError, match=r"pseudonym\.key is not there"):
        bring_files(home, folder)
    assert not home.data.exists()


def back_up_credentials(folder: Path, *names: str) -> None:
    for name in names:
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        place.write_text("of the backup")


def test_a_key_that_was_taken_away_since_does_not_come_back(folder: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "data", tmp_path / "config")
    kept = {file.name for file in Credentials.create(home.data / "credentials").folder.iterdir()}
    home.secrets.mkdir(parents=True)
    back_up_credentials(
        folder,
        "credentials/subscriber-partner.nk",
        "credentials/subscriber-partner.json",
        "credentials/ingest.nk.old",
        "secrets/forum",
    )
    bring_files(home, folder)
    assert {file.name for file in (home.data / "credentials").iterdir()} == kept
    assert list(home.secrets.iterdir()) == []


def test_a_new_installation_gets_every_key_even_if_it_was_interrupted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "data", tmp_path / "config")
    names = ("pseudonym.key", "provision.nk", "subscriber-partner.nk", "ingest.nk.old")
    back_up_credentials(folder, *(f"credentials/{name}" for name in names), "secrets/forum")
    copies: list[str] = []

    def copy_until_the_power_goes(file: Path, copy: Path) -> None:
        if len(copies) == 3:
            raise OSError("the power is gone")
        copies.append(file.name)
        copy_private(file, copy)

    with monkeypatch.context() as patched:
        patched.setattr(restore, "copy_private", copy_until_the_power_goes)
        with pytest.raises(OSError, match="power"):
            bring_files(home, folder)
    bring_files(home, folder)
    assert {file.name for file in (home.data / "credentials").iterdir()} == set(names)
    assert (home.secrets / "forum").read_text() == "of the backup"


def test_an_older_nats_server_is_refused(folder: Path) -> None:
    manifest = Manifest.read(folder)
    for version in ("2.15.0", "2.16.3", "3.0.0-dev"):
        require_fit_bus(version, manifest)
    with pytest.raises(BackupRefusedError, match=r"needs 2\.15 or newer"):
        require_fit_bus("2.14.9", manifest)
    older = manifest.model_copy(update={"nats": "2.12.1"})
    require_fit_bus("2.14.0", older)
    with pytest.raises(BackupRefusedError, match=r"needs 2\.14 or newer"):
        require_fit_bus("2.12.1", older)


def test_what_runs_is_not_restored(tmp_path: Path) -> None:
    home = Home(tmp_path, tmp_path)
    require_stopped(home)
    home.note_running(Running(os.getpid(), "", "", "", {}))
    with pytest.raises(UsageError, match="it runs here"):
        require_stopped(home)


def test_what_is_in_the_folder_is_not_overwritten(folder: Path) -> None:
    with pytest.raises(UsageError, match="is not empty"):
        make_room(folder)
