"""`klankbord link`: short links that say who followed them, and how they came."""

from typing import Annotated

import typer

from klankbord_standalone.command import Place, command
from klankbord_standalone.commands.console import Json, out, print_json
from klankbord_standalone.links import door, show

link = typer.Typer(no_args_is_help=True, help="Short links: who follows what a campaign says.")

PublicUrl = Annotated[
    str | None,
    typer.Option(
        help="Where members reach ingest: https://listen.example.org. [default: its own public "
        "address, else where it listens]"
    ),
]


@command(link, "add")
async def link_add(
    place: Place,
    url: Annotated[str, typer.Argument(help="Where it leads.")],
    community: Annotated[str, typer.Option(help="The community that clicks count for.")],
    campaign: Annotated[str | None, typer.Option(help="Joined as utm_campaign.")] = None,
    post: Annotated[
        str | None, typer.Option(help="The native id of the post that it stands in.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="The source that the post is of. [default: links]")
    ] = None,
    utm_source: Annotated[str | None, typer.Option(help="Joined as utm_source.")] = None,
    medium: Annotated[
        str | None, typer.Option(help="Joined as utm_medium: email, social, cpc, print, …")
    ] = None,
    content: Annotated[str | None, typer.Option(help="Joined as utm_content.")] = None,
    code: Annotated[
        str | None, typer.Option(help="The word in its address. [default: eight signs by chance]")
    ] = None,
    public_url: PublicUrl = None,
    as_json: Json = False,
) -> None:
    """Make a short link that leads to URL, and to nowhere else, ever.

    Asked for again with the same --code, it is the same link.
    """
    offer = {
        "url": url,
        "community": community,
        "campaign": campaign,
        "post": post,
        "source": source,
        "utmSource": utm_source,
        "utmMedium": medium,
        "utmContent": content,
        "code": code,
    }
    async with door(place, public_url) as links:
        made = await links.add(offer)
    if as_json:
        print_json(made)
    else:
        out().print(f"[bold]{made['address']}[/bold]", soft_wrap=True)
        out().print(f"leads to {made['target']}", markup=False, soft_wrap=True)


@command(link, "list")
async def link_list(
    place: Place,
    community: Annotated[str | None, typer.Option(help="Of this community alone.")] = None,
    public_url: PublicUrl = None,
    as_json: Json = False,
) -> None:
    """Show the links there are, the newest first."""
    async with door(place, public_url) as links:
        listed = await links.listed(community)
    if as_json:
        print_json(listed)
    else:
        show(listed, out())


@command(link, "disable")
async def link_disable(
    place: Place,
    code: Annotated[str, typer.Argument(help="Its code, or its address.")],
    public_url: PublicUrl = None,
    as_json: Json = False,
) -> None:
    """Let a link lead nowhere from here on: whoever follows it is told that it has ended."""
    async with door(place, public_url) as links:
        ended = await links.disable(code)
    if as_json:
        print_json(ended)
    else:
        out().print(f"{ended['address']} has ended", soft_wrap=True)
