"""The order of things: lock the posts, see what changes, write it down, say it."""

from uuid import UUID

from klankbord_routing.case import (
    Assignment,
    Flag,
    Known,
    Routed,
    Version,
    Withdrawn,
    forget,
    hear_flag,
    hear_version,
)
from klankbord_routing.intent import Cues
from klankbord_routing.plain import Plain
from klankbord_routing.rules import Rules
from klankbord_routing.store import Store
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.erasure import Forgotten
from klankbord_runtime.work import Work
from klankbord_schemas.feedback import Feedback, FeedbackRouted, FeedbackWithdrawn, Withdrawal
from klankbord_schemas.member import MemberErased
from klankbord_schemas.post import SEVERITIES, PostFlagged, PostReceived, newest_versions
from klankbord_schemas.types import MAX_LINE


class Routing:
    """Carries posts to departments, and takes them back when an edit, a delete or a flag says so.

    Posts and flags arrive over two streams, in any order and at several replicas. Each batch locks
    the rows of its posts first, in ascending order, so that batches about the same post follow one
    another and none waits in a circle.
    """

    def __init__(self, store: Store, cues: Cues, rules: AcceptedFile[Rules]) -> None:
        self._store = store
        self._cues = cues
        self._rules = rules

    async def hear_posts(self, events: list[PostReceived], work: Work) -> None:
        """Route what the newest version of each post says."""
        newest = newest_versions(events)
        new = await self._store.add(work.connection, newest)
        known = dict.fromkeys(new, Known()) | await self._store.lock(
            work.connection, [e.data.post for e in newest if e.data.post not in new]
        )
        heard: list[PostReceived] = []
        routed: list[FeedbackRouted] = []
        withdrawn: list[FeedbackWithdrawn] = []
        for event in newest:
            post = event.data.post
            before = known[post]
            after, changes = hear_version(
                before, self._version(event), self._rules.value.withdraw_at
            )
            if after is not before and post not in new:
                heard.append(event)
            for change in changes:
                if isinstance(change, Withdrawn):
                    withdrawn.append(_withdrawn(change, post, event, work))
                else:
                    routed.append(_routed(change, event, self._rules.digest, work))
        await self._store.write_versions(work.connection, heard)
        await self._store.write_routed(work.connection, routed)
        await self._store.write_withdrawn(work.connection, withdrawn)
        work.emit(*withdrawn, *routed)

    async def hear_flags(self, events: list[PostFlagged], work: Work) -> None:
        """Withdraw posts that moderation flagged gravely enough; shadow flags do nothing."""
        live = [event for event in events if event.data.live_severity is not None]
        if not live:
            return
        known = await self._store.lock(work.connection, list({e.data.post for e in live}))
        flags: dict[tuple[UUID, int], Flag] = {}
        withdrawn: list[FeedbackWithdrawn] = []
        for event in live:
            post, sequence, flag = event.data.post, event.data.post_sequence, _flag(event)
            before = known[post]
            known[post], withdrawals = hear_flag(
                before, sequence, flag, self._rules.value.withdraw_at
            )
            if known[post] is not before:
                flags[post, sequence] = flag
            withdrawn += [_withdrawn(change, post, event, work) for change in withdrawals]
        await self._store.write_flags(work.connection, flags)
        await self._store.write_withdrawn(work.connection, withdrawn)
        work.emit(*withdrawn)

    async def forget(self, event: MemberErased, work: Work) -> Forgotten:
        """Forget whose posts these were, and withdraw what is open of them.

        Whoever has the feedback must hear of it, and nobody could close it later: a closed case of
        nobody's is left, and counted.
        """
        posts = await self._store.posts_of(work.connection, event.erased)
        known = await self._store.lock(work.connection, posts)
        withdrawn = [
            _withdrawn(change, post, event, work)
            for post in posts
            for change in forget(known[post])[1]
        ]
        await self._store.write_withdrawn(work.connection, withdrawn)
        work.emit(*withdrawn)
        return Forgotten(await self._store.erase(work.connection, posts))

    def _version(self, event: PostReceived) -> Version:
        is_deleted = event.data.operation == "delete"
        return Version(event.version, is_deleted, self._assignments(event))

    def _assignments(self, event: PostReceived) -> tuple[Assignment, ...]:
        """For whom this version is, apart from what moderation says of it."""
        post, rules = event.data, self._rules.value
        if post.operation == "delete" or post.is_automated or rules.is_history(event):
            return ()
        plain = Plain.of(post.name, post.content)
        if plain.is_empty:
            return ()
        return rules.assign(event, plain, self._cues.read(plain, post.language))


def _flag(event: PostFlagged) -> Flag:
    label = max(
        (label for label in event.data.labels if label.mode == "live"),
        key=lambda label: SEVERITIES.index(label.severity),
    )
    words = f"Moderation flagged the post as {label.val} ({label.severity}): {label.explanation}"
    return Flag(label.severity, words[:MAX_LINE])


def _routed(change: Routed, cause: PostReceived, rules: str, work: Work) -> FeedbackRouted:
    post, assignment = cause.data, change.assignment
    feedback = Feedback(
        community=post.community,
        source=post.source,
        department=assignment.department,
        post=post.post,
        post_sequence=change.case.version,
        case_revision=change.case.revision,
        intent=assignment.intent,
        score=assignment.score,
        reasons=list(assignment.reasons),
        priority=assignment.priority,
        due_at=assignment.due_at,
        rules=rules,
        attributed_to=post.attributed_to,
        published=post.published,
        url=post.url,
        name=post.name,
        content=post.content,
        language=post.language,
    )
    return FeedbackRouted.of(cause, feedback, work.now)


def _withdrawn(
    change: Withdrawn, post: UUID, cause: PostReceived | PostFlagged | MemberErased, work: Work
) -> FeedbackWithdrawn:
    case = change.case
    withdrawal = Withdrawal(
        community=cause.community,
        department=case.department,
        post=post,
        routed=FeedbackRouted.identity(post, case.department, case.revision),
        because=change.because,
        explanation=change.explanation,
    )
    return FeedbackWithdrawn.of(cause, withdrawal, work.now)
