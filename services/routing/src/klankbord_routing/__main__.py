"""`klankbord-routing run | migrate | apply | republish`."""

from klankbord_routing.app import create
from klankbord_routing.settings import Settings
from klankbord_runtime.main import command


def main() -> None:
    command("routing", Settings, create)


if __name__ == "__main__":
    main()
