"""What a run writes down for the auditor: what each handler was given, and what was given up.

The ledger is a table of each service. `understudy.py` writes it, in the handler's own transaction,
so it says how often the effect of each event was committed. (That does not import this: a service
under test carries nothing that it does not need.)
"""

import json

import asyncpg

from klankbord_runtime.permissions import PROVISION
from klankbord_schemas.topology import SERVICES
from klankbord_standalone.servers import Installation

TABLE = "create table trust_ledger (consumer text not null, id uuid not null)"
HANDLED = "select id from trust_ledger where consumer = $1"
ADVISORIES = "ADVISORIES"
"""The stream in which the run keeps what the server says of messages that were given up."""
TERMINATED = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>"


async def prepare(installation: Installation, nodes: int = 1) -> None:
    """Make the ledgers, and the stream of advisories, kept by so many nodes: whoever only
    subscribed would miss what is said while the server is killed."""
    for service in SERVICES:
        connection = await asyncpg.connect(installation.postgres_url(service.name))
        await connection.execute(TABLE)
        await connection.close()
    async with installation.client(PROVISION) as client:
        config = {
            "name": ADVISORIES,
            "subjects": [TERMINATED],
            "storage": "file",
            "num_replicas": nodes,
        }
        answer = await client.request(
            f"$JS.API.STREAM.CREATE.{ADVISORIES}", json.dumps(config).encode(), timeout=5
        )
    if "error" in (told := json.loads(answer.data)):
        raise AssertionError(told["error"])
