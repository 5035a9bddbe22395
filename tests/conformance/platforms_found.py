"""Every platform that is played, by the way in which it is listened to."""

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from runpy import run_path
from typing import TypeVar

import pytest
from conformance.platform import Platform

PlatformT = TypeVar("PlatformT", bound=Platform)


def platforms(way: type[PlatformT]) -> list[type[PlatformT]]:
    """The classes for that way in `PLATFORMS` of every file."""
    return [platform for platform in _all() if issubclass(platform, way)]


def _all() -> list[type[Platform]]:
    """Those of Klankbord's own kinds, or of the file that `KLANKBORD_PLATFORMS` names instead."""
    found: list[type[Platform]] = []
    if given := os.environ.get("KLANKBORD_PLATFORMS"):
        found += run_path(given)["PLATFORMS"]
        return found
    for file in sorted(Path(__file__).with_name("platforms").glob("*.py")):
        found += import_module(f"conformance.platforms.{file.stem}").PLATFORMS
    return found


def at(
    way: type[PlatformT], can: Callable[[type[PlatformT]], bool] = lambda _: True
) -> pytest.MarkDecorator:
    """Run a test at every platform of that way that can do so."""
    chosen = [platform for platform in platforms(way) if can(platform)]
    return pytest.mark.parametrize(
        "place", chosen, indirect=True, ids=[platform.__name__ for platform in chosen]
    )
