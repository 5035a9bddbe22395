"""`klankbord-moderation run | migrate | apply | republish`."""

from klankbord_moderation.app import create
from klankbord_moderation.settings import Settings
from klankbord_runtime.main import command


def main() -> None:
    command("moderation", Settings, create)


if __name__ == "__main__":
    main()
