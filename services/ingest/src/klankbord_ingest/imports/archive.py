"""The files of an export, whatever holds them: a folder, a zip file, a tar file, or one file alone.

Nothing is unpacked to disk, and no name in an archive is taken for a path.
"""

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from klankbord_ingest.imports.meter import Meter

MAX_FILES = 200_000
UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError)
"""What a broken, encrypted or oddly compressed archive raises, beside OSError."""


class ExportError(ValueError):
    """A file or folder is no export of the platform that it is said to be of."""


def is_tar(path: Path) -> bool:
    """Whether a file is a tar file, compressed or not."""
    return path.is_file() and tarfile.is_tarfile(path)


def names_in(path: Path) -> list[str]:
    """The names of the files that a folder or zip file holds.

    Raises:
        ExportError: there are more than are read.
    """
    if path.is_dir():
        found = (file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
        names = [file.relative_to(path).as_posix() for file in found]
    else:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    if len(names) > MAX_FILES:
        raise ExportError(f"{path} holds more than {MAX_FILES:,} files; split the export")
    return names


def files(
    path: Path, is_wanted: Callable[[str], bool], meter: Meter
) -> Iterator[tuple[str, BinaryIO]]:
    """The files that are wanted, with their names; each is open until the next is asked for.

    Args:
        path: a folder, a zip file, a tar file, or any other file, which is the one file then.
        is_wanted: whether a file of that name is.
        meter: told how much was read.

    Raises:
        ExportError: there are more files than are read, or the archive is broken.
    """
    try:
        if path.is_dir():
            yield from _of_folder(path, is_wanted, meter)
        elif zipfile.is_zipfile(path):
            yield from _of_zip(path, is_wanted, meter)
        elif is_tar(path):
            yield from _of_tar(path, is_wanted, meter)
        else:
            with meter.open(path) as stream:
                yield path.name, stream
    except UNREADABLE as error:
        raise ExportError(f"{path} is broken: {error}") from error


def _of_folder(
    path: Path, is_wanted: Callable[[str], bool], meter: Meter
) -> Iterator[tuple[str, BinaryIO]]:
    names = sorted(filter(is_wanted, names_in(path)))
    meter.total = sum((path / name).stat().st_size for name in names)
    for name in names:
        with meter.open(path / name) as stream:
            yield name, stream


def _of_zip(
    path: Path, is_wanted: Callable[[str], bool], meter: Meter
) -> Iterator[tuple[str, BinaryIO]]:
    names = sorted(filter(is_wanted, names_in(path)))
    with zipfile.ZipFile(path) as archive:
        meter.total = sum(archive.getinfo(name).file_size for name in names)
        for name in names:
            with archive.open(name) as stream, meter.reading(cast(BinaryIO, stream)):
                yield name, cast(BinaryIO, stream)


def _of_tar(
    path: Path, is_wanted: Callable[[str], bool], meter: Meter
) -> Iterator[tuple[str, BinaryIO]]:
    with meter.open(path) as file, tarfile.open(fileobj=file, mode="r|*") as archive:
        for count, member in enumerate(archive):
            if count > MAX_FILES:
                raise ExportError(f"{path} holds more than {MAX_FILES:,} files; split the export")
            stream = archive.extractfile(member) if member.isfile() else None
            if stream is not None and is_wanted(member.name):
                yield member.name, cast(BinaryIO, stream)
