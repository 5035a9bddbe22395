"""`klankbord policy`, `routing` and `config`: the files that a community manager writes."""

import typer

from klankbord_standalone import apply
from klankbord_standalone.command import Place, command
from klankbord_standalone.commands.console import File, out, tell_head
from klankbord_standalone.standalone import reach

policy = typer.Typer(no_args_is_help=True, help="The moderation policy.")
routing = typer.Typer(no_args_is_help=True, help="The routing rules.")
config = typer.Typer(no_args_is_help=True, help="klankbord.yaml: communities and sources.")


def files(group: typer.Typer, kind: apply.Kind, what: str) -> None:
    """Let a group check and apply the file of that kind."""

    async def check(file: File) -> None:
        apply.check(kind, file)
        out().print(f"{file} is a good {kind.name} file", soft_wrap=True)

    check.__doc__ = f"Check {what}; errors name the line and the fix. Exit code 3: refused."
    command(group, "check")(check)

    async def put_in_force(place: Place, file: File) -> None:
        apply.check(kind, file)
        place.home.prepare()
        async with reach(place.home, place.elsewhere) as installation:
            await apply.apply(place.home, installation, kind, file)
            await tell_head(installation)

    put_in_force.__doc__ = (
        f"Put {what} in force for every replica, now. Exit code 3: refused, the last one stays."
    )
    command(group, "apply")(put_in_force)


files(policy, apply.POLICY, "a policy file")
files(routing, apply.ROUTING, "a routing file")
files(config, apply.CONFIG, "a klankbord.yaml")
