"""Jobs that go on while something else is done."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def beside(*jobs: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run these meanwhile, and end them; what one of them raised is raised then."""
    tasks = [asyncio.create_task(job()) for job in jobs]
    try:
        yield
    finally:
        left = set(tasks)
        while left:  # nats-py swallows a cancellation that comes at the wrong moment
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=1)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
