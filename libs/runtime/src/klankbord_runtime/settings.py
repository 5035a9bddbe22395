"""Settings, from the environment and from files; small blocks that a service composes.

Every variable starts with `KLANKBORD_`; a block's field follows after two underscores:
`KLANKBORD_NATS__URL`, `KLANKBORD_POSTGRES__URL`, `KLANKBORD_HTTP__PORT`.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Block(BaseModel):
    """Settings that belong together; an unknown name is refused, because it is a typing error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class NatsSettings(Block):
    """Where the bus is, and as whom to connect."""

    url: str = "nats://127.0.0.1:4222"
    """The server or servers, separated by commas."""
    seed_file: Path | None = None
    """A file with this service's nkey seed; none connects without credentials."""
    ca_file: Path | None = None
    """The certificate authority of a server that speaks TLS."""


class PostgresSettings(Block):
    """Where this service's database is."""

    url: SecretStr = SecretStr("postgresql://127.0.0.1:5432/klankbord")
    """A connection URI, with the service's own role and password."""
    url_file: Path | None = None
    """A file that holds the URI instead, as Kubernetes mounts secrets."""
    pool_size: int = Field(default=8, ge=2)
    """The most connections that one replica holds."""

    def connection_url(self) -> str:
        """The URI to connect to."""
        if self.url_file is not None:
            return self.url_file.read_text(encoding="utf-8").strip()
        return self.url.get_secret_value()


class HttpSettings(Block):
    """Where the service listens: its health, its metrics, and its door if it has one."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = Field(default=8080, ge=0, le=65535)
    """The port to listen on; 0 takes a free one and logs which."""


class OutboxSettings(Block):
    """How much of what was said is kept for a replay."""

    kept_hours: int = Field(default=24, ge=1)
    """How long sent events stay in the outbox."""
    max_bytes: int = Field(default=20 * 1024**3, ge=1024**2)
    """How large the outbox may grow before the doors push back."""
    max_pending: int = Field(default=50_000, ge=1)
    """How many events may wait to be sent before the doors push back."""


class TelemetrySettings(Block):
    """What the service tells of itself."""

    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""
    trace_ratio: float = Field(default=0.01, ge=0, le=1)
    """Which part of the traces that start here is recorded; one that comes in keeps its mark."""
    otlp_endpoint: str | None = None
    """Where spans and metrics are sent (OTLP over HTTP): `http://collector:4318`; none sends them
    nowhere. `OTEL_EXPORTER_OTLP_HEADERS` and `…_CERTIFICATE` are honoured."""
    metrics_every: float = Field(default=60, ge=1)
    """Seconds between two times that all metrics are sent there."""


class ServiceSettings(BaseSettings):
    """What every service needs. A service adds its own fields in its `settings.py`."""

    model_config = SettingsConfigDict(
        env_prefix="KLANKBORD_",
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    nats: NatsSettings = NatsSettings()
    postgres: PostgresSettings = PostgresSettings()
    http: HttpSettings = HttpSettings()
    outbox: OutboxSettings = OutboxSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    config_dir: Path | None = None
    """The folder with klankbord.yaml, policy.yaml and routing.yaml."""

    def config_file(self, name: str) -> Path | None:
        """Where the configuration file of that name would be."""
        return None if self.config_dir is None else self.config_dir / name
