"""Each server and each service is given its own keys and passwords, and nobody else's."""

import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

from klankbord_schemas.topology import SERVICES
from klankbord_standalone.credentials import Credentials, new_password
from klankbord_standalone.handout import hand_out, shares

DATABASE = "postgresql://postgres@database.example:5433/klankbord?sslmode=verify-full"
NAMES = [service.name for service in SERVICES]


def secrets_of(credentials: Credentials) -> dict[str, str]:
    """Every secret there is, by its file's name."""
    return {file.name: file.read_text("ascii").strip() for file in credentials.folder.iterdir()}


def test_no_secret_is_given_to_two(tmp_path: Path) -> None:
    credentials = Credentials.create(tmp_path)
    given = {name: "".join(share.values()) for name, share in shares(credentials, DATABASE).items()}
    for secret in secrets_of(credentials).values():
        assert len([name for name, text in given.items() if secret in text]) <= 1


def test_a_service_gets_its_own_seed_and_password(tmp_path: Path) -> None:
    credentials = Credentials.create(tmp_path)
    secrets, given = secrets_of(credentials), shares(credentials, DATABASE)
    assert set(given) == {"nats", "postgres", "grafana", *NAMES}
    for name in NAMES:
        assert given[name]["nats.nk"].strip() == secrets[f"{name}.nk"]
        url = urlsplit(given[name]["postgres.url"])
        assert (url.username, unquote(url.password or "")) == (
            f"klankbord_{name}",
            secrets[f"{name}.password"],
        )
        assert url.netloc.endswith("@database.example:5433")
        assert (url.path, url.query) == ("/klankbord", "sslmode=verify-full")
    assert [name for name in given if "pseudonym.key" in given[name]] == ["ingest"]
    assert [name for name in given if "operator.token" in given[name]] == ["ingest"]


def test_nats_gets_no_secret_and_postgres_its_superusers_password(tmp_path: Path) -> None:
    credentials = Credentials.create(tmp_path)
    given = shares(credentials, DATABASE)
    assert given["nats"] == {"auth.conf": credentials.authorization()}
    password = credentials.password("postgres")
    assert given["postgres"]["password"] == password
    url = urlsplit(given["postgres"]["admin.url"])
    assert (url.username, unquote(url.password or "")) == ("postgres", password)
    assert url.netloc.endswith("@database.example:5433")
    assert (url.path, url.query) == ("/klankbord", "sslmode=verify-full")


def test_who_provisions_a_managed_database_is_whom_its_uri_names(tmp_path: Path) -> None:
    credentials = Credentials.create(tmp_path)
    password = new_password().strip()
    managed = f"postgresql://boss:{password}@database.example/klankbord"
    given = shares(credentials, managed)
    assert given["postgres"]["admin.url"] == managed
    for name in NAMES:
        assert "boss" not in given[name]["postgres.url"]
        assert password not in given[name]["postgres.url"]


def test_grafana_gets_its_admins_password_and_that_of_the_role_that_only_reads(
    tmp_path: Path,
) -> None:
    credentials = Credentials.create(tmp_path)
    assert shares(credentials, DATABASE)["grafana"] == {
        "admin.password": credentials.password("grafana"),
        "reader.password": credentials.password("reader"),
    }


def test_handed_out_again_it_replaces_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    hand_out({"nats": {"auth.conf": "old"}}, folder)
    hand_out({"nats": {"auth.conf": "new"}}, folder)
    assert [file.read_text() for file in (folder / "nats").iterdir()] == ["new"]


def test_only_this_user_enters_and_a_share_is_open_to_the_group(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    hand_out({"postgres": {"password": "secret"}}, folder)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, *sorted(folder.rglob("*")))]
    assert modes == [0o700, 0o750, 0o640]


def test_the_passfile_escapes_what_libpq_would_split_at(tmp_path: Path) -> None:
    credentials = Credentials.create(tmp_path)
    (tmp_path / "postgres.password").write_text("a:b\\c\n", encoding="ascii")
    assert credentials.passfile() == "*:*:*:postgres:a\\:b\\\\c\n"
