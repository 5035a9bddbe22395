"""Every platform that is played, by the way in which it is listened to."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import pytest
from conformance.platform import Platform

PlatformT = TypeVar("PlatformT", bound=Platform)


def platforms(way: type[PlatformT]) -> list[type[PlatformT]]:
    """The classes for that way in `PLATFORMS` of every file in `platforms/`."""
    found: list[type[PlatformT]] = []
    for file in sorted(Path(__file__).with_name("platforms").glob("*.py")):
        played = import_module(f"conformance.platforms.{file.stem}").PLATFORMS
        found += [platform for platform in played if issubclass(platform, way)]
    return found


def at(
    way: type[PlatformT], can: Callable[[type[PlatformT]], bool] = lambda _: True
) -> pytest.MarkDecorator:
    """Run a test at every platform of that way that can do so."""
    chosen = [platform for platform in platforms(way) if can(platform)]
    return pytest.mark.parametrize(
        "place", chosen, indirect=True, ids=[platform.__name__ for platform in chosen]
    )
