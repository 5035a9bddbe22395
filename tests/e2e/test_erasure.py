"""A member is erased from a whole installation."""

from stage import stage
from trust.erasure import erasure


async def test_of_an_erased_member_no_byte_is_left_and_none_comes_back() -> None:
    async with stage() as scene:
        assert await erasure(scene) == 0
