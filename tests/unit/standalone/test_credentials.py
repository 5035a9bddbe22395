"""Keys and passwords are made once, for this user only, and never leave their files."""

import stat
from pathlib import Path

import pytest

from klankbord_runtime.permissions import subscriber
from klankbord_schemas.topology import SERVICES
from klankbord_standalone.credentials import Credentials, CredentialsError

PRODUCT = subscriber("product", ("klankbord.feedback.routed.v1.*.product",))
USERS = [*(service.name for service in SERVICES), "provision", "operator"]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_each_service_gets_a_key_and_a_password_of_its_own(tmp_path: Path) -> None:
    credentials = Credentials.create(tmp_path / "credentials")
    keys = {credentials.public_key(name) for name in USERS}
    passwords = set(credentials.database_passwords().values()) | {credentials.password("postgres")}
    assert len(keys) == len(USERS)
    assert all(key.startswith("U") and len(key) == 56 for key in keys)
    assert len(passwords) == len(SERVICES) + 2
    assert all(len(password) == 43 for password in passwords)
    assert len(credentials.operator_token()) == 43
    assert len(bytes.fromhex(credentials.pseudonym_key_file.read_text("ascii"))) == 32


def test_only_this_user_may_read_them(tmp_path: Path) -> None:
    folder = Credentials.create(tmp_path / "credentials").folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_what_was_made_is_kept_and_what_was_lost_is_made_again(tmp_path: Path) -> None:
    credentials = Credentials.create(tmp_path)
    made = contents(tmp_path)
    Credentials.create(tmp_path)
    assert contents(tmp_path) == made
    credentials.seed_file("routing").unlink()
    Credentials.create(tmp_path)
    again = contents(tmp_path)
    assert again.pop("routing.nk") != made.pop("routing.nk")
    assert again == made


def test_the_authorization_names_every_user_and_no_secret(tmp_path: Path) -> None:
    credentials = Credentials.create(tmp_path)
    credentials.add_subscriber(PRODUCT)
    told = credentials.authorization()
    for name in (*USERS, "subscriber-product"):
        assert credentials.public_key(name) in told
    for name, secret in contents(tmp_path).items():
        if not name.endswith(".json"):
            assert secret.strip().decode("latin-1") not in told


def test_a_subscriber_is_kept_and_its_name_is_not_given_twice(tmp_path: Path) -> None:
    credentials = Credentials.create(tmp_path)
    seed = credentials.add_subscriber(PRODUCT).read_bytes()
    assert credentials.add_subscriber(PRODUCT).read_bytes() == seed
    assert Credentials(tmp_path).subscribers() == [PRODUCT]
    with pytest.raises(CredentialsError, match="choose another name"):
        credentials.add_subscriber(subscriber("product", ("klankbord.community.>",)))


def test_reading_makes_nothing_and_says_what_is_missing(tmp_path: Path) -> None:
    credentials = Credentials(tmp_path / "elsewhere")
    with pytest.raises(CredentialsError, match=r"ingest\.nk is not there: `klankbord provision`"):
        credentials.public_key("ingest")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_seed_is_named(tmp_path: Path) -> None:
    credentials = Credentials.create(tmp_path)
    credentials.seed_file("ingest").write_text("not a seed")
    with pytest.raises(CredentialsError, match=r"ingest\.nk holds no nkey seed"):
        credentials.public_key("ingest")
