"""The body of a request, as far as a door takes it in."""

import asyncio
from http import HTTPStatus

from starlette.requests import Request

from klankbord_ingest.intake import Place
from klankbord_ingest.problem import ProblemError

READ_SECONDS = 10.0
"""How long a sender may take to send its body."""


async def read_body(request: Request, limit: int, place: Place) -> bytes:
    """The raw body, if it is no larger, comes in time, and there is room for it.

    Raises:
        ProblemError: it is larger, or too slow.
        FullError: there is no room for it.
    """
    declared = request.headers.get("content-length", "0")
    chunks: list[bytes] = []
    size = int(declared) if declared.isdecimal() else 0
    if size > limit:
        raise _too_large(limit)
    place.expect(size)
    size = 0
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                place.take(len(chunk))
                chunks.append(chunk)
    except TimeoutError:
        raise ProblemError(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the body did not arrive within {READ_SECONDS:.0f} s; send it again",
            headers={"Connection": "close"},
        ) from None
    return b"".join(chunks)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than {limit} bytes; send less at once",
        headers={"Connection": "close"},
    )
