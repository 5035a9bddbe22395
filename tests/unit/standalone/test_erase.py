"""Whom `klankbord erase-member` is told to forget: by pseudonym, or by what the platform says."""

from pathlib import Path

import pytest

from klankbord_standalone.credentials import Credentials
from klankbord_standalone.erase import member_of
from klankbord_standalone.explained import UsageError
from klankbord_standalone.servers import Installation

PSEUDONYM = "p-" + "2" * 32


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("anna", None, None), "'anna' is no pseudonym"),
        ((None, "forum", None), "--platform and --native-id together"),
        ((PSEUDONYM, None, "1"), "--platform and --native-id together"),
        ((None, None, None), "give --author"),
    ],
)
def test_whoever_is_named_badly_is_asked_for_properly(
    tmp_path: Path, names: tuple[str | None, ...], problem: str
) -> None:
    installation = Installation("", "", Credentials.create(tmp_path))
    with pytest.raises(UsageError, match=problem):
        member_of(installation, "acme", *names)


def test_a_member_is_named_by_pseudonym_or_by_what_the_platform_calls_them(tmp_path: Path) -> None:
    installation = Installation("", "", Credentials.create(tmp_path))
    by_id = member_of(installation, "acme", None, "forum", "anna")
    assert by_id.native_id == "anna"
    assert member_of(installation, "acme", by_id.pseudonym, None, None).person == by_id.person
