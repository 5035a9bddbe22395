"""A page of items, each read by itself; and several pages as one."""

from datetime import UTC, datetime, timedelta

from klankbord_ingest.kind import FieldError, Page, PassedOver, gathered, together


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


def test_pages_together_go_on_where_the_last_of_them_does() -> None:
    first = gathered(["1772366400", "soon", "private"], read, {"after": 1}, more=True)
    second = gathered(["later", "1772366401", "private"], read, wish=timedelta(seconds=4))
    whole = FieldError(None, "channel 7", "is closed", "not_found")
    page = together([first, second, Page(refused=[whole], ask_now=True)])
    assert [one.native_id for one in page.submissions] == ["1772366400", "1772366401"]  # type: ignore[union-attr]
    assert [error.index for error in page.refused] == [1, 2, None], "each has a place of its own"
    assert page.passed_over == {"private": 2}
    assert page.cursor == {"after": 1}
    assert not page.more
    assert page.wish == timedelta(seconds=4)
    assert page.ask_now


def test_what_nests_too_deep_hinders_no_other() -> None:
    def endless(item: str) -> list[dict[str, object]]:
        return read(item) if item.isdecimal() else endless(item)

    page = gathered(["deep", "1772366400"], endless)
    assert len(page.submissions) == 1
    assert [(error.index, error.code) for error in page.refused] == [(0, "malformed")]
