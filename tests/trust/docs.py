"""Writes the last table of `make trust` into the page that states the promise."""

from pathlib import Path

import pages

PAGE = Path(__file__).parents[2] / "docs" / "guarantees.md"


def write() -> None:
    """Put the last run into docs/guarantees.md.

    Raises:
        SystemExit: there was none, or the page has no markers; says what to do.
    """
    told = pages.last_run("trust")
    about = f"`make trust`, seed {told['seed']}, {told['took_s']:.0f} s on {pages.machine(told)}."
    pages.fill(PAGE, "trust table", f"{about}\n\n{pages.table(told)}")
