"""From what was handed in to the facts that events state."""

from datetime import datetime, timedelta
from uuid import UUID

from klankbord_ingest.pseudonym import is_pseudonym, pseudonym
from klankbord_ingest.source import Source
from klankbord_ingest.submission import (
    InteractionSubmission,
    PostSubmission,
    Submission,
    Told,
)
from klankbord_schemas.identity import fingerprint, post_identity
from klankbord_schemas.interaction import Interaction
from klankbord_schemas.member import Member
from klankbord_schemas.post import Post

CLOCKS_APART = timedelta(minutes=5)
"""How far ahead a platform's clock may be before its word is no longer taken."""


def source_of(submission: Submission, source: Source) -> str:
    """The source it is told of: an import may bring in what another source heard."""
    return submission.source or source.name


def platform_of(submission: Told, source: Source) -> str:
    """The platform that owns its native ids."""
    return submission.platform or source.platform


def author_of(submission: Told, source: Source, key: bytes) -> str | None:
    """The pseudonym of whoever wrote or did it."""
    if submission.attributed_to is None:
        return None
    return _member(submission.attributed_to.id, submission, source, key)


def mentioned_in(submission: PostSubmission, source: Source, key: bytes) -> list[str]:
    """The pseudonyms of those whom it names."""
    return [_member(native_id, submission, source, key) for native_id in submission.mention]


def named_author_of(submission: Submission, source: Source, key: bytes) -> str | None:
    """The pseudonym of its author, where more than a pseudonym is known of whom."""
    actor = submission.attributed_to
    if actor is None or (_speaks_in_pseudonyms(source) and is_pseudonym(actor.id)):
        return None
    return _member(actor.id, submission, source, key)


def _member(native_id: str, submission: Told, source: Source, key: bytes) -> str:
    """The pseudonym of whom the platform calls so."""
    platform = platform_of(submission, source)
    return pseudonym(key, platform, native_id, is_own=_speaks_in_pseudonyms(source))


def _speaks_in_pseudonyms(source: Source) -> bool:
    """Whether its posts are handed in by the operator, or by a program of theirs."""
    return source.entry is None or source.entry.kind == "webhook"


def appearance_of(submission: Submission) -> bytes:
    """Of how its author looks: 16 bytes by which one look is told from another."""
    actor = submission.attributed_to
    assert actor is not None
    look = (actor.preferred_username, actor.name, actor.icon)
    return fingerprint(*(part or "" for part in look), is_automated(submission), size=16)


def is_automated(submission: Submission) -> bool:
    """Whether a bot or the platform itself wrote or did it."""
    actor = submission.attributed_to
    return submission.is_automated or (actor is not None and actor.is_automated)


def not_after(moment: datetime, now: datetime) -> tuple[datetime, bool]:
    """The moment, or `now` if it lies more than five minutes in the future; and whether it did."""
    is_future = moment > now + CLOCKS_APART
    return (now if is_future else moment), is_future


def post_of(
    submission: PostSubmission,
    source: Source,
    identity: UUID,
    author: str | None,
    language: str,
    now: datetime,
    mentioned: list[str] | None = None,
) -> Post:
    """The version of the post of that identity, heard at the moment `now`.

    A delete keeps where the post stood and who wrote it, but no word of it. One that does not say
    when the post was written counts from when it was heard.
    """
    published, is_future = not_after(submission.published or now, now)
    updated = submission.updated and not_after(submission.updated, now)[0]
    is_delete = submission.operation == "delete"
    return Post(
        community=source.community.slug,
        source=source_of(submission, source),
        platform=platform_of(submission, source),
        post=identity,
        native_id=submission.native_id,
        operation=submission.operation,
        object_type=submission.object_type,
        attributed_to=author,
        is_automated=is_automated(submission),
        in_reply_to=submission.in_reply_to,
        context=submission.context,
        published=published,
        published_trust=source.published_trust,
        published_adjusted=is_future,
        updated=updated,
        url=submission.url,
        name=None if is_delete else submission.name,
        content="" if is_delete else submission.text,
        content_html=None if is_delete else submission.content_html,
        language=language,
        tag=[] if is_delete else submission.tag,
        mention=[] if is_delete else mentioned or [],
        link=[] if is_delete else submission.link,
    )


def interaction_of(
    submission: InteractionSubmission, source: Source, author: str | None, now: datetime
) -> Interaction:
    """The interaction, heard at the moment `now`."""
    community, platform = source.community.slug, platform_of(submission, source)
    published, is_future = not_after(submission.published, now)
    subject = submission.object
    return Interaction(
        community=community,
        source=source_of(submission, source),
        platform=platform,
        kind=submission.kind,
        native_id=submission.native_id,
        attributed_to=author,
        is_automated=is_automated(submission),
        object=subject,
        post=None if subject is None else post_identity(community, platform, subject),
        url=submission.url,
        content=submission.content,
        name=submission.name,
        campaign=submission.campaign,
        channel=submission.channel,
        referrer=submission.referrer,
        published=published,
        published_trust=source.published_trust,
        published_adjusted=is_future,
    )


def member_of(submission: Submission, source: Source, author: str) -> Member:
    """How the author with this pseudonym looks."""
    actor = submission.attributed_to
    assert actor is not None
    return Member(
        community=source.community.slug,
        source=source_of(submission, source),
        platform=platform_of(submission, source),
        member=author,
        native_id=actor.id,
        preferred_username=actor.preferred_username,
        name=actor.name,
        icon=actor.icon,
        is_automated=is_automated(submission),
    )
