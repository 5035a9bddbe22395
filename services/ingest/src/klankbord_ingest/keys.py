"""What ingest keeps secret, read from files: the pseudonym key, the operator's token, and what
webhook sources sign with. None of it stands in `klankbord.yaml`.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from klankbord_ingest.signature import secret_key
from klankbord_ingest.sources import Source

VARIABLE_PREFIX = "KLANKBORD_SECRET_"
MOST_SECRETS = 2
MIN_KEY_BYTES = 32
MAKE_A_KEY = (
    "make one with `openssl rand -out FILE 32` and keep it: another key makes members strangers"
)
MIN_TOKEN_BYTES = 32

log = logging.getLogger(__name__)


def read_pseudonym_key(file: Path | None) -> bytes:
    """The installation's pseudonym key: all bytes of its file, at least 32.

    Raises:
        ValueError: the file is missing or holds no such key; says how to make one.
    """
    if file is None:
        raise ValueError(f"KLANKBORD_PSEUDONYM_KEY_FILE names no file; {MAKE_A_KEY}")
    try:
        key = file.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read the pseudonym key: {error}; {MAKE_A_KEY}") from error
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(f"{file} holds {len(key)} bytes, not {MIN_KEY_BYTES}; {MAKE_A_KEY}")
    return key


def read_operator_tokens(file: Path | None) -> tuple[bytes, ...]:
    """The tokens that open the import door, one a line; no file keeps it shut.

    One, or two while it is rotated, the newest first.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no such token, or too many; says how to make one.
    """
    if file is None:
        return ()
    tokens = tuple(filter(None, map(bytes.strip, file.read_bytes().splitlines())))
    if not tokens or min(map(len, tokens)) < MIN_TOKEN_BYTES:
        raise ValueError(
            f"{file} holds no operator token of at least {MIN_TOKEN_BYTES} characters; "
            "make one with `openssl rand -hex 32`"
        )
    if len(tokens) > MOST_SECRETS:
        raise ValueError(f"{file} holds {len(tokens)} tokens; keep the newest {MOST_SECRETS}")
    return tokens


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
        """Read the secrets of these sources. A source without a proper one is disabled, aloud.

        It reads files: call it in a thread.
        """
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
