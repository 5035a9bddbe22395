"""`klankbord up`: everything on this machine, until Ctrl-C."""

import asyncio
import signal

from rich.console import Console

from klankbord_standalone.command import Place
from klankbord_standalone.explained import UsageError
from klankbord_standalone.home import Running
from klankbord_standalone.standalone import Say, start


async def up(place: Place, out: Console, say: Say) -> None:
    """Start everything, tell where it is, and stop it in order on SIGINT or SIGTERM.

    Raises:
        UsageError: it runs already.
        ServerFailedError, ProvisionError: something does not start.
    """
    if (running := place.home.running()) is not None:
        raise UsageError(f"it runs already here, as process {running.pid}: try `klankbord status`")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    for path in place.home.prepare():
        out.print(f"wrote [bold]{path}[/bold]: a commented example, yours to change")
    async with start(place.home, place.elsewhere, say) as everything:
        _show(everything.running, out)
        await stop.wait()
        say("stopping: what was accepted is carried to its end")
    out.print("stopped")


def _show(running: Running, out: Console) -> None:
    out.print(f"\n[bold]Klankbord listens[/bold] on {running.address('ingest')}")
    out.print(f"  a post        POST {running.address('ingest')}/v1/sources/NAME  (signed)")
    out.print("  history       klankbord import FILE --community NAME")
    out.print("  events        klankbord tail 'klankbord.feedback.routed.v1.>'")
    out.print("  the numbers   klankbord report")
    out.print("  is it well?   klankbord status")
    out.print("Ctrl-C stops everything.\n")
