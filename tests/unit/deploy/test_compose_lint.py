"""`make check` refuses what docker compose would refuse."""

from pathlib import Path

import pytest

pytest.importorskip("compose_spec", reason="`make check` installs what it needs")

from scripts.compose import refused

TEXT = (Path(__file__).parents[3] / "docker-compose.yml").read_text("utf-8")


def test_the_file_is_good() -> None:
    assert refused(TEXT) is None


@pytest.mark.parametrize(
    ("good", "bad", "reason"),
    [
        ("restart: unless-stopped", "restrat: unless-stopped", "restrat"),
        ("condition: service_healthy", "condition: healthy", "healthy"),
        ("interval: 5s", "interval: 5x", "duration"),
        ("\n  nats-data:\n", "\n", "nats-data"),
        ("networks: [default, outside]", "networks: [default, outsid]", "outsid"),
        ("read_only: true", "read_only: perhaps", "boolean"),
    ],
)
def test_a_mistake_is_named(good: str, bad: str, reason: str) -> None:
    assert good in TEXT
    assert reason in str(refused(TEXT.replace(good, bad)))
