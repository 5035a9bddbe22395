"""Real payloads through the kinds that read them: what became of each, and what went wrong.

make replay                                    payloads in ../shared/real/payloads
python -m scripts.replay --payloads DIR        payloads elsewhere
python -m scripts.replay --only feeds --why    one folder, and every refusal by its file
"""

import argparse
import asyncio
import sys
import traceback
from pathlib import Path

from scripts.replay import feeds
from scripts.replay.folders import FOLDERS, Folder, Scene
from scripts.replay.playing import File, asking, served
from scripts.replay.tally import Tally, UnreadError, table

from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.kind import FetchError, RefusedError

PAYLOADS = Path(__file__).parents[3] / "shared" / "real" / "payloads"
NO_PAYLOAD = {"LICENSE": "a licence", "README": "text about the payloads"}
"""What files are that tell about the payloads, by how their names begin."""


def files_of(folder: Path) -> list[File]:
    """Every file in a folder, in the order of their names."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [File(path, path.relative_to(folder).as_posix()) for path in paths]


def told_about(file: File) -> str | None:
    """What a file is that is no payload; None for a payload."""
    begins = (why for begin, why in NO_PAYLOAD.items() if file.path.name.startswith(begin))
    return next(begins, None)


async def replayed(name: str, folder: Folder, root: Path, *, is_told: bool) -> Tally:
    """A folder through its kind."""
    tally = Tally(name, folder.kind)
    with FeedReader() as reader, served(root) as home:
        scene = Scene(home, asking(home, reader))
        for file in files_of(root):
            tally.files += 1
            before = tally.refused.copy()
            if (why := told_about(file)) is not None:
                tally.unread[why] += 1
                continue
            try:
                async for page in folder.read(file, scene):
                    tally.add(page)
            except UnreadError as error:
                tally.unread[str(error)] += 1
            except RefusedError as refused:
                tally.refused.update({error.code for error in refused.errors})
            except FetchError as error:
                tally.refused[error.code] += 1
            except Exception:  # noqa: BLE001  whatever it is, it is told, and the rest goes on
                tally.crashes.append(f"{name}/{file.name}: {traceback.format_exc()}")
            if is_told and (refused_here := tally.refused - before):
                print(f"{name}/{file.name}: refused {dict(refused_here)}")
    return tally


async def replay(payloads: Path, only: str | None, *, is_told: bool) -> list[Tally]:
    """Every folder through its kind."""
    return [
        await replayed(name, folder, payloads / name, is_told=is_told)
        for name, folder in FOLDERS.items()
        if (payloads / name).is_dir() and only in (None, name)
    ]


def main() -> int:
    """Replay, and tell. Exit code 1: something crashed, or feeds are misread; 2: no payloads."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--payloads", type=Path, default=PAYLOADS, metavar="DIR")
    parser.add_argument("--only", choices=sorted(FOLDERS), help="this folder alone")
    parser.add_argument("--why", action="store_true", help="tell each refusal by its file")
    arguments = parser.parse_args()
    if not arguments.payloads.is_dir():
        print(
            f"There are no payloads at {arguments.payloads}. They are recorded messages of real "
            "platforms, not part of this repository; give their folder with --payloads.",
            file=sys.stderr,
        )
        return 2
    tallies = asyncio.run(replay(arguments.payloads, arguments.only, is_told=arguments.why))
    print(table(tallies))
    crashes = [crash for tally in tallies for crash in tally.crashes]
    is_good = not crashes
    if (arguments.payloads / "feeds").is_dir() and arguments.only in (None, "feeds"):
        with FeedReader() as reader:
            comparison = feeds.compared(files_of(arguments.payloads / "feeds"), reader)
        print("", *comparison.lines(), sep="\n")
        is_good = is_good and comparison.is_good
    print("", *(f"CRASH {crash}" for crash in crashes), sep="\n")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
