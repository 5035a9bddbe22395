"""What to think of PostgreSQL."""

from collections.abc import Callable
from datetime import timedelta

from klankbord_runtime.audit import problems
from klankbord_standalone.doctor.clock import clock_judged
from klankbord_standalone.doctor.database import LAST_ENTRIES, DatabaseFacts, SchemaFacts
from klankbord_standalone.doctor.finding import (
    Checks,
    Judgement,
    Unknown,
    named,
    ok,
    problem,
    unchecked,
    warning,
)
from klankbord_standalone.doctor.words import length, size
from klankbord_standalone.postgres_server import OLDEST_MAJOR

OLDEST_PENDING = timedelta(minutes=1)
LARGE = 10 * 1024**3
"""Bytes of an outbox, half of what it may grow to as shipped."""


def version(database: DatabaseFacts) -> Judgement:
    """Whether this PostgreSQL is one that Klankbord works with."""
    told = f"PostgreSQL {database.version}"
    if database.major < OLDEST_MAJOR:
        return problem(f"{told} is too old", f"run {OLDEST_MAJOR} or newer")
    return ok(told)


def clock(database: DatabaseFacts) -> Judgement:
    """Whether PostgreSQL and this machine agree on the time."""
    return clock_judged(database.ahead)


def durable(database: DatabaseFacts) -> Judgement:
    """Whether what is committed is on the disk."""
    told = ", ".join(f"{name} {value}" for name, value in database.durable.items())
    if off := [name for name, value in database.durable.items() if value in ("off", "local")]:
        if off == ["synchronous_commit"] and database.durable["synchronous_commit"] == "local":
            return warning(told, "a standby that takes over lacks the last commits: set it to on")
        return problem(told, f"set {', '.join(off)} to on: a crash takes away what was accepted")
    return ok(told)


def roles(database: DatabaseFacts) -> Judgement:
    """Whether each role is there, and may do what it must and no more."""
    wrong = [f"the role {role} is missing" for role in database.missing_roles]
    wrong += database.lacking
    if wrong:
        return problem(named(wrong), "klankbord provision, then each service's migrate")
    if database.excess:
        return problem(named(database.excess), "revoke that: each reaches its own schema only")
    return ok("each service reaches its own schema, the reader what is published")


def logins(database: DatabaseFacts) -> Judgement:
    """Whether each service, and the reader, can log in with the password that is kept for it."""
    refused = {n: s.why for n, s in database.schemas.items() if isinstance(s, Unknown)}
    if isinstance(database.audit, Unknown):
        refused["reader"] = database.audit.why
    if refused:
        return problem(
            named(f"{name}: {why}" for name, why in refused.items()),
            "klankbord provision sets the passwords of the credentials folder",
        )
    return ok("each service and the reader can log in and read")


def schema(database: DatabaseFacts) -> Judgement:
    """Whether what is applied is what this build needs."""
    behind = _each(database, lambda s: s.missing)
    changed = _each(database, lambda s: s.changed)
    newer = _each(database, lambda s: s.newer)
    if behind:
        return problem(f"not applied: {named(behind)}", "klankbord-SERVICE migrate, for each")
    if changed:
        return problem(
            f"changed after they were applied: {named(changed)}",
            "run the build that they came with: a released migration never changes",
        )
    if newer:
        return warning(
            f"applied by a newer build: {named(newer)}",
            "that is well during an upgrade or after a roll-back; else run the newer build here",
        )
    return ok("every migration that this build needs is applied, and no other")


def outbox(database: DatabaseFacts) -> Judgement:
    """Whether what services say gets to the bus."""
    waiting = [
        f"{name}: {s.pending:,} events, the oldest for {length(s.age)}"
        for name, s in _schemas(database)
        if s.pending and s.age > OLDEST_PENDING
    ]
    if waiting:
        return problem(
            f"events wait to be published: {named(waiting)}",
            "the service's log says why: NATS away, a stream full, or the service not running",
        )
    large = [f"{n} {size(s.outbox_bytes)}" for n, s in _schemas(database) if s.outbox_bytes > LARGE]
    if large:
        return warning(
            f"large: {named(large)}", "lower KLANKBORD_OUTBOX__KEPT_HOURS, or give it a larger disk"
        )
    return ok(f"{sum(s.pending for _, s in _schemas(database)):,} events wait, none for long")


def audit_log(database: DatabaseFacts) -> Judgement:
    """Whether the end of the audit log is whole."""
    if isinstance(database.audit, Unknown):
        return unchecked(database.audit.why)
    # the chain is checked from the entry before the last ones, which only has to have its own hash
    before, entries = None, database.audit
    if len(entries) > LAST_ENTRIES:
        before, *entries = entries
    broken = list(problems(entries, after=before))
    if broken:
        return problem(named(broken), "keep a copy, and find out who reached the database")
    return ok(f"the last {len(entries):,} entries follow one another unchanged")


def _schemas(database: DatabaseFacts) -> list[tuple[str, SchemaFacts]]:
    return [(n, s) for n, s in database.schemas.items() if isinstance(s, SchemaFacts)]


def _each(database: DatabaseFacts, which: Callable[[SchemaFacts], list[str]]) -> list[str]:
    return [f"{name} {what}" for name, s in _schemas(database) for what in which(s)]


CHECKS: Checks[DatabaseFacts] = {
    "PostgreSQL: version": version,
    "PostgreSQL: clock": clock,
    "PostgreSQL: on the disk": durable,
    "PostgreSQL: roles and grants": roles,
    "PostgreSQL: log in": logins,
    "schema": schema,
    "outbox": outbox,
    "audit log": audit_log,
}
