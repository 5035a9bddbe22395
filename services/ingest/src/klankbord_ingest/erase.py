"""The operator's door to forgetting, for a command with ingest's own role in the database."""

from klankbord_ingest.store import Store
from klankbord_ingest.usecases import Forgetting
from klankbord_runtime import audit
from klankbord_runtime.service import Service
from klankbord_runtime.settings import ServiceSettings
from klankbord_schemas import MemberErased, Person


async def erase(settings: ServiceSettings, person: Person) -> MemberErased:
    """Take in nothing of the member any more and ask every service to forget; committed when back.

    The running ingest puts the event on the bus.

    Raises:
        OSError, asyncpg.PostgresError: the database is not there, or lacks migrations.
    """
    service = Service("ingest", settings)
    forgetting = Forgetting(Store(), service.erasures)
    await service.open()
    try:
        async with service.work() as work:
            event = await forgetting.erase(person, work)
            await audit.append(
                work.connection,
                "member.erased",
                community=person.community,
                member_digest=person.digest,
            )
        return event
    finally:
        await service.close()
