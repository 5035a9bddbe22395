"""What ingest needs to know of its installation."""

from pathlib import Path

from pydantic import Field

from klankbord_runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    """The service's settings: `KLANKBORD_PSEUDONYM_KEY_FILE`, `KLANKBORD_SECRETS_DIR`, …"""

    pseudonym_key_file: Path | None = None
    """A file with the key of the pseudonyms, at least 32 bytes. Required to run, and the same
    for ever: another key makes every member a stranger."""
    secrets_dir: Path | None = None
    """A folder with one file per webhook source, named as the source, holding its secrets."""
    operator_token_file: Path | None = None
    """A file with the token of the import door; without it the door is shut."""
    allowed_hosts: tuple[str, ...] = ()
    """Hosts and networks that feeds may be fetched from although they are not public, as JSON:
    `["forum.internal.example", "10.2.0.0/16"]`."""
    max_waiting_bytes: int = Field(default=16 * 1024**2, ge=4 * 1024**2)
    """How much the doors of one replica may hold, in bodies that are being read or wait for the
    database, before they answer 429. A body takes some six times its size while it waits."""
