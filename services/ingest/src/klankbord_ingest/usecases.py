"""What ingest does with what it hears."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from klankbord_ingest.facts import (
    appearance_of,
    author_of,
    interaction_of,
    member_of,
    named_author_of,
    not_after,
    platform_of,
    post_of,
)
from klankbord_ingest.language import UNDETERMINED, LanguageDetector
from klankbord_ingest.sequence import (
    History,
    NewVersion,
    Verdict,
    Version,
    place_all,
    version_of,
)
from klankbord_ingest.sources import Source
from klankbord_ingest.store import Sighting, Store
from klankbord_ingest.submission import InteractionSubmission, PostSubmission, Submission
from klankbord_runtime.erasure import Erasures, Forgotten
from klankbord_runtime.work import Work
from klankbord_schemas.identity import Person, person_of, post_identity
from klankbord_schemas.interaction import InteractionReceived
from klankbord_schemas.member import Erasure, MemberErased, MemberSeen
from klankbord_schemas.post import PostReceived

DELIVERIES_KEPT = timedelta(days=4)
"""How long a delivery is known. Standard Webhooks has senders try again for up to 75 hours."""

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Receipt:
    """What became of a batch."""

    received: int
    """How many submissions said something new."""
    duplicate: int
    """How many said nothing new."""
    erased: int = 0
    """How many are by members who were erased: nothing of these is kept."""


@dataclass(frozen=True)
class _Heard:
    """A post's submission with its identity and author."""

    submission: PostSubmission
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
    ) -> None:
        self._store = store
        self._erasures = erasures
        self._key = pseudonym_key
        self._languages = languages

    async def receive(
        self,
        submissions: Sequence[Submission],
        source: Source,
        work: Work,
        delivery: UUID | None = None,
    ) -> Receipt:
        """Hear a batch of one source: all of it, in the transaction of `work`.

        Args:
            submissions: posts and interactions, in the order in which they happened.
            source: where they come from.
            work: the transaction; the events are true once it commits.
            delivery: the id of the delivery, where a sender may try one again: the second time
                everything in it is a duplicate.
        """
        if delivery is not None and not await self._store.is_first(
            work.connection, delivery, work.now
        ):
            return Receipt(received=0, duplicate=len(submissions))
        kept = await self._without_erased(submissions, source, work)
        posts = [entry for entry in kept if isinstance(entry, PostSubmission)]
        interactions = [entry for entry in kept if isinstance(entry, InteractionSubmission)]
        received = await self._receive_posts(posts, source, work)
        received += await self._receive_interactions(interactions, source, work)
        await self._see_members(kept, source, work)
        return Receipt(received, len(kept) - received, len(submissions) - len(kept))

    async def forget_deliveries(self, work: Work) -> None:
        """Forget deliveries that no sender will try again."""
        await self._store.forget_deliveries(work.connection, work.now - DELIVERIES_KEPT)

    async def _without_erased(
        self, submissions: Sequence[Submission], source: Source, work: Work
    ) -> list[Submission]:
        community = source.community.slug
        persons = [
            person_of(community, author_of(submission, source, self._key))
            for submission in submissions
        ]
        erased = await self._erasures.erased_among(work.connection, persons)
        return [
            submission
            for submission, person in zip(submissions, persons, strict=True)
            if person not in erased
        ]

    async def _receive_posts(
        self, submissions: Sequence[PostSubmission], source: Source, work: Work
    ) -> int:
        if not submissions:
            return 0
        heard = [self._heard(submission, source, work.now) for submission in submissions]
        verdicts = await self._place(heard, source, work)
        new = [
            (entry, verdict.sequence)
            for entry, verdict in zip(heard, verdicts, strict=True)
            if isinstance(verdict, NewVersion)
        ]
        for entry, sequence in new:
            language = self._language(entry.submission, source)
            post = post_of(entry.submission, source, entry.post, entry.author, language, work.now)
            work.emit(PostReceived.of(post, sequence, work.now, work.traceparent))
        return len(new)

    def _heard(self, submission: PostSubmission, source: Source, now: datetime) -> _Heard:
        platform = platform_of(submission, source)
        return _Heard(
            submission,
            post_identity(source.community.slug, platform, submission.native_id),
            author_of(submission, source, self._key),
            version_of(submission, now, is_history=source.kind == "import"),
        )

    async def _place(self, heard: Sequence[_Heard], source: Source, work: Work) -> list[Verdict]:
        """Which versions these are. Most posts are new, so that is tried first.

        A new post is written as it would be if it was unknown. What the database knows already is
        locked, judged by what is known, and written again.
        """
        versions: dict[UUID, list[Version]] = {}
        for entry in heard:
            versions.setdefault(entry.post, []).append(entry.version)
        authors = {entry.post: entry.author for entry in heard}
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
                await self._store.change_posts(work.connection, changed)
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
        self, submissions: Sequence[InteractionSubmission], source: Source, work: Work
    ) -> int:
        if not submissions:
            return 0
        events: dict[UUID, InteractionReceived] = {}
        for submission in submissions:
            author = author_of(submission, source, self._key)
            interaction = interaction_of(submission, source, author, work.now)
            event = InteractionReceived.of(
                interaction, work.now, work.traceparent, stated=submission.published
            )
            events.setdefault(event.id, event)
        authors = {event.id: event.data.attributed_to for event in events.values()}
        new = await self._store.add_interactions(work.connection, authors, source.community.slug)
        work.emit(*(event for event in events.values() if event.id in new))
        return len(new)

    async def _see_members(
        self, submissions: Sequence[Submission], source: Source, work: Work
    ) -> None:
        """Say who the authors are, when that is new."""
        latest: dict[str, tuple[datetime, Submission]] = {}
        for submission in submissions:
            author = named_author_of(submission, source, self._key)
            as_of = _seen_at(submission, work.now)
            if author is not None and (author not in latest or latest[author][0] <= as_of):
                latest[author] = (as_of, submission)
        if not latest:
            return
        changed = await self._store.see_members(
            work.connection,
            [
                Sighting(source.community.slug, author, appearance_of(submission), as_of)
                for author, (as_of, submission) in latest.items()
            ],
        )
        work.emit(
            *(
                MemberSeen.of(member_of(submission, source, author), work.now, work.traceparent)
                for author, (_, submission) in latest.items()
                if author in changed
            )
        )


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


def _seen_at(submission: Submission, now: datetime) -> datetime:
    """When its author looked like that. An author who is only an id was not looked at."""
    actor = submission.attributed_to
    if actor is None or not actor.is_described:
        return LONG_AGO
    updated = submission.updated if isinstance(submission, PostSubmission) else None
    return not_after(updated or submission.published or now, now)[0]
