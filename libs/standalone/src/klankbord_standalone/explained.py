"""Errors that a user can act on."""


class ExplainedError(Exception):
    """Its text says what is wrong and what to do: the command ends with it, and no traceback."""

    exit_code = 1


class UsageError(ExplainedError):
    """The command was called in a way that makes no sense; its text says how to."""

    exit_code = 2


class NothingHereError(ExplainedError):
    """A command asks about an installation that was never made."""


class FileRefusedError(ExplainedError):
    """A configuration file is not accepted; its text names the lines and the fixes."""

    exit_code = 3
