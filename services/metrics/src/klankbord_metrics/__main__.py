"""`klankbord-metrics run | migrate | apply | republish`."""

from klankbord_metrics.app import create
from klankbord_metrics.settings import Settings
from klankbord_runtime.main import command


def main() -> None:
    command("metrics", Settings, create)


if __name__ == "__main__":
    main()
