"""Brings the rows of a file to a running ingest, and counts what became of them."""

import asyncio
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from klankbord_ingest.fetch import Fetcher
from klankbord_ingest.imports.batch import Batch, batches
from klankbord_ingest.imports.checkpoint import Checkpoint, digest_of
from klankbord_ingest.imports.door import Door, ImportFailedError, Outcome, Target
from klankbord_ingest.imports.feed import read_feed_body
from klankbord_ingest.imports.formats import Circumstances, open_rows
from klankbord_ingest.imports.meter import Meter
from klankbord_ingest.imports.row import Rows
from klankbord_schemas.identity import fingerprint

__all__ = [
    "Circumstances",
    "ImportFailedError",
    "ImportResult",
    "Progress",
    "Target",
    "import_path",
    "import_url",
]

ERASED = "erased"
"""Why a row is refused whose author was erased."""
IN_FLIGHT = 4
"""How many batches are on their way at once."""


@dataclass(frozen=True)
class Progress:
    """How far an import is."""

    rows: int
    """How many rows are settled."""
    received: int
    duplicate: int
    refused: int
    waiting: str | None = None
    """Why it waits for ingest; None while it does not."""
    skipped: int = 0
    """How many of the rows were settled by an earlier run, which was interrupted."""
    bytes_read: int = 0
    bytes_in_all: int | None = None
    """How long what is read is, where that is known."""


@dataclass(frozen=True)
class ImportResult:
    """What became of a file."""

    received: int
    """Posts and interactions that were new; in a dry run, those that are in order."""
    duplicate: int
    """Those that ingest knew already."""
    refused: int
    """Rows that were not taken in."""
    reasons: dict[str, int]
    """How many rows were refused, by code."""
    refused_file: str | None
    """An NDJSON file with each refused row, its position and reason; None if there is none. Rows
    by members who were erased are not in it."""

    def as_json(self) -> str:
        """The result as one JSON object."""
        return json.dumps(asdict(self))


Report: TypeAlias = Callable[[Progress], None]


async def import_path(
    path: Path,
    target: Target,
    data_dir: Path,
    circumstances: Circumstances,
    form: str = "auto",
    *,
    dry_run: bool = False,
    report: Report = lambda _: None,
) -> ImportResult:
    """Import a file or folder. One that was interrupted goes on where it was.

    Args:
        path: the file or folder.
        target: where the posts go.
        data_dir: a folder for checkpoints and refused rows.
        circumstances: what the file does not say of itself.
        form: a name of `formats.READERS`, or `auto`.
        dry_run: only read and check; nothing is sent.
        report: told how far it is, after each batch and while it waits.

    Raises:
        UnknownFormatError, HeaderError, ExportError: the file cannot be read as that format.
        ImportFailedError: ingest refuses the import as a whole.
        OSError: the file cannot be read.
    """
    meter = Meter()
    rows = open_rows(path, form, circumstances, meter)
    about = await asyncio.to_thread(digest_of, path)
    if circumstances.mapping is not None:  # by another mapping it is another import
        about += circumstances.mapping.model_dump_json()
    run = _Import(about, target, data_dir, report, meter)
    return await (run.check(rows) if dry_run else run.bring(rows))


async def import_url(
    url: str,
    target: Target,
    data_dir: Path,
    circumstances: Circumstances,
    fetcher: Fetcher,
    *,
    dry_run: bool = False,
    report: Report = lambda _: None,
) -> ImportResult:
    """Import what a feed on the web holds now. The arguments are those of `import_path`.

    Raises:
        FetchError: there is no answer at that address, or it must not be fetched.
        ImportFailedError: it answers with no feed, or ingest refuses the import.
    """
    fetched = await fetcher.get(url)
    if fetched.status != HTTPStatus.OK:
        raise ImportFailedError(f"{fetched.url} answered {fetched.status} and no feed")
    rows = read_feed_body(fetched.body, fetched.url, circumstances.heard)
    run = _Import(sha256(fetched.body).hexdigest(), target, data_dir, report)
    return await (run.check(rows) if dry_run else run.bring(rows))


class _Import:
    """One import: what was settled of it, and where that is written down."""

    def __init__(
        self, about: str, target: Target, data_dir: Path, report: Report, meter: Meter | None = None
    ) -> None:
        self._target = target
        self._report = report
        self._meter = meter or Meter()
        self._settled = Checkpoint()
        self._skipped = 0
        identity = (about, target.community, target.source, target.platform or "")
        name = fingerprint(*identity, size=8).hex()
        folder = data_dir / "imports"
        folder.mkdir(parents=True, exist_ok=True)
        self._checkpoint = folder / f"{name}.checkpoint"
        self._refused = folder / f"{name}.refused.ndjson"
        self._dry_refused = folder / f"{name}.dry-run.refused.ndjson"

    async def check(self, rows: Rows) -> ImportResult:
        """Read and check the rows, and nothing else."""
        with _private(self._dry_refused, "wb") as refused_file:
            source = batches(rows)
            while (batch := await asyncio.to_thread(next, source, None)) is not None:
                self._settle(batch, Outcome(received=len(batch.submissions)), refused_file)
        return self._result(self._dry_refused)

    async def bring(self, rows: Rows) -> ImportResult:
        """Send the rows that were not settled before."""
        self._settled = Checkpoint.load(self._checkpoint)
        self._skipped = self._settled.rows
        # Settled in the order of the file, so that a checkpoint is one number.
        in_flight: deque[tuple[Batch, asyncio.Task[Outcome]]] = deque()
        source = batches(islice(rows, self._settled.rows, None))
        with _private(self._refused, "ab") as refused_file:
            refused_file.truncate(self._settled.refused_bytes)
            async with Door(self._target, self._tell) as door:
                try:
                    while (batch := await asyncio.to_thread(next, source, None)) is not None:
                        while len(in_flight) >= IN_FLIGHT or _shares_a_post(batch, in_flight):
                            await self._settle_first(in_flight, refused_file)
                        in_flight.append((batch, asyncio.create_task(door.post(batch))))
                    while in_flight:
                        await self._settle_first(in_flight, refused_file)
                finally:
                    for _, task in in_flight:
                        task.cancel()
        # Complete: another import of the same file begins at its beginning.
        self._checkpoint.unlink(missing_ok=True)
        return self._result(self._refused)

    async def _settle_first(
        self, in_flight: deque[tuple[Batch, asyncio.Task[Outcome]]], refused_file: BinaryIO
    ) -> None:
        batch, task = in_flight.popleft()
        self._settle(batch, await task, refused_file)
        self._settled.save(self._checkpoint)

    def _settle(self, batch: Batch, outcome: Outcome, refused_file: BinaryIO) -> None:
        """Count a batch, and write down what was refused of it."""
        refused = [*batch.refused, *outcome.refused]
        reasons = dict(self._settled.reasons)
        for position, refusal in refused:
            reasons[refusal.code] = reasons.get(refusal.code, 0) + 1
            line = json.dumps({"position": position, **asdict(refusal)}, default=str)
            refused_file.write(line.encode() + b"\n")
        refused_file.flush()
        if outcome.erased:  # counted, and written nowhere
            reasons[ERASED] = reasons.get(ERASED, 0) + outcome.erased
        self._settled = Checkpoint(
            rows=self._settled.rows + batch.rows,
            received=self._settled.received + outcome.received,
            duplicate=self._settled.duplicate + outcome.duplicate,
            refused=self._settled.refused + len(refused) + outcome.erased,
            reasons=reasons,
            refused_bytes=refused_file.tell(),
        )
        self._tell(None)

    def _tell(self, waiting: str | None) -> None:
        settled = self._settled
        self._report(
            Progress(
                settled.rows,
                settled.received,
                settled.duplicate,
                settled.refused,
                waiting,
                self._skipped,
                self._meter.read,
                self._meter.total,
            )
        )

    def _result(self, refused_file: Path) -> ImportResult:
        settled = self._settled
        return ImportResult(
            received=settled.received,
            duplicate=settled.duplicate,
            refused=settled.refused,
            reasons=settled.reasons,
            refused_file=str(refused_file) if settled.refused_bytes else None,
        )


@contextmanager
def _private(path: Path, mode: Literal["wb", "ab"]) -> Iterator[BinaryIO]:
    """Write a file that only this user may read, rows being what members wrote; none if empty."""
    with open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        yield file
    if path.stat().st_size == 0:
        path.unlink()


def _shares_a_post(batch: Batch, in_flight: Iterable[tuple[Batch, asyncio.Task[Outcome]]]) -> bool:
    """Whether an earlier version of a post in the batch is still on its way."""
    return any(not batch.ids.isdisjoint(earlier.ids) for earlier, _ in in_flight)
