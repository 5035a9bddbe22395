"""The order of things: read the posts, see which are new and what else was said, judge, say it."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from klankbord_moderation.flood import Sightings
from klankbord_moderation.judge import Heard, Judge
from klankbord_moderation.store import Noted, Sought, Store
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.erasure import Forgotten
from klankbord_runtime.work import Work
from klankbord_schemas.member import MemberErased
from klankbord_schemas.post import Flags, PostFlagged, PostReceived, newest_versions


class Moderation:
    """Judges posts by the policy in force.

    Floods are noticed across stored posts, also when several replicas judge copies of one text at
    the same moment: whoever judges a text or link holds an advisory lock on its key until the
    transaction ends, so that the next one sees what was written. A batch takes all its locks
    first, sorted, then its rows, sorted: nobody waits in a circle.
    """

    def __init__(self, store: Store, policy: AcceptedFile[Judge]) -> None:
        self._store = store
        self._policy = policy

    async def judge(self, events: list[PostReceived], work: Work) -> None:
        """Judge the newest version of each post, and say which are flagged.

        A version that is not newer than what was judged changes nothing. A delete forgets what the
        post said and linked to, and what was found in it.
        """
        judge = self._policy.value
        heard = [judge.hear(event) for event in newest_versions(events)]
        noted = await self._hear(heard, work)
        judged = [one for one in heard if one.post in noted.posts and not one.is_deleted]
        sightings = await self._sightings(judged, noted, judge, work)
        flagged: list[tuple[PostReceived, Flags]] = []
        for one in judged:
            for key in one.keys:
                sightings.add(one.sighting(key))
            if labels := judge.labels(one, sightings):
                post = one.event.data
                flags = Flags(
                    community=post.community,
                    source=post.source,
                    post=post.post,
                    post_sequence=one.event.version,
                    attributed_to=post.attributed_to,
                    policy=self._policy.digest,
                    labels=labels,
                )
                flagged.append((one.event, flags))
        await self._store.write_verdicts(work.connection, flagged, work.now)
        work.emit(*(PostFlagged.of(event, flags, work.now) for event, flags in flagged))

    async def forget(self, event: MemberErased, work: Work) -> Forgotten:
        """Forget whose posts these were and which words were found; what was found stays."""
        return Forgotten(await self._store.erase(work.connection, event.erased))

    async def _hear(self, heard: Sequence[Heard], work: Work) -> Noted:
        """Keep what is newer than what was known."""
        await self._store.take_turns(work.connection, {key for one in heard for key in one.keys})
        noted = await self._store.hear(work.connection, heard)
        await self._store.forget(work.connection, noted.posts)
        newer = [one for one in heard if one.post in noted.posts]
        await self._store.hear_links(work.connection, newer)
        return noted

    async def _sightings(
        self, judged: Sequence[Heard], noted: Noted, judge: Judge, work: Work
    ) -> Sightings:
        """Where else the texts and links of these posts were seen.

        The posts of this batch are left out: each counts from its turn on, as if they had come
        one by one. Nearly every text is said once: only those that are known are looked for.
        """
        texts = ((one, one.text_key) for one in judged if one.text_key in noted.known_texts)
        links = ((one, link) for one in judged for link in one.link_keys)
        return Sightings(
            [
                *await self._store.texts_seen(work.connection, _sought(texts, judge), noted.posts),
                *await self._store.links_seen(work.connection, _sought(links, judge), noted.posts),
            ]
        )


def _sought(keyed: Iterable[tuple[Heard, int]], judge: Judge) -> list[Sought]:
    """Each key once, with the span of time in which a post with it would matter."""
    moments: dict[int, list[datetime]] = {}
    for one, key in keyed:
        moments.setdefault(key, []).append(one.event.counted_at)
    window = judge.longest_window
    return [Sought(key, min(at) - window, max(at) + window) for key, at in moments.items()]
