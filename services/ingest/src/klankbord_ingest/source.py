"""A source: one place where a community talks, as `klankbord.yaml` lists it."""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import BeforeValidator, field_validator

from klankbord_runtime.yamlfile import Strict
from klankbord_schemas.community import Community
from klankbord_schemas.trust import PublishedTrust
from klankbord_schemas.types import Language, NativeId, Slug


def _as_written(given: object) -> object:
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


UNQUOTED = BeforeValidator(_as_written)
"""Of an id that is all digits: YAML takes it for a number where it has no quotation marks."""


@dataclass(frozen=True)
class Secret:
    """Something secret that a source needs, and where the operator gets it."""

    what: str
    """What it is and where to find it, in a sentence for the operator."""
    is_required: bool = True
    """Whether the source is disabled without it."""
    min_bytes: int = 12
    """A shorter one is refused: it could be guessed."""
    way: str | None = None
    """The one way of listening that needs it, where a source chooses one (see `uses`)."""


class SourceEntry(Strict):
    """What `klankbord.yaml` says of any source; each kind adds its own fields (see `kind.py`)."""

    secrets: ClassVar[dict[str, Secret]] = {}
    """What it needs to be kept secret, by role. The role `signature` is the file `<source>` in the
    secrets folder, any other the file `<source>.<role>`; two lines while it is rotated."""

    kind: str
    """What kind of source it is; each kind narrows this to its own word."""
    name: Slug
    """What the source is called here, and in events."""
    community: Slug
    """The community that talks there."""
    platform: NativeId | None = None
    """The platform instance that owns the native ids; the kind chooses where it is left out."""
    language: Language | None = None
    """What everything here is written in; detected per post where it is left out."""
    published_trust: PublishedTrust = "attested"
    """Whether its posts are counted by when they say they were written."""

    @field_validator("*", mode="after")
    @classmethod
    def _without_password(cls, value: object) -> object:
        """An address that holds a name or a password is refused: this file is no place for them."""
        if getattr(value, "username", None) or getattr(value, "password", None):
            raise ValueError(
                "an address with a name or a password in it is not asked; take them out, and keep "
                "what is secret in the source's files"
            )
        return value

    @property
    def own_platform(self) -> str:
        """The platform that is meant where `platform` is left out: what makes its native ids one
        with those of the same platform through another source. A kind overrides it where the
        platform has a name of its own, such as a host.
        """
        return self.name

    @property
    def place(self) -> str:
        """What a cursor of this source belongs to: when it changes, listening begins anew."""
        return ""

    def uses(self, way: str) -> bool:  # noqa: ARG002  a kind may tell them apart
        """Whether this source is listened to in a way that its kind knows: `push`, `pull` or
        `stream`. A kind overrides it where a source is to choose one of them.
        """
        return True

    def needs(self, secret: Secret) -> bool:
        """Whether this source is disabled without that secret of its kind."""
        return secret.is_required and (secret.way is None or self.uses(secret.way))

    @staticmethod
    def key(role: str, secret: str) -> bytes:  # noqa: ARG004  a kind may tell roles apart
        """The key that a secret of that role holds.

        Raises:
            ValueError: it is none; says how to make or find one.
        """
        return secret.encode()


@dataclass(frozen=True)
class Source:
    """One place where a community talks."""

    name: str
    community: Community
    kind: str
    platform: str
    """The platform instance that owns the native ids of its posts and authors."""
    published_trust: PublishedTrust
    """Whether its posts are counted by when they say they were written."""
    language: str | None = None
    """What everything here is written in, where the operator says so."""
    entry: SourceEntry | None = None
    """How it is listened to; none where it is only imported."""
