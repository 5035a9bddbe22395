"""A third party is made whole or not at all, and its key goes over no other file."""

from pathlib import Path

import pytest

from klankbord_standalone.credentials import Credentials
from klankbord_standalone.explained import UsageError
from klankbord_standalone.subscribers import place_for_copy, wanted

SUBJECTS = ("klankbord.feedback.routed.v1.*.product",)


@pytest.mark.parametrize("name", ["Bad Name", "", "-product", "../product", "a" * 64, "product\n"])
def test_a_name_that_cannot_stand_in_a_subject_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a subscriber's name"):
        wanted(name, SUBJECTS)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("subscriber-Bad Name.json", '{"subjects": ["klankbord.feedback.routed.v1.>"]}'),
        ("subscriber-torn.json", '{"subjects": ["klankb'),
        ("subscriber-seedless.json", '{"subjects": ["klankbord.feedback.routed.v1.>"]}'),
        ("subscriber-lost.json", '{"subjects": ["weather.>"]}'),
    ],
)
def test_a_bad_file_keeps_nobody_else_out_and_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str, told: str
) -> None:
    credentials = Credentials.create(tmp_path)
    good = wanted("good", SUBJECTS)
    credentials.add_subscriber(good)
    (tmp_path / file).write_text(told, encoding="utf-8")
    for _ in range(2):
        assert credentials.subscribers() == [good]
    assert len(caplog.records) == 1
    assert file.removesuffix(".json") in caplog.text


def test_a_key_is_copied_over_no_other_file(tmp_path: Path) -> None:
    seed_file, copy = tmp_path / "subscriber-product.nk", tmp_path / "product.nk"
    assert place_for_copy(seed_file, copy) == copy
    copy.write_text("precious")
    with pytest.raises(UsageError, match="is there already"):
        place_for_copy(seed_file, copy)
    seed_file.write_text("SU…")
    with pytest.raises(UsageError, match="is there already"):
        place_for_copy(seed_file, copy)
    copy.write_text("SU…")
    assert place_for_copy(seed_file, copy) == copy


def test_a_key_is_copied_into_a_folder_that_is_there(tmp_path: Path) -> None:
    seed_file = tmp_path / "credentials" / "subscriber-product.nk"
    assert place_for_copy(seed_file, tmp_path) == tmp_path / "subscriber-product.nk"
    with pytest.raises(UsageError, match="make it first"):
        place_for_copy(seed_file, tmp_path / "nowhere" / "product.nk")
