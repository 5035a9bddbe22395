"""What ingest does with what it hears."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from klankbord_ingest.facts import (
    appearance_of,
    author_of,
    interaction_of,
    member_of,
    mentioned_in,
    named_author_of,
    not_after,
    platform_of,
    post_of,
)
from klankbord_ingest.language import UNDETERMINED, LanguageDetector
from klankbord_ingest.query.matcher import QuerySet
from klankbord_ingest.rhythm import LEAST_HISTORY, LEAST_QUIET, hour_of, quiet
from klankbord_ingest.sequence import (
    History,
    NewVersion,
    Verdict,
    Version,
    place_all,
    version_of,
)
from klankbord_ingest.source import Source
from klankbord_ingest.store import Sighting, SilentSource, Store
from klankbord_ingest.submission import (
    DepartureSubmission,
    InteractionSubmission,
    PostSubmission,
    Submission,
)
from klankbord_ingest.tally import Tally
from klankbord_runtime.erasure import Erasures, Forgotten
from klankbord_runtime.work import Work
from klankbord_schemas.event import Event
from klankbord_schemas.identity import Person, person_of, post_identity
from klankbord_schemas.interaction import InteractionReceived
from klankbord_schemas.member import Erasure, MemberErased, MemberSeen
from klankbord_schemas.post import PostReceived
from klankbord_schemas.query import QueryMatched
from klankbord_schemas.source import Silence, SourceSilent

DELIVERIES_KEPT = timedelta(days=4)
"""How long a delivery is known. Standard Webhooks has senders try again for up to 75 hours."""

RECENT = timedelta(days=1)
"""How old something may be when it is heard and still be of the rhythm of its source."""

HOURS_KEPT = timedelta(weeks=9)
"""How long it is known what each hour brought: the four weeks before a silence of five."""

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Receipt(NamedTuple):
    """What became of a delivery."""

    received: int
    """How many submissions said something new."""
    duplicate: int
    """How many said nothing new."""
    erased: int = 0
    """How many are by members who were erased: nothing of these is kept."""


@dataclass(frozen=True)
class Delivery:
    """What was handed in at once."""

    submissions: Sequence[Submission]
    """Posts and interactions, in the order in which they happened."""
    id: UUID | None = None
    """Its id, where a sender may try it again: the second time all of it is a duplicate."""
    traceparent: str | None = None
    """The trace that it belongs to."""
    size: int = 0
    """How many bytes it came in, where it came through a door."""


class _Origin(NamedTuple):
    """The delivery that something came in."""

    number: int
    """Its place among those that are heard together."""
    traceparent: str | None


_Said: TypeAlias = tuple[Submission, _Origin]


class _Heard(NamedTuple):
    """A post's submission with its identity and author."""

    submission: PostSubmission
    origin: _Origin
    post: UUID
    author: str | None
    version: Version


class Ingest:
    """Turns submissions into events, each fact once."""

    def __init__(
        self,
        store: Store,
        pseudonym_key: bytes,
        languages: LanguageDetector,
        erasures: Erasures,
        queries: Callable[[], QuerySet] = QuerySet,
        tally: Tally | None = None,
    ) -> None:
        self._store = store
        self._erasures = erasures
        self._key = pseudonym_key
        self._languages = languages
        self._queries = queries
        self._tally = tally

    async def receive(
        self, deliveries: Sequence[Delivery], source: Source, work: Work
    ) -> list[Receipt]:
        """Hear what one source handed in: all of it, in the transaction of `work`.

        Args:
            deliveries: in the order in which they came.
            source: where they come from.
            work: the transaction; the events are true once it commits.

        Returns:
            What became of each.
        """
        before = len(work.emitted)
        said = await self._first_told(deliveries, work)
        kept = await self._without_erased(said, source, work)
        posts = [(one, origin) for one, origin in kept if isinstance(one, PostSubmission)]
        interactions = [
            (one, origin) for one, origin in kept if isinstance(one, InteractionSubmission)
        ]
        new = Counter(await self._receive_posts(posts, source, work))
        new.update(await self._receive_interactions(interactions, source, work))
        self._count(work.emitted[before:], source, work)
        await self._see_members(kept, source, work)
        erased = Counter(origin.number for _, origin in said)
        erased.subtract(origin.number for _, origin in kept)
        return [
            Receipt(new[n], len(delivery.submissions) - new[n] - erased[n], erased[n])
            for n, delivery in enumerate(deliveries)
        ]

    def _count(self, said: Sequence[Event[Any]], source: Source, work: Work) -> None:
        """Count what is of today, for the rhythm of its source: history has none."""
        if self._tally is None or source.kind == "import":
            return
        recent = work.now - RECENT
        heard = sum(
            isinstance(event, PostReceived | InteractionReceived) and event.time >= recent
            for event in said
        )
        if heard:
            work.on_commit(partial(self._tally.note, source.name, work.now, heard))

    async def forget_deliveries(self, work: Work) -> None:
        """Forget deliveries that no sender will try again."""
        await self._store.forget_deliveries(work.connection, work.now - DELIVERIES_KEPT)

    async def _first_told(self, deliveries: Sequence[Delivery], work: Work) -> list[_Said]:
        """Everything in them but what was delivered before."""
        named = [delivery.id for delivery in deliveries if delivery.id is not None]
        first = await self._store.add_deliveries(work.connection, named, work.now)
        said: list[_Said] = []
        for number, delivery in enumerate(deliveries):
            if delivery.id is None or delivery.id in first:
                first.discard(delivery.id)  # one that is tried again at once is here twice
                origin = _Origin(number, delivery.traceparent)
                said += [(submission, origin) for submission in delivery.submissions]
        return said

    async def _without_erased(
        self, said: Sequence[_Said], source: Source, work: Work
    ) -> Sequence[_Said]:
        community = source.community.slug

        def author(one: _Said) -> Person | None:
            return person_of(community, author_of(one[0], source, self._key))

        return await self._erasures.spared(work.connection, said, author, [community])

    async def _receive_posts(
        self, said: Sequence[tuple[PostSubmission, _Origin]], source: Source, work: Work
    ) -> list[int]:
        """Say the new versions among these; gives the number of the delivery of each."""
        if not said:
            return []
        heard = [self._heard(one, origin, source, work.now) for one, origin in said]
        verdicts = await self._place(heard, source, work)
        new = [
            (entry, verdict.sequence)
            for entry, verdict in zip(heard, verdicts, strict=True)
            if isinstance(verdict, NewVersion)
        ]
        erased = await self._erased_mentions([entry.submission for entry, _ in new], source, work)
        queries = self._queries()
        for entry, sequence in new:
            language = self._language(entry.submission, source)
            mentioned = [
                member
                for member in mentioned_in(entry.submission, source, self._key)
                if member not in erased
            ]
            post = post_of(
                entry.submission, source, entry.post, entry.author, language, work.now, mentioned
            )
            event = PostReceived.of(post, sequence, work.now, entry.origin.traceparent)
            work.emit(event, *matches_of(event, queries, work.now))
        return [entry.origin.number for entry, _ in new]

    async def _erased_mentions(
        self, posts: Sequence[PostSubmission], source: Source, work: Work
    ) -> set[str]:
        """The pseudonyms of erased members whom these posts name."""
        community = source.community.slug
        named = {
            member: person_of(community, member)
            for post in posts
            for member in mentioned_in(post, source, self._key)
        }
        if not named:
            return set()
        erased = await self._erasures.erased_among(work.connection, named.values())
        return {member for member, person in named.items() if person in erased}

    def _heard(
        self, submission: PostSubmission, origin: _Origin, source: Source, now: datetime
    ) -> _Heard:
        platform = platform_of(submission, source)
        author = author_of(submission, source, self._key)
        return _Heard(
            submission,
            origin,
            post_identity(source.community.slug, platform, submission.native_id),
            author,
            version_of(submission, now, is_history=source.kind == "import", author=author),
        )

    async def _place(self, heard: Sequence[_Heard], source: Source, work: Work) -> list[Verdict]:
        """Which versions these are. Most posts are new, so that is tried first.

        A new post is written as it would be if it was unknown. What the database knows already is
        locked, judged by what is known, and written again.
        """
        versions: dict[UUID, list[Version]] = {}
        for entry in heard:
            versions.setdefault(entry.post, []).append(entry.version)
        authors: dict[UUID, str | None] = {}
        for entry in heard:  # whoever is named first: an edit or a delete may name nobody
            authors[entry.post] = authors.get(entry.post) or entry.author
        placed = {post: place_all(History(), of_post) for post, of_post in versions.items()}
        new = await self._store.add_posts(
            work.connection,
            {post: history for post, (_, history) in placed.items()},
            authors,
            source.community.slug,
        )
        if known := versions.keys() - new:
            before = await self._store.lock_posts(work.connection, known)
            placed |= {post: place_all(before[post], versions[post]) for post in known}
            changed = {post: placed[post][1] for post in known if placed[post][1] != before[post]}
            if changed:
                await self._store.change_posts(work.connection, changed, authors)
        verdicts = {post: iter(verdicts) for post, (verdicts, _) in placed.items()}
        return [next(verdicts[entry.post]) for entry in heard]

    def _language(self, submission: PostSubmission, source: Source) -> str:
        if submission.operation == "delete":
            return UNDETERMINED
        if submission.language not in (None, UNDETERMINED):
            return str(submission.language)
        if source.language is not None:
            return source.language
        words = f"{submission.name}\n{submission.text}" if submission.name else submission.text
        return self._languages.language(words, source.community.languages)

    async def _receive_interactions(
        self, said: Sequence[tuple[InteractionSubmission, _Origin]], source: Source, work: Work
    ) -> list[int]:
        """Say what is new among these; gives the number of the delivery of each."""
        if not said:
            return []
        events: dict[UUID, tuple[InteractionReceived, int]] = {}
        for one, origin in said:
            author = author_of(one, source, self._key)
            interaction = interaction_of(one, source, author, work.now)
            event = InteractionReceived.of(
                interaction, work.now, origin.traceparent, stated=one.published
            )
            events.setdefault(event.id, (event, origin.number))
        authors = {event.id: event.data.attributed_to for event, _ in events.values()}
        new = await self._store.add_interactions(work.connection, authors, source.community.slug)
        work.emit(*(event for event, _ in events.values() if event.id in new))
        return [number for event, number in events.values() if event.id in new]

    async def _see_members(self, said: Sequence[_Said], source: Source, work: Work) -> None:
        """Say who the authors are, when that is new."""
        latest: dict[str, tuple[datetime, Submission, _Origin]] = {}
        for one, origin in said:
            author = named_author_of(one, source, self._key)
            as_of = _seen_at(one, work.now)
            if author is not None and (author not in latest or latest[author][0] <= as_of):
                latest[author] = (as_of, one, origin)
        if not latest:
            return
        changed = await self._store.see_members(
            work.connection,
            [
                Sighting(source.community.slug, author, appearance_of(one), as_of)
                for author, (as_of, one, _) in latest.items()
            ],
        )
        work.emit(
            *(
                MemberSeen.of(member_of(one, source, author), work.now, origin.traceparent)
                for author, (_, one, origin) in latest.items()
                if author in changed
            )
        )


class Watch:
    """Notices sources that fall silent."""

    def __init__(self, store: Store, tally: Tally) -> None:
        self._store = store
        self._tally = tally

    async def keep(self, resting: Iterable[str], work: Work) -> None:
        """Write what was heard, and that somebody listens.

        Args:
            resting: sources that are not listened to just now, so that nothing is missed of them.
            work: the transaction.
        """
        for source in resting:
            self._tally.note(source, work.now, 0)
        counts = self._tally.counts()
        await self._store.note_hours(work.connection, counts, hour_of(work.now))
        work.on_commit(partial(self._tally.written, counts))

    async def look(self, sources: Mapping[str, Source], work: Work) -> list[SilentSource]:
        """Say which sources fell silent, each silence once; gives all that are silent."""
        connection, now = work.connection, work.now
        names = [name for name, source in sources.items() if source.kind != "import"]
        candidates = await self._store.quiet_sources(
            connection, names, now - LEAST_QUIET, LEAST_HISTORY
        )
        listened = await self._store.listened_hours(connection) if candidates else set()
        for name, last in candidates.items():
            community = sources[name].community
            heard = await self._store.hours_of(connection, name)
            found = quiet(heard, listened, last, now, ZoneInfo(community.time_zone))
            if found is None:
                continue
            silent = SilentSource(name, last, found.expected, now)
            if await self._store.note_silence(connection, silent):
                silence = Silence(
                    community=community.slug,
                    source=name,
                    since=last,
                    expected=found.expected,
                    at_once=found.at_once,
                )
                work.emit(SourceSilent.of(silence, now))
        return [one for one in await self._store.silences(connection) if one.source in names]

    async def forget(self, work: Work) -> None:
        """Forget hours that no rhythm goes back to."""
        await self._store.forget_hours(work.connection, work.now - HOURS_KEPT)


class Recall:
    """Finds in what was said before what a query finds."""

    def __init__(self, store: Store, erasures: Erasures) -> None:
        self._store = store
        self._erasures = erasures

    async def find(
        self, events: Sequence[PostReceived], queries: QuerySet, work: Work
    ) -> list[QueryMatched]:
        """What the queries find among these versions of posts, as far as they still stand.

        A version that was superseded, or deleted, is passed over, and so are members who were
        erased. What was said of a match before would be said again: its id is the same.
        """
        kept = await self._erasures.without_erased(work.connection, events)
        posts = {event.data.post for event in kept if isinstance(event, PostReceived)}
        standing = await self._store.standing_versions(work.connection, posts)
        return [
            match
            for event in kept
            if isinstance(event, PostReceived) and standing.get(event.data.post) == event.version
            for match in matches_of(event, queries, work.now)
        ]


def matches_of(event: PostReceived, queries: QuerySet, now: datetime) -> list[QueryMatched]:
    """What the queries find in that version of a post."""
    found = queries.matches(event.data, event.version)
    return [QueryMatched.of(event, match, now) for match in found]


class Forgetting:
    """Forgets members."""

    def __init__(self, store: Store, erasures: Erasures) -> None:
        self._store = store
        self._erasures = erasures

    async def erase(self, person: Person, work: Work) -> MemberErased:
        """Take in nothing of the member from here on, and ask every service to forget.

        Nobody needs to be known: who never came is refused all the same, should they come.
        """
        await self._erasures.begin(work.connection, person, work.now)
        erasure = Erasure(community=person.community, member_digest=person.digest)
        event = MemberErased.of(erasure, work.now)
        work.emit(event)
        return event

    async def forget(self, event: MemberErased, work: Work) -> Forgotten:
        """Forget who the member is, and what was said in their posts and of these."""
        posts, removed = await self._store.erase(work.connection, event.erased)
        return Forgotten(removed, [str(post) for post in posts])


class Departures:
    """Forgets members whose accounts the platform took back."""

    def __init__(self, store: Store, pseudonym_key: bytes, forgetting: Forgetting) -> None:
        self._store = store
        self._key = pseudonym_key
        self._forgetting = forgetting

    async def depart(
        self, departures: Sequence[DepartureSubmission], source: Source, work: Work
    ) -> None:
        """Forget these, as far as they were ever seen: a firehose tells of the whole world."""
        community = source.community.slug
        gone = {author_of(one, source, self._key) for one in departures}
        seen = await self._store.known_members(work.connection, community, filter(None, gone))
        for member in sorted(seen):
            person = person_of(community, member)
            assert person is not None
            await self._forgetting.erase(person, work)


def _seen_at(submission: Submission, now: datetime) -> datetime:
    """When its author looked like that. An author who is only an id was not looked at."""
    actor = submission.attributed_to
    if actor is None or not actor.is_described:
        return LONG_AGO
    updated = submission.updated if isinstance(submission, PostSubmission) else None
    return not_after(updated or submission.published or now, now)[0]
