"""Where the community talks: the part of `klankbord.yaml` that ingest reads.

Secrets are not in that file: see `keys.py`.
"""

from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, HttpUrl, ValidationInfo, field_validator

from klankbord_runtime.yamlfile import Duration, Strict, read_yaml
from klankbord_schemas.community import Communities, Community
from klankbord_schemas.trust import PublishedTrust
from klankbord_schemas.types import Language, NativeId, Slug

SourceKind = Literal["webhook", "feed", "import"]


class _Entry(Strict):
    name: Slug
    community: Slug
    platform: NativeId | None = None
    """The platform instance that owns the native ids; the source's name where it is left out."""
    language: Language | None = None
    """What everything here is written in; detected per post where it is left out."""


class WebhookEntry(_Entry):
    """A source that posts to `/v1/sources/<name>`, signed with its own secret."""

    kind: Literal["webhook"]
    published_trust: PublishedTrust = "attested"


class FeedEntry(_Entry):
    """A feed (RSS, Atom, RDF, JSON Feed) that is fetched now and then."""

    kind: Literal["feed"]
    published_trust: PublishedTrust = "claimed"
    url: HttpUrl
    every: Duration = timedelta(minutes=15)


class ImportEntry(_Entry):
    """A source whose history is brought in with `klankbord import`."""

    kind: Literal["import"]
    published_trust: PublishedTrust = "attested"


Entry: TypeAlias = Annotated[WebhookEntry | FeedEntry | ImportEntry, Field(discriminator="kind")]


def _in_a_listed_community(entry: Entry, info: ValidationInfo) -> Entry:
    listed = [community.slug for community in info.data.get("communities", ())]
    if listed and entry.community not in listed:
        near = get_close_matches(entry.community, listed, n=1)
        fix = f"did you mean {near[0]}?" if near else f"listed are {', '.join(listed)}"
        raise ValueError(f"community {entry.community!r} is not listed above; {fix}")
    return entry


class SourcesFile(Strict, extra="ignore"):
    """`klankbord.yaml` as far as ingest reads it; what other services read in it is ignored."""

    communities: Communities
    sources: tuple[Annotated[Entry, AfterValidator(_in_a_listed_community)], ...] = ()

    @field_validator("sources")
    @classmethod
    def _each_once(cls, sources: tuple[Entry, ...]) -> tuple[Entry, ...]:
        names = [source.name for source in sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two sources are named {name!r}; give each its own name")
        return sources


@dataclass(frozen=True)
class Source:
    """One place where a community talks."""

    name: str
    community: Community
    kind: SourceKind
    platform: str
    """The platform instance that owns the native ids of its posts and authors."""
    published_trust: PublishedTrust
    """Whether its posts are counted by when they say they were written."""
    language: str | None = None
    """What everything here is written in, where the operator says so."""


@dataclass(frozen=True)
class Feed:
    """A source that is fetched, where from, and how often."""

    source: Source
    url: str
    every: timedelta


@dataclass(frozen=True)
class Sources:
    """Every community and source of the installation."""

    communities: dict[str, Community]
    """By slug."""
    by_name: dict[str, Source]
    feeds: tuple[Feed, ...]

    def webhook(self, name: str) -> Source | None:
        """The webhook source of that name."""
        source = self.by_name.get(name)
        return source if source is not None and source.kind == "webhook" else None

    def importing(self, name: str, community: str, platform: str | None = None) -> Source:
        """The source under which history is imported: a listed one, or one made for the occasion.

        A listed source of any kind will do: history of a forum belongs to the forum's source. So
        will a community that is not listed: it is counted in UTC, and listing it later gives it
        a name and a time zone.

        Args:
            name: the source's name.
            community: the slug of the community that the history belongs to.
            platform: the platform instance that owns the native ids; the source's own, else its
                name, where it is left out.

        Raises:
            LookupError: the source belongs to another community.
            pydantic.ValidationError: a name or the platform cannot be one.
        """
        entry = ImportEntry(name=name, community=community, kind="import", platform=platform)
        home = self.communities.get(community) or self._unlisted(community)
        listed = self.by_name.get(name)
        if listed is None:
            return Source(name, home, "import", entry.platform or name, "attested")
        if listed.community != home:
            raise LookupError(
                f"source {name!r} belongs to community {listed.community.slug!r}, "
                f"not to {community!r}; choose another name"
            )
        own = entry.platform or listed.platform
        return Source(name, home, "import", own, "attested", listed.language)

    def _unlisted(self, community: str) -> Community:
        languages = {tag for listed in self.communities.values() for tag in listed.languages}
        return Community(
            slug=community, name=community, time_zone="UTC", languages=tuple(sorted(languages))
        )


def parse_sources(body: bytes) -> Sources:
    """Read `klankbord.yaml`.

    Raises:
        klankbord_runtime.accepted.Refused: it cannot be read so; says which line and what to do.
    """
    file = read_yaml(body, SourcesFile)
    communities = {community.slug: community for community in file.communities}
    by_name = {
        entry.name: Source(
            name=entry.name,
            community=communities[entry.community],
            kind=entry.kind,
            platform=entry.platform or entry.name,
            published_trust=entry.published_trust,
            language=entry.language,
        )
        for entry in file.sources
    }
    feeds = tuple(
        Feed(by_name[entry.name], str(entry.url), entry.every)
        for entry in file.sources
        if isinstance(entry, FeedEntry)
    )
    return Sources(communities, by_name, feeds)
