"""No password that stands in an address is shown."""

import pytest

from klankbord_standalone.address import without_users
from klankbord_standalone.command import _run
from klankbord_standalone.explained import UsageError


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("nats://u:p@a:4222,nats://u:p@b:4222 is away", "nats://a:4222,nats://b:4222 is away"),
        ("http://token@nats:8222/varz answers 500", "http://nats:8222/varz answers 500"),
        ("postgresql://u:p%40@[::1]/x?a=b@c", "postgresql://[::1]/x?a=b@c"),
        ("write to a@b, see https://nats.io/a@b", "write to a@b, see https://nats.io/a@b"),
    ],
)
def test_what_names_a_user_is_left_out(told: str, shown: str) -> None:
    assert without_users(told) == shown


def test_what_a_command_ends_with_shows_none(capsys: pytest.CaptureFixture[str]) -> None:
    async def fails() -> None:
        raise UsageError("nats://u:S3CRET@nats.example:4222 is away")

    with pytest.raises(SystemExit):
        _run(fails())
    assert capsys.readouterr().err == "klankbord: nats://nats.example:4222 is away\n"
