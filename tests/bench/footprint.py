"""What a post takes on disk: in JetStream's files, and in PostgreSQL by what it is kept for."""

from collections import Counter
from dataclasses import dataclass, field

from bench.ground import Ground
from bench.rounds import Round

from klankbord_schemas.topology import STREAMS
from klankbord_standalone.services import SERVICES

NAMES = (
    "bytes_nats_per_post",
    "bytes_stream_posts_per_post",
    "bytes_postgres_per_post",
    "bytes_inbox_per_post",
    "bytes_outbox_per_post",
    "bytes_effects_per_post",
    "bytes_wal_per_post",
)
SIZES = """
select nspname as service,
    case when relname ~ '^inbox' then 'inbox' when relname ~ '^outbox' then 'outbox'
        else 'effects' end as kind,
    sum(pg_total_relation_size(pg_class.oid))::bigint as bytes
from pg_class join pg_namespace on pg_namespace.oid = relnamespace
where relkind = 'r' and nspname = any ($1::text[])
group by 1, 2
"""


@dataclass
class Stored:
    """Bytes that are on disk."""

    files: int = 0
    """In JetStream's folder."""
    streams: Counter[str] = field(default_factory=Counter)
    """The same by stream, as the server counts it."""
    tables: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Tables with their indexes, by service and by what they are."""
    wal: int = 0
    """Written to PostgreSQL's log since its beginning; kept only until a checkpoint."""

    def tell(self, found: Round, empty: "Stored", posts: int) -> None:
        """Note what each of so many posts took since it was empty."""
        tables, streams = self.tables - empty.tables, self.streams - empty.streams
        by_kind, by_service = Counter[str](), Counter[str]()
        for (service, kind), size in tables.items():
            by_kind[kind] += size
            by_service[service] += size
        values = {
            "bytes_nats_per_post": self.files - empty.files,
            "bytes_stream_posts_per_post": streams["POSTS"],
            "bytes_postgres_per_post": by_kind.total(),
            "bytes_wal_per_post": self.wal - empty.wal,
            **{f"bytes_{kind}_per_post": by_kind[kind] for kind in ("inbox", "outbox", "effects")},
        }
        found.values |= {name: size / posts for name, size in values.items()}
        found.notes |= {
            "bytes_nats_per_post": _split(streams, posts),
            "bytes_postgres_per_post": _split(by_service, posts),
            "bytes_wal_per_post": "written, not kept",
            **{
                f"bytes_{kind}_per_post": _split(
                    Counter(
                        {service: size for (service, of), size in tables.items() if of == kind}
                    ),
                    posts,
                )
                for kind in ("inbox", "outbox", "effects")
            },
        }


async def stored(ground: Ground) -> Stored:
    """Look at what is on disk now."""
    found = Stored()
    store = ground.servers.nats.folder / "store"
    found.files = sum(path.stat().st_blocks * 512 for path in store.rglob("*") if path.is_file())
    jetstream = ground.bus.jetstream()
    for stream in STREAMS:
        found.streams[stream.name] = (await jetstream.stream_info(stream.name)).state.bytes
    for row in await ground.database.fetch(SIZES, list(SERVICES)):
        found.tables[row["service"], row["kind"]] = row["bytes"]
    found.wal = int(await ground.database.fetchval("select pg_current_wal_lsn() - '0/0'::pg_lsn"))
    return found


def _split(sizes: Counter[str], posts: int) -> str:
    return " · ".join(f"{name} {size / posts:,.0f}" for name, size in sizes.most_common() if size)
