"""The commands of `klankbord`: a module for each group of them."""

import typer

from klankbord_standalone.commands.audit import audit
from klankbord_standalone.commands.backup import backup
from klankbord_standalone.commands.community import community
from klankbord_standalone.commands.dlq import dlq
from klankbord_standalone.commands.doctor import doctor
from klankbord_standalone.commands.files import config, policy, routing
from klankbord_standalone.commands.installing import installing
from klankbord_standalone.commands.link import link
from klankbord_standalone.commands.outbox import outbox
from klankbord_standalone.commands.query import query
from klankbord_standalone.commands.running import running
from klankbord_standalone.commands.source import source
from klankbord_standalone.commands.subscriber import subscriber

app = typer.Typer(
    name="klankbord",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Listens wherever your community talks, moderates with reasons, carries what members say
to who can act on it, and shows in a few honest numbers whether the community grows.

Begin with **klankbord demo**, a sample community; then **klankbord up** for your own.""",
)
for commands in (running, community, installing, backup, doctor):
    app.add_typer(commands)
for name, group in {
    "source": source,
    "link": link,
    "dlq": dlq,
    "outbox": outbox,
    "subscriber": subscriber,
    "policy": policy,
    "routing": routing,
    "config": config,
    "query": query,
    "audit": audit,
}.items():
    app.add_typer(group, name=name)
