"""What to think of the services, of the sources, and of what is in force."""

from datetime import timedelta

from klankbord_standalone.doctor.database import DatabaseFacts, SchemaFacts
from klankbord_standalone.doctor.finding import (
    Checks,
    Judgement,
    named,
    ok,
    problem,
    unchecked,
    warning,
)
from klankbord_standalone.doctor.machine import MachineFacts
from klankbord_standalone.doctor.services import ServiceFacts, SourceFacts
from klankbord_standalone.doctor.words import length

LONG_SILENT = timedelta(days=7)


def ready(services: dict[str, ServiceFacts]) -> Judgement:
    """Whether each service is ready."""
    waiting = [f"{name}: {'; '.join(s.problems)}" for name, s in services.items() if s.problems]
    if waiting:
        return problem(f"not ready: {named(waiting)}", "do what it says; its log says more")
    return ok(f"{named(services)} ready")


def builds(services: dict[str, ServiceFacts]) -> Judgement:
    """Whether the services that run are of one release."""
    told = {name: s.version for name, s in services.items() if s.version is not None}
    if not told:
        return unchecked("the services do not tell their version")
    if len(set(told.values())) > 1:
        return warning(
            named(f"{name} {version}" for name, version in told.items()),
            "that is well during an upgrade; else run all of one release",
        )
    return ok(f"all run {next(iter(told.values()))}")


def secrets(sources: list[SourceFacts]) -> Judgement:
    """Whether every source has the secrets that it needs."""
    known = [source for source in sources if source.has_secret is not None]
    if not known and any(source.kind == "webhook" for source in sources):
        return unchecked("the secrets are not on this machine; ingest's log names those without")
    if without := [source.name for source in known if not source.has_secret]:
        return warning(
            f"nobody can listen to {named(without)}: no secret",
            'echo "whsec_$(openssl rand -base64 32)" > DATA/secrets/SOURCE',
        )
    return ok(f"{len(known)} sources need a secret, each has it")


def feeds(sources: list[SourceFacts]) -> Judgement:
    """Whether what is fetched can be fetched."""
    failing = [s.name for s in sources if s.feed is not None and not s.feed.healthy]
    if failing:
        return warning(
            f"cannot be asked: {named(failing)}", "klankbord source list says why, and since when"
        )
    return ok(f"{sum(s.feed is not None for s in sources)} sources are asked, each answers")


def silent(sources: list[SourceFacts]) -> Judgement:
    """Whether something is heard of each source."""
    listening = [source for source in sources if source.kind != "import"]
    quiet = [
        f"{s.name} ({'never' if s.silent_for is None else length(s.silent_for)})"
        for s in listening
        if s.silent_for is None or s.silent_for > LONG_SILENT
    ]
    if quiet:
        return warning(
            f"not heard of for long: {named(quiet)}",
            "see whether it still sends, and with what key",
        )
    return ok(f"{len(listening)} sources, each heard within {length(LONG_SILENT)}")


def in_force(found: tuple[MachineFacts, DatabaseFacts]) -> Judgement:
    """Whether what is in force is what lies in the folder, and the same for every service."""
    machine, database = found
    accepted: dict[str, set[str]] = {}
    for schema in database.schemas.values():
        if isinstance(schema, SchemaFacts):
            for name, (digest, _) in schema.accepted.items():
                accepted.setdefault(f"{name}.yaml", set()).add(digest)
    if split := [name for name, digests in accepted.items() if len(digests) > 1]:
        return problem(
            f"services go by different ones: {named(split)}",
            "klankbord config apply klankbord.yaml",
        )
    there = machine.files.keys() & accepted.keys()
    if not there:
        return unchecked(f"none of what is in force lies in {machine.config}")
    if other := [name for name in sorted(there) if {machine.files[name].digest} != accepted[name]]:
        return warning(
            f"not as it lies in {machine.config}: {named(other)}",
            "klankbord config|policy|routing|query apply FILE, if that one should be in force",
        )
    return ok(f"{named(sorted(there))} as in {machine.config}")


SERVICE_CHECKS: Checks[dict[str, ServiceFacts]] = {
    "services: ready": ready,
    "services: builds": builds,
}
SOURCE_CHECKS: Checks[list[SourceFacts]] = {
    "sources: secrets": secrets,
    "sources: feeds": feeds,
    "sources: silent": silent,
}
IN_FORCE: Checks[tuple[MachineFacts, DatabaseFacts]] = {"configuration: in force": in_force}
