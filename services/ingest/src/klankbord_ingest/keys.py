"""The secrets that webhook sources sign with: one file or variable each, never `klankbord.yaml`."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from klankbord_ingest.signature import secret_key
from klankbord_ingest.sources import Source

VARIABLE_PREFIX = "KLANKBORD_SECRET_"
MOST_SECRETS = 2

log = logging.getLogger(__name__)


def variable(source: str) -> str:
    """The environment variable that may hold a source's secrets: `my-forum`'s is
    `KLANKBORD_SECRET_MY_FORUM`.
    """
    return VARIABLE_PREFIX + source.upper().replace("-", "_")


class SourceKeys:
    """The keys of every webhook source, read again whenever they are refreshed.

    The secrets of source `forum` are the lines of the file `forum` in the secrets folder, else the
    words of the variable `KLANKBORD_SECRET_FORUM`: one, or two while the secret is rotated.
    """

    def __init__(self, folder: Path | None, environment: Mapping[str, str], decoy: bytes) -> None:
        self._folder = folder
        self._environment = environment
        self._decoy = (decoy,)
        self._keys: dict[str, tuple[bytes, ...]] = {}
        self._disabled: dict[str, str] = {}

    @property
    def disabled(self) -> Mapping[str, str]:
        """The webhook sources that nobody can post to, and why."""
        return self._disabled

    def of(self, source: str) -> tuple[bytes, ...]:
        """The keys of a source; a decoy that nobody has where there is none.

        So it takes as long to turn away an unknown source as a wrong signature, and nobody can
        find out by the clock which sources there are.
        """
        return self._keys.get(source, self._decoy)

    def refresh(self, sources: Iterable[Source]) -> None:
        """Read the secrets of these sources. A source without a proper one is disabled, aloud."""
        keys: dict[str, tuple[bytes, ...]] = {}
        disabled: dict[str, str] = {}
        for source in sources:
            if source.kind != "webhook":
                continue
            try:
                keys[source.name] = self._read(source.name)
            except (OSError, ValueError) as reason:
                disabled[source.name] = str(reason)
                if self._disabled.get(source.name) != str(reason):
                    log.error("source %s is disabled: %s", source.name, reason)  # noqa: TRY400
        self._keys, self._disabled = keys, disabled

    def _read(self, source: str) -> tuple[bytes, ...]:
        file = None if self._folder is None else self._folder / source
        if file is not None and file.is_file():
            place, text = str(file), file.read_text("utf-8")
        else:
            place, text = variable(source), self._environment.get(variable(source), "")
        secrets = text.split()
        if not secrets:
            where = f"{variable(source)}" if file is None else f"{file} or {variable(source)}"
            raise ValueError(f"it has no secret; write one into {where}")
        if len(secrets) > MOST_SECRETS:
            raise ValueError(
                f"{place} holds {len(secrets)} secrets; keep the newest {MOST_SECRETS}"
            )
        try:
            return tuple(secret_key(secret) for secret in secrets)
        except ValueError as error:
            raise ValueError(f"{place} {error}") from error
