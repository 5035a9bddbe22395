"""What people do around posts without a word: join, like, share and click."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta

from klankbord_standalone.sample.chance import Chance
from klankbord_standalone.sample.people import Person
from klankbord_standalone.sample.post import WEEKS, SamplePost, Submission, local, written
from klankbord_standalone.sample.stories import native_id_of

LIKES = 430
SHARES = 48
CLICKS_ON_THE_LAUNCH = 130
GUESTS = 46
"""How many come to the meet-up."""

LAUNCH_PAGE = "https://kwint.example/3?utm_source=community&utm_campaign=kwint-3"

Reaction = tuple[datetime, str, Submission]
"""When, heard through which source, and what."""


class Reactions:
    """Writes what people do around these posts."""

    def __init__(
        self,
        monday: date,
        members: Sequence[Person],
        posts: Sequence[SamplePost],
        chance: Chance,
    ) -> None:
        self._monday = monday
        self._members = members
        self._posts = {post.native_id: post for post in posts}
        self._chance = chance
        self._end = local(monday + timedelta(weeks=WEEKS), time())

    def all(self) -> Iterator[Reaction]:
        """Everything, kind by kind."""
        yield from self._newcomers()
        yield from self._guests()
        liked = [post for post in self._posts.values() if not post.author.is_bot]
        yield from self._pressed("like", LIKES, liked)
        launch = self._posts[native_id_of("launch")]
        shared = [post for post in liked if post.thread is None and post.last_meaning.label is None]
        yield from self._pressed("share", SHARES, [*shared, *[launch] * (len(shared) // 3)])
        for number in range(CLICKS_ON_THE_LAUNCH):
            at = launch.at + self._chance.delay(timedelta(hours=14))
            yield self._reaction(at, "forum", "click", f"click-{number}", {"url": LAUNCH_PAGE})

    def _newcomers(self) -> Iterator[Reaction]:
        for member in self._members:
            if member.joined_week == 0:
                continue
            day = self._monday + timedelta(weeks=member.joined_week)
            at = local(day, time(7, self._chance.number(0, 59)))
            yield self._reaction(at, "forum", "join", f"member-{member.id}", _by(member))

    def _guests(self) -> Iterator[Reaction]:
        announced = self._posts[native_id_of("meet-up")]
        there = [member for member in self._members if member.joined_week < 2]
        for guest in there[:: len(there) // GUESTS][:GUESTS]:
            at = announced.at + self._chance.delay(timedelta(days=4))
            said = _by(guest) | {"object": announced.native_id}
            yield self._reaction(at, "forum", "join", f"guest-{guest.id}", said)

    def _pressed(self, kind: str, times: int, posts: Sequence[SamplePost]) -> Iterator[Reaction]:
        pressed: set[tuple[str, str]] = set()
        while len(pressed) < times:
            post, member = self._chance.pick(posts), self._chance.pick(self._members)
            at = post.at + self._chance.delay(timedelta(hours=3))
            if member == post.author or (post.native_id, member.id) in pressed or at >= self._end:
                continue
            pressed.add((post.native_id, member.id))
            said = _by(member) | {"object": post.native_id}
            name = f"{kind}-{post.native_id}-{member.id}"
            yield self._reaction(at, post.source, kind, name, said)

    def _reaction(
        self, at: datetime, source: str, kind: str, native_id: str, said: Submission
    ) -> Reaction:
        submission = {"kind": kind, "nativeId": native_id, "published": written(at), **said}
        return at, source, submission


def _by(person: Person) -> Submission:
    return {"attributedTo": person.actor()}
