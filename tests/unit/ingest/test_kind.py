"""A page of items, each read by itself."""

from datetime import UTC, datetime

from klankbord_ingest.kind import PassedOver, gathered


def read(item: str) -> list[dict[str, object]]:
    if item == "private":
        raise PassedOver(item)
    published = datetime.fromtimestamp(int(item), UTC)
    return [{"nativeId": item, "published": published, "content": "Hello"}]


def test_a_time_too_far_away_hinders_no_other() -> None:
    page = gathered(["1772366400", str(2**62), str(10**30), "soon", "private", "-1"], read)
    assert [one.native_id for one in page.submissions] == ["1772366400"]  # type: ignore[union-attr]
    assert [error.index for error in page.refused] == [1, 2, 3, 5]
    assert page.passed_over == {"private": 1}
