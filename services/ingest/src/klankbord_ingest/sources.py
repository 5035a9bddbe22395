"""Where the community talks: the part of `klankbord.yaml` that ingest reads.

Secrets are not in that file: see `keys.py`. What may be said of a source depends on its kind: see
`kind.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, create_model, field_validator

from klankbord_ingest.kinds import installed
from klankbord_ingest.source import Source, SourceEntry
from klankbord_runtime.yamlfile import Strict, read_yaml
from klankbord_schemas.community import Communities, Community


class ImportEntry(SourceEntry):
    """A source whose history is brought in with `klankbord import`, and nothing else."""

    kind: Literal["import"]


def _in_a_listed_community(entry: SourceEntry, info: ValidationInfo) -> SourceEntry:
    listed = [community.slug for community in info.data.get("communities", ())]
    if listed and entry.community not in listed:
        near = get_close_matches(entry.community, listed, n=1)
        fix = f"did you mean {near[0]}?" if near else f"listed are {', '.join(listed)}"
        raise ValueError(f"community {entry.community!r} is not listed above; {fix}")
    return entry


class SourcesFile(Strict, extra="ignore"):
    """`klankbord.yaml` as far as ingest reads it; what other services read in it is ignored."""

    communities: Communities
    sources: tuple[Annotated[SourceEntry, AfterValidator(_in_a_listed_community)], ...] = ()

    @field_validator("sources")
    @classmethod
    def _each_once(cls, sources: tuple[SourceEntry, ...]) -> tuple[SourceEntry, ...]:
        names = [source.name for source in sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two sources are named {name!r}; give each its own name")
        return sources


@cache
def _file_with(kinds: tuple[type[SourceEntry], ...]) -> type[SourcesFile]:
    """The file as these kinds of sources may stand in it."""
    known: Any = reduce(or_, kinds)
    entry = Annotated[known, Field(discriminator="kind"), AfterValidator(_in_a_listed_community)]
    return create_model("SourcesFile", __base__=SourcesFile, sources=(tuple[entry, ...], ()))


@dataclass(frozen=True)
class Sources:
    """Every community and source of the installation."""

    communities: dict[str, Community]
    """By slug."""
    by_name: dict[str, Source]

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
        home = self.community(community)
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

    def community(self, slug: str) -> Community:
        """The community of that slug, also if it is not listed."""
        return self.communities.get(slug) or self._unlisted(slug)

    def _unlisted(self, community: str) -> Community:
        languages = {tag for listed in self.communities.values() for tag in listed.languages}
        return Community(
            slug=community, name=community, time_zone="UTC", languages=tuple(sorted(languages))
        )


def parse_sources(body: bytes, kinds: Mapping[str, type[SourceEntry]] | None = None) -> Sources:
    """Read `klankbord.yaml`.

    Args:
        body: the file.
        kinds: which kinds of sources may stand in it; those that are installed where it is left
            out.

    Raises:
        klankbord_runtime.accepted.Refused: it cannot be read so; says which line and what to do.
    """
    known = (*(installed() if kinds is None else kinds).values(), ImportEntry)
    file = read_yaml(body, _file_with(known))
    communities = {community.slug: community for community in file.communities}
    by_name = {entry.name: source_of(entry, communities[entry.community]) for entry in file.sources}
    return Sources(communities, by_name)


def source_of(entry: SourceEntry, community: Community) -> Source:
    """The source that an entry describes."""
    return Source(
        name=entry.name,
        community=community,
        kind=entry.kind,
        platform=entry.platform or entry.own_platform,
        published_trust=entry.published_trust,
        language=entry.language,
        entry=entry,
    )
