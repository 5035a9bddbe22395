"""`klankbord up`: everything on this machine, until Ctrl-C."""

import asyncio
import signal
from collections.abc import Callable, Mapping

from rich.console import Console

from klankbord_standalone.child import is_free
from klankbord_standalone.command import Place
from klankbord_standalone.explained import UsageError
from klankbord_standalone.home import Running
from klankbord_standalone.standalone import Say, start
from klankbord_standalone.typed import klankbord


async def up(place: Place, port: int | None, out: Console, say: Say) -> None:
    """Start everything, tell where it is, and stop it in order on SIGINT or SIGTERM.

    Args:
        place: the installation.
        port: where the door listens; none for where it did before.
        out: where the addresses are told.
        say: told what is being done.

    Raises:
        UsageError: it runs already, or another program listens on that port.
        CancelledError: it was stopped before all of it had started.
        ServerFailedError, ProvisionError: something does not start.
    """
    if (running := place.home.running()) is not None:
        raise UsageError(f"it runs already here, as process {running.pid}: try `klankbord status`")
    if port is not None and not is_free(port):
        raise UsageError(f"port {port} is taken by another program: choose another --port")
    starting = asyncio.current_task()
    assert starting is not None
    _on_signal(starting.cancel)
    for path in place.home.prepare():
        out.print(
            f"wrote [bold]{path}[/bold]: a commented example, yours to change", soft_wrap=True
        )
    if port is not None:
        place.home.keep_ports(place.home.ports() | {"ingest": port})
    wanted = place.home.ports()
    stop = asyncio.Event()
    async with start(place.home, place.elsewhere, say) as everything:
        _on_signal(stop.set)
        for told in moved(wanted, everything.running.ports):
            out.print(told)
        _show(everything.running, out)
        await stop.wait()
        say("stopping: what was accepted is carried to its end")
    out.print("stopped")


def moved(wanted: Mapping[str, int], ports: Mapping[str, int]) -> list[str]:
    """What is to be told of each service that does not listen where it did before."""
    return [
        f"{name}: port {wanted[name]} is taken by another program; listening on {port}"
        for name, port in ports.items()
        if wanted.get(name, port) != port
    ]


def _on_signal(act: Callable[[], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, act)


def _show(running: Running, out: Console) -> None:
    command, door = klankbord(), running.address("ingest")
    lines = [
        "",
        f"[bold]Klankbord listens[/bold] on {door}",
        f"  a post        POST {door}/v1/sources/NAME  (signed)",
        f"  history       {command} import FILE --community NAME",
        f"  events        {command} tail 'klankbord.feedback.routed.v1.>'",
        f"  the numbers   {command} report",
        f"  is it well?   {command} status",
        "Ctrl-C stops everything.",
        "",
    ]
    for line in lines:
        out.print(line, soft_wrap=True)
