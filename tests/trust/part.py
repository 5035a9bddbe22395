"""A part of `make trust`: what it is called, what it finds, and how it is run."""

import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from figures import Row

Say: TypeAlias = Callable[[str], None]
"""Tells whoever watches what is being done."""


@dataclass(frozen=True)
class Part:
    """One part, and the rows that it owes: where it fails to give them, they have failed."""

    name: str
    does: str
    """What it does, in a line."""
    owes: tuple[str, ...]
    run: Callable[[int, Say], Awaitable[Sequence[Row]]]
    """Given the seed and somewhere to tell how it goes."""
    by_name: bool = False
    """Whether it is run only when it is named, because it takes long."""

    async def rows(self, seed: int, say: Say) -> list[Row]:
        """What it found; whatever it raises becomes rows that do not hold, and a trace."""
        try:
            found = list(await self.run(seed, say))
        except Exception as error:  # noqa: BLE001 - told, and every row that it owes has failed
            say(traceback.format_exc().rstrip())
            first: BaseException = error
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            why = f"{type(first).__name__}: {first}".splitlines()[0][:200]
            return [Row(name, None, "", failed=why) for name in self.owes]
        missing = set(self.owes) - {row.name for row in found}
        return found + [Row(name, None, "", failed="not told") for name in sorted(missing)]
