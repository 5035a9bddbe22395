"""What ingest needs to know of its installation."""

from pathlib import Path

from pydantic import Field

from klankbord_runtime.settings import Block, ServiceSettings


class OutgoingSettings(Block):
    """What ingest may ask, and as whom."""

    allow: tuple[str, ...] = ()
    """Servers of one's own that may be asked although they are not public, or on another port, as
    JSON: `["forum.internal.example:443", "10.2.0.7:8448"]`. Exactly these, and empty by default."""
    contact: str = ""
    """An address or a mail address, shown to whoever is asked, for when they have a question."""


class Settings(ServiceSettings):
    """The service's settings: `KLANKBORD_PSEUDONYM_KEY_FILE`, `KLANKBORD_SECRETS_DIR`, …"""

    pseudonym_key_file: Path | None = None
    """A file with the key of the pseudonyms, at least 32 bytes. Required to run, and the same
    for ever: another key makes every member a stranger."""
    secrets_dir: Path | None = None
    """A folder with the secrets of sources, a file each: `<source>` for what its platform signs
    with, `<source>.token` for what it is asked with, and other roles likewise."""
    operator_token_file: Path | None = None
    """A file with the operator's token; without it the operator's doors are shut."""
    public_url: str | None = None
    """Where platforms reach ingest from outside: `https://listen.example.org`."""
    outgoing: OutgoingSettings = OutgoingSettings()
    max_waiting_bytes: int = Field(default=16 * 1024**2, ge=4 * 1024**2)
    """How much the doors of one replica may hold, in bodies that are being read or wait for the
    database, before they answer 429. A body takes some six times its size while it waits."""
