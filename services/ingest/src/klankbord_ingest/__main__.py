"""The command `klankbord-ingest`: run, migrate, apply, republish."""

from klankbord_ingest.app import create
from klankbord_ingest.settings import Settings
from klankbord_runtime.main import command


def main() -> None:
    command("ingest", Settings, create)


if __name__ == "__main__":
    main()
