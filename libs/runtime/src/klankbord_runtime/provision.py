"""Make NATS and PostgreSQL what the topology says, and tell where they differ from it.

One job does this, before any service starts; services never declare a stream or a consumer, they
only compare (`drift`). Formats: nats-server's JetStream API (ADR-31 and
https://docs.nats.io/reference/reference-protocols/nats_api_reference); durations are nanoseconds.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, Literal, TypeAlias

import asyncpg
from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from klankbord_runtime import audit
from klankbord_runtime.permissions import Subscriber
from klankbord_schemas.topology import CONSUMERS, STREAMS, Consumer, Stream

Config: TypeAlias = dict[str, Any]

READER = "reader"
NANOSECONDS = 1_000_000_000
DAY = 86_400 * NANOSECONDS
NOT_FOUND = 404
UNAVAILABLE = 503
ANSWER_PATIENCE = 5.0
ELECTION_PATIENCE = 30.0
"""Seconds that a cluster which just started may need to choose its leader."""
FIXED = ("retention", "storage")
"""What of a stream cannot be changed: it would have to be copied to another."""
SUBJECTS_OVERLAP = 10065
"""What the server says where another stream keeps a subject (nats-server, errors.json)."""
NO_ROOM = 10047
"""What it says where the streams' max_bytes together exceed its max_file_store."""
LOCK = "klankbord provision"
LONGEST_REQUEST = 60
"""Seconds that a third party's request for events may wait. After two minutes without an answer
nats-server forgets the way back to another account: what it then delivers arrives nowhere, and
comes again only when it was not acknowledged in time."""
SCRAM_ITERATIONS = 4096
"""PostgreSQL's own default (scram_iterations)."""


class ProvisionError(RuntimeError):
    """What is there cannot be made what the topology says; the message says what to do."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        """nats-server's number for why it refuses, where it does."""


@dataclass(frozen=True)
class Change:
    """One thing that was made or changed, and how; or that was kept as it was, and why."""

    kind: Literal["created", "changed", "kept"]
    what: str
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.what}" + "".join(f"\n  {detail}" for detail in self.details)


def stream_config(stream: Stream, replicas: int = 1) -> Config:
    """The stream as nats-server's API takes it."""
    return {
        "name": stream.name,
        "subjects": list(stream.subjects),
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_age": stream.max_age * NANOSECONDS,
        "max_bytes": stream.max_bytes,
        "max_msgs_per_subject": stream.max_msgs_per_subject,
        "duplicate_window": stream.duplicate_window * NANOSECONDS,
        "num_replicas": replicas,
        "allow_atomic": True,
    }


def consumer_config(consumer: Consumer) -> Config:
    """The durable consumer as nats-server's API takes it."""
    return {
        "durable_name": consumer.name,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": consumer.ack_wait * NANOSECONDS,
        "max_deliver": -1,
        "max_ack_pending": consumer.max_ack_pending,
        "filter_subject": "",  # one may be kept here too, and `drift` sees only what is named
        "filter_subjects": list(consumer.filters),
        "replay_policy": "instant",
    }


def subscriber_config(subscriber: Subscriber) -> Config:
    """A third party's durable consumer: it begins with the oldest event that is kept."""
    return {
        "durable_name": subscriber.user,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": 30 * NANOSECONDS,
        "max_deliver": -1,
        "max_ack_pending": subscriber.quotas.in_hand,
        "max_waiting": subscriber.quotas.requests,
        "max_batch": subscriber.quotas.batch,
        "max_expires": LONGEST_REQUEST * NANOSECONDS,
        "filter_subjects": list(subscriber.subjects),
        "replay_policy": "instant",
    }


def drift(wanted: Config, found: Config) -> list[str]:
    """What differs, in words; nothing when `found` has every value that is wanted.

    Values that `wanted` does not name are the server's own affair. A value that the server leaves
    out is the empty one of its kind, and a list of subjects has no order.
    """
    return [
        f"{name} is {_words(name, found.get(name))}, and should be {_words(name, value)}"
        for name, value in wanted.items()
        if _comparable(found.get(name, type(value)())) != _comparable(value)
    ]


async def apply(
    client: Client,
    replicas: int = 1,
    streams: Sequence[Stream] = STREAMS,
    *,
    shrink: bool = False,
) -> list[Change]:
    """Make every stream and every consumer what the topology says; none twice, none lost.

    Where a stream would have to forget events, or would be fuller than full, its age or its size
    is kept as it is: a change says so, and what would come of it.

    Args:
        client: connected as `provision`.
        replicas: how many servers of the cluster keep each stream: 1, 3 or 5.
        streams: the topology's, each with how long and how much it is to keep.
        shrink: make a stream smaller all the same.

    Raises:
        ProvisionError: something is there that cannot be changed, or the server refuses.
    """
    changes: list[Change] = []
    for stream in streams:
        changes += await _apply_stream(client, stream_config(stream, replicas), shrink)
    for consumer in CONSUMERS:
        change = await apply_consumer(client, consumer.stream, consumer_config(consumer))
        changes += [] if change is None else [change]
    return changes


async def check(
    client: Client, replicas: int = 1, streams: Sequence[Stream] = STREAMS
) -> list[str]:
    """Where NATS differs from the topology, in words; nothing is changed."""
    differences: list[str] = []
    for stream in streams:
        found = await _find(client, f"STREAM.INFO.{stream.name}")
        differences += _compared(f"stream {stream.name}", stream_config(stream, replicas), found)
    for consumer in CONSUMERS:
        found = await _find(client, f"CONSUMER.INFO.{consumer.stream}.{consumer.name}")
        differences += _compared(f"consumer {consumer.name}", consumer_config(consumer), found)
    return differences


async def apply_consumer(client: Client, stream: str, wanted: Config) -> Change | None:
    """Make one durable consumer; none when it is so already.

    Raises:
        ProvisionError: the server refuses, such as another deliver or acknowledge policy.
    """
    name = wanted["durable_name"]
    found = await _find(client, f"CONSUMER.INFO.{stream}.{name}")
    differences = [] if found is None else drift(wanted, found)
    if found is not None and not differences:
        return None
    await _ask(
        client,
        f"CONSUMER.DURABLE.CREATE.{stream}.{name}",
        {"stream_name": stream, "config": wanted},
    )
    return Change("changed" if found else "created", f"consumer {name}", tuple(differences))


async def remove_consumer(client: Client, stream: str, name: str) -> None:
    """Delete a durable consumer; nothing happens where there is none.

    Raises:
        ProvisionError: the server refuses.
    """
    subject = f"CONSUMER.DELETE.{stream}.{name}"
    answer = await _request(client, subject, None)
    if answer.get("error", {}).get("code") != NOT_FOUND:
        _accepted(subject, answer)


async def _apply_stream(client: Client, wanted: Config, shrink: bool) -> list[Change]:
    name = wanted["name"]
    info = await _info(client, f"STREAM.INFO.{name}")
    if info is None:
        try:
            await _ask(client, f"STREAM.CREATE.{name}", wanted)
        except ProvisionError as refused:
            if refused.code != SUBJECTS_OVERLAP:
                raise
            raise ProvisionError(
                f"{refused}: another stream keeps {wanted['subjects'][0]} (a Klankbord from before "
                "0.1.0 had one called INGEST). If it is Klankbord's: stop what publishes there, "
                "let its readers come to its end, delete that stream, and provision again"
            ) from None
        return [Change("created", f"stream {name}")]
    found: Config = info["config"]
    if not drift(wanted, found):
        return []
    fixed = drift({field: wanted[field] for field in FIXED}, found)
    if fixed:
        raise ProvisionError(
            f"stream {name}: {'; '.join(fixed)}. nats-server cannot change that while it keeps the "
            "events: move this stream away (back it up, delete it), and provision again"
        )
    losses = {} if shrink else await _losses(client, wanted, info)
    kept = [Change("kept", f"stream {name}", tuple(losses.values()))] if losses else []
    wanted = wanted | {field: found[field] for field in losses}
    differences = drift(wanted, found)
    if not differences:
        return kept
    await _ask(client, f"STREAM.UPDATE.{name}", found | wanted)
    return [Change("changed", f"stream {name}", tuple(differences)), *kept]


async def _losses(client: Client, wanted: Config, info: Config) -> dict[str, str]:
    """What would come of making a stream so small, in words, by the value that would do it."""
    name, found, state = wanted["name"], info["config"], info["state"]
    losses: dict[str, str] = {}
    age = wanted["max_age"]
    if age and (not found.get("max_age") or age < found["max_age"]):
        begin = datetime.now(UTC) - timedelta(seconds=age / NANOSECONDS)
        older = state["messages"] - await _newer(client, name, begin)
        if older > 0:
            losses["max_age"] = (
                f"max_age {_words('max_age', age)} would remove the {older:,} events that are older"
            )
    if 0 < wanted["max_bytes"] < state["bytes"]:
        losses["max_bytes"] = (
            f"max_bytes {wanted['max_bytes']:,} is less than the {state['bytes']:,} that it keeps: "
            "nothing would be removed, but no new event would be taken until enough have aged out"
        )
    return losses


async def _newer(client: Client, stream: str, begin: datetime) -> int:
    """How many messages of the stream were stored since then: the server counts them."""
    config = {
        "deliver_policy": "by_start_time",
        "opt_start_time": begin.isoformat(),
        "ack_policy": "none",
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": 5 * NANOSECONDS,
    }
    body = {"stream_name": stream, "config": config}
    subject = f"CONSUMER.CREATE.{stream}"
    answer = _accepted(subject, await _request(client, subject, body))
    await _ask(client, f"CONSUMER.DELETE.{stream}.{answer['name']}", {})
    return int(answer["num_pending"])


async def _find(client: Client, subject: str) -> Config | None:
    info = await _info(client, subject)
    return None if info is None else info["config"]


async def _info(client: Client, subject: str) -> Config | None:
    answer = await _request(client, subject, None)
    if answer.get("error", {}).get("code") == NOT_FOUND:
        return None
    return _accepted(subject, answer)


async def _ask(client: Client, subject: str, body: Config) -> None:
    _accepted(subject, await _request(client, subject, body))


def _accepted(subject: str, answer: Config) -> Config:
    if "error" in answer:
        error = answer["error"]
        message = f"nats-server refused {subject}: {error['description']}"
        if error.get("err_code") == NO_ROOM:
            message += (
                ": the streams' max_bytes together are more than its `max_file_store` "
                "(nats.conf); raise that, or lower them in streams.yaml"
            )
        raise ProvisionError(message, error.get("err_code"))
    return answer


async def _request(client: Client, subject: str, body: Config | None) -> Config:
    """Ask JetStream's API; wait while a cluster has no leader: it answers nobody, or "not now"."""
    payload = b"" if body is None else json.dumps(body).encode()
    deadline = asyncio.get_running_loop().time() + ELECTION_PATIENCE
    while True:
        late = asyncio.get_running_loop().time() > deadline
        try:
            message = await client.request(f"$JS.API.{subject}", payload, timeout=ANSWER_PATIENCE)
            answer: Config = json.loads(message.data)
        except NatsTimeoutError:
            if not late:
                continue
            raise ProvisionError(
                f"nats-server does not answer {subject}. It answers none who may not ask: connect "
                "with the seed of `provision`. Nor does a cluster answer that has no leader: look "
                "whether most of its servers are there"
            ) from None
        except NoRespondersError:
            answer = {"error": {"code": UNAVAILABLE, "description": "JetStream is not on there"}}
        if late or answer.get("error", {}).get("code") != UNAVAILABLE:
            return answer
        await asyncio.sleep(0.25)


def _compared(what: str, wanted: Config, found: Config | None) -> list[str]:
    if found is None:
        return [f"{what} is missing"]
    return [f"{what}: {difference}" for difference in drift(wanted, found)]


def _comparable(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _words(name: str, value: Any) -> str:
    """As streams.yaml writes it, where it can say it."""
    if value is None:
        return "not set"
    if name in ("max_age", "duplicate_window", "ack_wait"):
        return f"{value // DAY}d" if value and value % DAY == 0 else f"{value / NANOSECONDS:.15g} s"
    if name == "max_bytes":
        units = (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2))
        return next((f"{value // n}{u}" for u, n in units if value > 0 == value % n), f"{value}")
    return json.dumps(value)


async def create_database(admin_url: str, name: str) -> Change | None:
    """Make the database where it is missing.

    Args:
        admin_url: a URI of a role that may create databases, to any database of the server.
        name: of the database.
    """
    connection = await asyncpg.connect(admin_url, timeout=10)
    try:
        if await connection.fetchval("select true from pg_database where datname = $1", name):
            return None
        await connection.execute(f"create database {_identifier(name)}")
    except asyncpg.DuplicateDatabaseError:  # another job was faster
        return None
    finally:
        await connection.close()
    return Change("created", f"database {name}")


async def provision_database(admin_url: str, passwords: Mapping[str, str]) -> list[Change]:
    """Make the roles and schemas of the services, and deny everything else.

    Each service gets a role `klankbord_<service>` that owns the schema `<service>` and reaches no
    other, and may append to the audit log. `klankbord_reader` sees that log, and the views that a
    schema publishes (each migration grants its own). A password is set anew each time, so giving
    another one rotates it. Nothing is dropped.

    Args:
        admin_url: a URI of a role that may create roles, to the database to provision.
        passwords: of each service by its name, and of `reader`.

    Raises:
        asyncpg.PostgresError: the role may not, or the server is too old.
    """
    connection = await asyncpg.connect(admin_url, timeout=10)
    try:
        async with connection.transaction():
            # two jobs at once would both find a role missing
            await connection.execute("select pg_advisory_xact_lock(hashtext($1))", LOCK)
            before = await _existing(connection)
            database = await connection.fetchval("select current_database()")
            await connection.execute(_provisioning(database, passwords, before))
            changes = [
                Change("created", what) for what in sorted(await _existing(connection) - before)
            ]
            if changes:
                told = [str(change) for change in changes]
                await audit.append(connection, "database.provisioned", changes=told)
    finally:
        await connection.close()
    return changes


async def _existing(connection: "asyncpg.Connection[Any]") -> set[str]:
    rows = await connection.fetch(
        "select 'role ' || rolname from pg_roles"
        " union all select 'schema ' || nspname from pg_namespace"
    )
    return {row[0] for row in rows}


def _provisioning(database: str, passwords: Mapping[str, str], existing: set[str]) -> str:
    """The SQL that makes what is missing, and grants what each may and no more."""
    statements = [
        f"revoke all on database {_identifier(database)} from public",
        "revoke all on schema public from public",
        files("klankbord_runtime").joinpath("sql", "provision", "audit.sql").read_text("utf-8"),
    ]
    for name, password in passwords.items():
        role = _identifier(f"klankbord_{name}")
        verifier = scram_verifier(password, secrets.token_bytes(16))
        if f"role klankbord_{name}" not in existing:
            statements.append(f"create role {role}")
        statements += [
            f"alter role {role} login password {_literal(verifier)}",
            f"grant connect on database {_identifier(database)} to {role}",
        ]
    for name in passwords:
        if name == READER:
            continue
        role, schema = _identifier(f"klankbord_{name}"), _identifier(name)
        statements += [
            # who is no superuser may make a schema for a role only as its member
            f"grant {role} to current_user",
            f"create schema if not exists {schema} authorization {role}",
            f"revoke all on schema {schema} from public",
            f"grant usage on schema audit to {role}",
            f"grant execute on function audit.append to {role}",
            f"alter role {role} set search_path = {schema}",
        ]
        if READER in passwords:
            statements.append(
                f"grant usage on schema {schema} to {_identifier(f'klankbord_{READER}')}"
            )
    if READER in passwords:
        reader = _identifier(f"klankbord_{READER}")
        statements += [
            f"grant usage on schema audit to {reader}",
            f"grant select on audit.entry to {reader}",
        ]
    return ";\n".join(statements)


def scram_verifier(password: str, salt: bytes) -> str:
    """What PostgreSQL stores of a password (RFC 5803), so that the password itself is never sent.

    A statement that fails is logged with its text, and a password has no place there.

    Args:
        password: in printable ASCII.
        salt: 16 random bytes.

    Raises:
        ValueError: the password is not printable ASCII, and would have to be normalised.
    """
    if not (password.isascii() and password.isprintable() and password):
        raise ValueError("a database password must be printable ASCII characters, at least one")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    salt_text, stored, server = (
        base64.b64encode(part).decode() for part in (salt, stored_key, server_key)
    )
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{salt_text}${stored}:{server}"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
