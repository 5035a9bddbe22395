"""The `klankbord` command as the operator types it, in a thread: its modules are imported once."""

import asyncio
import io
from contextlib import redirect_stderr, redirect_stdout

from klankbord_standalone.commands import app
from klankbord_standalone.home import Home


async def klankbord(home: Home, *words: str) -> tuple[int, str, str]:
    """Its exit code, what it gives, and what it says."""
    out, err = io.StringIO(), io.StringIO()
    place = ("--data", str(home.data), "--config", str(home.config))

    def run() -> int:
        try:
            app([*words, *place])
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    with redirect_stdout(out), redirect_stderr(err):
        code = await asyncio.to_thread(run)
    return code, out.getvalue(), " ".join(err.getvalue().split())
