"""The `klankbord` command; `python -m klankbord_standalone` is the same."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        # takes a second, in which a Ctrl-C is no accident to be told with a traceback
        from klankbord_standalone.commands import app

        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
