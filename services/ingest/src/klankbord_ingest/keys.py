"""What ingest keeps secret, read from files: the pseudonym key, the operator's token, and what
sources sign with and are asked with. None of it stands in `klankbord.yaml`.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from klankbord_ingest.source import Secret, Source, SourceEntry

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


SIGNATURE = "signature"
"""The role whose file and variable bear the source's name alone: what its platform signs with."""


def file_name(source: str, role: str = SIGNATURE) -> str:
    """The file in the secrets folder that holds a source's secrets of a role."""
    return source if role == SIGNATURE else f"{source}.{role}"


def variable(source: str, role: str = SIGNATURE) -> str:
    """The environment variable that may hold a source's secrets of a role: `my-forum`'s are
    `KLANKBORD_SECRET_MY_FORUM` and `KLANKBORD_SECRET_MY_FORUM__TOKEN`.
    """
    suffix = "" if role == SIGNATURE else f"__{role.upper()}"
    return VARIABLE_PREFIX + source.upper().replace("-", "_") + suffix


class SourceKeys:
    """The keys of every source, read again whenever they are refreshed.

    The secrets of source `forum` are the lines of the file `forum` in the secrets folder, else the
    words of the variable `KLANKBORD_SECRET_FORUM`: one, or two while the secret is rotated, the
    newest first. What it is asked with is of another role, such as `token`: see `file_name`.
    """

    def __init__(self, folder: Path | None, environment: Mapping[str, str], decoy: bytes) -> None:
        self._folder = folder
        self._environment = environment
        self._decoy = {SIGNATURE: (decoy,)}
        self._keys: dict[str, dict[str, tuple[bytes, ...]]] = {}
        self._disabled: dict[str, str] = {}

    @property
    def disabled(self) -> Mapping[str, str]:
        """The sources that cannot be listened to for want of a secret, and why."""
        return self._disabled

    @property
    def decoy(self) -> Mapping[str, Sequence[bytes]]:
        """Keys that nobody has.

        With them it takes as long to turn away an unknown source as a wrong signature, and nobody
        can find out by the clock which sources there are.
        """
        return self._decoy

    def of(self, source: str) -> Mapping[str, Sequence[bytes]] | None:
        """The keys of a source by role; None where it is not known or disabled."""
        return self._keys.get(source)

    def refresh(self, sources: Iterable[Source]) -> None:
        """Read the secrets of these sources. A source without a proper one is disabled, aloud.

        It reads files: call it in a thread.
        """
        keys: dict[str, dict[str, tuple[bytes, ...]]] = {}
        disabled: dict[str, str] = {}
        for source in sources:
            if source.entry is None:
                continue
            try:
                keys[source.name] = {
                    role: self._read(source.entry, role, secret)
                    for role, secret in source.entry.secrets.items()
                }
            except (OSError, ValueError) as reason:
                disabled[source.name] = str(reason)
                if self._disabled.get(source.name) != str(reason):
                    log.error("source %s is disabled: %s", source.name, reason)  # noqa: TRY400
        self._keys, self._disabled = keys, disabled

    def _read(self, entry: SourceEntry, role: str, secret: Secret) -> tuple[bytes, ...]:
        name = variable(entry.name, role)
        file = None if self._folder is None else self._folder / file_name(entry.name, role)
        if file is not None and file.is_file():
            place = str(file)
            secrets = [line.strip() for line in file.read_text("utf-8").splitlines()]
        else:
            place, secrets = name, self._environment.get(name, "").split()
        secrets = list(filter(None, secrets))
        if not secrets:
            if not entry.needs(secret):
                return ()
            where = name if file is None else f"{file} or {name}"
            raise ValueError(f"it has no {role}; write {secret.what} into {where}")
        if len(secrets) > MOST_SECRETS:
            raise ValueError(
                f"{place} holds {len(secrets)} secrets; keep the newest {MOST_SECRETS}"
            )
        try:
            keys = tuple(entry.key(role, one) for one in secrets)
        except ValueError as error:
            raise ValueError(f"{place} {error}") from error
        if min(map(len, keys)) < secret.min_bytes:
            raise ValueError(
                f"{place} holds fewer than {secret.min_bytes} bytes; write {secret.what} into it"
            )
        return keys
