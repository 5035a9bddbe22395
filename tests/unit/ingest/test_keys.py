"""Keys and tokens are read from files; what is wrong with one is told with how to make one."""

from pathlib import Path

import pytest

from klankbord_ingest.keys import read_operator_tokens, read_pseudonym_key

KEY = bytes(range(32))


def test_the_pseudonym_key_is_what_its_file_holds(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(KEY)
    assert read_pseudonym_key(file) == KEY


def test_a_key_that_is_too_short_is_refused_with_how_to_make_one(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(KEY[:31])
    with pytest.raises(ValueError, match="openssl rand"):
        read_pseudonym_key(file)


def test_no_file_is_refused_with_how_to_make_one(tmp_path: Path) -> None:
    for file in (None, tmp_path / "missing"):
        with pytest.raises(ValueError, match="openssl rand"):
            read_pseudonym_key(file)


def test_the_operator_tokens_are_the_lines_of_their_file(tmp_path: Path) -> None:
    file = tmp_path / "operator.token"
    file.write_text("t" * 32 + "\n")
    assert read_operator_tokens(file) == (b"t" * 32,)
    file.write_text("n" * 32 + "\n" + "t" * 32 + "\n")
    assert read_operator_tokens(file) == (b"n" * 32, b"t" * 32)
    file.write_text("\n".join("nto") * 32)
    with pytest.raises(ValueError, match="openssl rand"):
        read_operator_tokens(file)
    file.write_text("\n".join(letter * 32 for letter in "nto"))
    with pytest.raises(ValueError, match="keep the newest 2"):
        read_operator_tokens(file)
    assert read_operator_tokens(None) == ()


def test_an_operator_token_that_is_too_short_is_refused_with_how_to_make_one(
    tmp_path: Path,
) -> None:
    file = tmp_path / "operator.token"
    file.write_text("t" * 31 + "\n")
    with pytest.raises(ValueError, match="openssl rand"):
        read_operator_tokens(file)
