"""Where so many are too large an answer, fewer are asked for."""

import pytest

from klankbord_ingest.kind import FetchError
from klankbord_ingest.web import first_that_fits


async def fits(asked: list[int], most: int, size: int) -> str:
    asked.append(size)
    if size > most:
        raise FetchError("too_large", f"{size} are too many")
    return f"{size} items"


async def test_the_largest_answer_that_fits_is_taken() -> None:
    for most, tried in ((50, [50]), (7, [50, 5]), (1, [50, 5, 1])):
        asked: list[int] = []
        answer = await first_that_fits([50, 5, 1], lambda size: fits(asked, most, size))  # noqa: B023
        assert answer == (f"{tried[-1]} items", tried[-1])
        assert asked == tried


async def test_what_is_too_large_even_alone_and_any_other_trouble_is_raised() -> None:
    with pytest.raises(FetchError, match="1 are too many"):
        await first_that_fits([5, 1], lambda size: fits([], 0, size))

    async def refused(size: int) -> str:
        raise FetchError("bad_answer", f"not even {size}")

    with pytest.raises(FetchError, match="not even 5"):
        await first_that_fits([5, 1], refused)
