"""Who may say and hear what on the bus: the table, and a real server that each user tries it on."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from nats.aio.client import Client
from trust.tried import Tried
from world import eventually

from klankbord_runtime.permissions import subscriber
from klankbord_runtime.provision import apply, apply_consumer, subscriber_config
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.nats_server import NatsServer
from klankbord_standalone.servers import Installation

EVENTS = {
    "klankbord.post.received.v1.acme.forum": "ingest",
    "klankbord.interaction.received.v1.acme.forum": "ingest",
    "klankbord.member.seen.v1.acme.p-1": "ingest",
    "klankbord.member.erased.v1.acme.d1g357": "ingest",
    "klankbord.erasure.completed.v1.acme.ingest": "ingest",
    "klankbord.erasure.completed.v1.acme.moderation": "moderation",
    "klankbord.erasure.completed.v1.acme.routing": "routing",
    "klankbord.erasure.completed.v1.acme.metrics": "metrics",
    "klankbord.post.flagged.v1.acme.spam": "moderation",
    "klankbord.feedback.routed.v1.acme.product": "routing",
    "klankbord.feedback.withdrawn.v1.acme.product": "routing",
    "klankbord.community.measured.v1.acme.posts": "metrics",
}
"""Each event, and the one who may say it."""
CONSUMERS = {
    "ERASURES.ingest-erasures": "ingest",
    "ERASURES.moderation-erasures": "moderation",
    "ERASURES.routing-erasures": "routing",
    "ERASURES.metrics-erasures": "metrics",
    "POSTS.moderation-posts": "moderation",
    "POSTS.routing-posts": "routing",
    "MODERATION.routing-flags": "routing",
    "POSTS.metrics-posts": "metrics",
    "INTERACTIONS.metrics-interactions": "metrics",
    "MODERATION.metrics-flags": "metrics",
    "ROUTING.metrics-feedback": "metrics",
    "ROUTING.subscriber-product": "subscriber-product",
}
"""Each durable consumer, and the one who may read it."""
ASKED_BY = {
    "POSTS": {"ingest", "moderation", "routing", "metrics"},
    "INTERACTIONS": {"ingest", "metrics"},
    "ERASURES": {"ingest", "moderation", "routing", "metrics"},
    "MEMBERS": {"ingest"},
    "MODERATION": {"moderation", "routing", "metrics"},
    "ROUTING": {"routing", "metrics"},
    "METRICS": {"metrics"},
    "DEAD": {"ingest", "moderation", "routing", "metrics"},
}
"""Each stream, and who may ask how it is; besides the operator, who may ask of all."""
SERVICES = ("ingest", "moderation", "routing", "metrics")
USERS = (*SERVICES, "operator", "subscriber-product")


def may(user: str) -> dict[str, bool]:
    """Every subject there is, and whether that user may publish to it."""
    operator = user == "operator"
    table = {subject: user == owner for subject, owner in EVENTS.items()}
    for service in SERVICES:
        table[f"klankbord.dead.{service}.x"] = user == service or operator
    for address, owner in CONSUMERS.items():
        stream, _, name = address.partition(".")
        own = user == owner
        guest = owner not in SERVICES  # the operator is kept from what the services read
        table |= {
            f"$JS.API.CONSUMER.INFO.{address}": own or operator,
            f"$JS.API.CONSUMER.MSG.NEXT.{address}": own or (operator and guest),
            f"$JS.ACK.{address}.1.1.1.1.0": own or (operator and guest),
            f"$JS.ACK._.x.{address}.1.1.1.1.0.x": own or (operator and guest),
            f"$JS.API.CONSUMER.DELETE.{address}": operator and guest,
            f"$JS.API.CONSUMER.DURABLE.CREATE.{address}": operator and guest,
            f"$JS.API.CONSUMER.CREATE.{address}": operator and guest,
            f"$JS.API.CONSUMER.CREATE.{address}.klankbord.>": operator and guest,
            f"$JS.API.CONSUMER.PAUSE.{address}": False,
            f"$JS.API.CONSUMER.UNPIN.{address}": False,
            f"$JS.API.CONSUMER.LEADER.STEPDOWN.{address}": False,
            f"klankbord.replay.{stream}.{name}": operator,
        }
    for stream, asking in ASKED_BY.items():
        table |= {
            f"$JS.API.STREAM.INFO.{stream}": user in asking or operator,
            f"$JS.API.STREAM.MSG.GET.{stream}": operator,
            f"$JS.API.STREAM.MSG.DELETE.{stream}": operator,  # to erase
            f"$JS.API.CONSUMER.LIST.{stream}": operator,
            f"$JS.API.CONSUMER.NAMES.{stream}": operator,
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.another": operator,
            **{
                f"$JS.API.STREAM.{act}.{stream}": False
                for act in ("CREATE", "UPDATE", "DELETE", "PURGE", "SNAPSHOT", "RESTORE")
            },
            f"$JS.API.DIRECT.GET.{stream}": False,
            f"$JS.API.STREAM.PEER.REMOVE.{stream}": False,
            f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}": False,
        }
    table |= {
        "$JS.API.STREAM.LIST": operator,
        "$JS.API.STREAM.NAMES": operator,
        "$JS.API.INFO": operator,
        "$JS.API.META.LEADER.STEPDOWN": False,
        "$SYS.REQ.SERVER.PING": False,
        "$SYS.REQ.ACCOUNT.KLANKBORD.CONNZ": False,
        "klankbord.x": False,
        "klankbord.post.received.v2.acme.forum": False,
        "klankbord.member.gone.v1.acme.p-1": False,
        "klankbord.erasure.completed.v1.acme.nobody": False,
        "anything": False,
        **{f"_INBOX_{other}.x": False for other in USERS},
    }
    return table


HEARD_BY_NOBODY = (
    ">", "*", "klankbord.>", "klankbord.post.received.>", "klankbord.member.>", "klankbord.dead.>",
    "klankbord.replay.>", "$JS.>", "$JS.API.>", "$JS.ACK.>", "$JS.EVENT.>", "$SYS.>", "_INBOX.>",
)  # fmt: skip


async def bus(tried: Tried) -> None:
    """Each user tries each subject on a real server."""
    folder = Path(tempfile.mkdtemp(prefix="klankbord-doors-"))
    credentials = Credentials.create(folder / "credentials")
    product = subscriber("product", ("klankbord.feedback.routed.v1.*.product",))
    credentials.add_subscriber(product)
    server = NatsServer(folder / "nats", credentials.authorization())
    await server.start()
    try:
        here = Installation(server.url, "", credentials)
        async with here.client("provision") as client:
            await apply(client)
            await apply_consumer(client, product.stream, subscriber_config(product))
        for user in USERS:
            async with _told(here, user) as (client, told):
                await _try_each(tried, user, client, told)
        async with here.client("provision") as client:
            for stream in ASKED_BY:
                found = await client.jetstream().stream_info(stream)
                tried.check(f"{stream} is there", holds=found.config.name == stream)
    finally:
        await server.stop()
        shutil.rmtree(folder)


async def _try_each(tried: Tried, user: str, client: Client, told: list[str]) -> None:
    for subject in may(user):
        await client.publish(subject, b"")
    await _all_told(client, told)
    for subject, allowed in may(user).items():
        refused = any(f'publish to "{subject.lower()}"' in line for line in told)
        tried.check(f"{user} says {subject}", holds=refused is not allowed, found=told[-3:])
    others = [f"_INBOX_{other}.>" for other in (*USERS, "provision") if other != user]
    for subject in (*HEARD_BY_NOBODY, *others):
        await client.subscribe(subject)
    own = f"_INBOX_{user}.x"
    await client.subscribe(own)
    await _all_told(client, told)
    for subject in (*HEARD_BY_NOBODY, *others, own):
        refused = any(f'subscription to "{subject.lower()}"' in line for line in told)
        tried.check(f"{user} hears {subject}", holds=refused is (subject != own), found=told[-3:])


@asynccontextmanager
async def _told(here: Installation, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A connection as that user, and what the server refuses it."""
    told: list[str] = []

    async def note(error: Exception) -> None:
        told.append(str(error).lower())

    client = Client()
    await client.connect(
        here.nats_url,
        nkeys_seed=str(here.seed_file(user)),
        inbox_prefix=f"_INBOX_{user}",
        allow_reconnect=False,
        error_cb=note,
    )
    try:
        yield client, told
    finally:
        await client.close()


async def _all_told(client: Client, told: list[str]) -> None:
    """Wait until the server was told of everything so far: it refuses in order."""
    last = f"nobody.may.{uuid4()}"
    await client.publish(last, b"")
    await client.flush()
    await eventually(lambda: any(last in line for line in told))
