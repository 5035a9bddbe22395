"""`make alarms`: force every alert on a running installation, and follow its page.

    python -m alarms                    all of them; writes build/alarms.json (≤ 30 min)
    python -m alarms dead_letters       these alone; the others stay as they were last seen
    python -m alarms --docs             write what was seen last into the pages

Debian's Prometheus watches the demo's community with the shipped rules, whose times are a sixtieth
(for the rhythm of sources a 3600th) of what they are: alarms/shortened.py.
Exit codes: 0 every alert fired and cleared, 1 one did not.
"""

import argparse
import asyncio
import json
import logging
import sys
import time
from dataclasses import asdict
from pathlib import Path

import yaml
from alarms.forcing import FORCING
from alarms.pages import Page
from alarms.scene import scene
from alarms.trial import AlarmFailedError, Trial, Tried
from alarms.watcher import SHIPPED

FIGURES = Path(__file__).parents[2] / "build" / "alarms.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="alarms", description="Force every alert.")
    names = [force.__name__ for force in FORCING]
    parser.add_argument("which", nargs="*", metavar="which", help=", ".join(names))
    parser.add_argument("--docs", action="store_true", help="write what was seen into the pages")
    arguments = parser.parse_args()
    if arguments.docs:
        write_docs()
        return 0
    if unknown := set(arguments.which) - set(names):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    logging.basicConfig(level=logging.WARNING)
    return asyncio.run(_force(arguments.which or names, all_of_them=not arguments.which))


async def _force(which: list[str], *, all_of_them: bool) -> int:
    begun = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s  {what}", flush=True)

    failed = []
    say("starting the installation and Prometheus")
    async with scene() as running:
        trial = Trial(running, say)
        for force in FORCING:
            if force.__name__ not in which:
                continue
            say(f"-- {force.__name__}: {(force.__doc__ or '').splitlines()[0]}")
            trial.begin()
            try:
                await force(trial)
            except (AlarmFailedError, AssertionError, OSError, RuntimeError) as error:
                failed.append(force.__name__)
                say(f"FAILED: {error}")
    whole = [tried for tried in trial.tried if tried.cleared_after is not None]
    if all_of_them and (left := _not_forced(whole)):
        failed += left
        say(f"FAILED: not forced: {', '.join(left)}")
    _keep(whole)
    say(f"{len(whole)} fired and cleared; {len(failed)} failed; wrote {FIGURES.name}")
    return 1 if failed else 0


def _seen() -> list[Tried]:
    """What was seen last of each alert."""
    if not FIGURES.exists():
        return []
    return [Tried(**one) for one in json.loads(FIGURES.read_text("utf-8"))]


def _keep(tried: list[Tried]) -> None:
    """Write down what was seen, in place of what was seen of the same before."""
    kept = {one.case: one for one in [*_seen(), *tried]}
    FIGURES.parent.mkdir(exist_ok=True)
    written = [asdict(kept[case]) for case in sorted(kept)]
    FIGURES.write_text(json.dumps(written, indent=2, ensure_ascii=False), "utf-8")


def _not_forced(tried: list[Tried]) -> list[str]:
    """The alerts of the shipped rules that did not fire and clear, each reason by itself."""
    rules = yaml.safe_load((SHIPPED / "rules" / "klankbord.yaml").read_text("utf-8"))
    wanted = {
        (rule["alert"], rule["labels"].get("reason", ""))
        for group in rules["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    forced = {one.case for one in tried}
    return [" ".join(one).strip() for one in sorted(wanted - forced)]


def write_docs() -> None:
    """Write into each page when it was tried, and what was seen."""
    seen = _seen()
    for alert in {one.alert for one in seen}:
        cases = [one.told() for one in seen if one.alert == alert]
        Page.of(alert).note(
            ["By `make alarms`, all times shortened ([how](README.md)):", "", *cases]
        )


if __name__ == "__main__":
    sys.exit(main())
