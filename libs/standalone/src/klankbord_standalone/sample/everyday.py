"""Everyday talk: threads in the forum and in the chat, week after week, in five languages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta

from klankbord_standalone.sample.chance import Chance
from klankbord_standalone.sample.meaning import Kind, Meaning
from klankbord_standalone.sample.people import BOT, STAFF, Person
from klankbord_standalone.sample.phrases import Writer, phrases
from klankbord_standalone.sample.post import (
    TIME_ZONE,
    WEEKS,
    Edit,
    SamplePost,
    address,
    local,
)

POSTS_PER_WEEK = (292, 305, 318, 322, 515, 402, 374, 412)
"""About how many posts each week brings; in the fifth, the launch."""
LAUNCH_WEEK = 4

SPOKEN: Mapping[str, float] = {"en": 0.40, "nl": 0.24, "de": 0.14, "sv": 0.13, "fi": 0.09}
"""The share of threads in each language."""

IN_THE_FORUM: Mapping[Kind, float] = {
    "talk": 36, "question": 24, "bug": 12, "idea": 11, "praise": 9, "complaint": 4, "lead": 2,
}  # fmt: skip
AFTER_THE_LAUNCH: Mapping[Kind, float] = {
    "talk": 24, "question": 22, "bug": 20, "idea": 8, "praise": 22, "complaint": 3, "lead": 4,
}  # fmt: skip
IN_THE_CHAT: Mapping[Kind, float] = {"talk": 82, "question": 6, "bug": 5, "praise": 7}

HOURS: Mapping[int, float] = {
    7: 2, 8: 4, 9: 5, 10: 5, 11: 4, 12: 6, 13: 6, 14: 3, 15: 3, 16: 4,
    17: 5, 18: 6, 19: 9, 20: 12, 21: 11, 22: 6,
}  # fmt: skip
"""When members write, by the hour of their day."""
WEEKDAYS: Mapping[int, float] = {0: 10, 1: 11, 2: 11, 3: 10, 4: 9, 5: 8, 6: 9}

OFFICE_OPENS, OFFICE_CLOSES = 9, 17
WAKES, SLEEPS = 7, 23

STAFF_SHARE: Mapping[Kind, float] = {
    "bug": 0.85, "idea": 0.6, "question": 0.7, "complaint": 0.95, "praise": 0.5, "lead": 1,
}  # fmt: skip
"""In how many threads of each kind someone of Kwint answers."""
STAFF_DELAY = timedelta(minutes=150)
MEMBER_DELAY = {"forum": timedelta(minutes=80), "chat": timedelta(minutes=4)}

NEWCOMERS_FIRST = 0.3
CORRECTED = 0.02
TAKEN_BACK = 0.012


class Everyday:
    """Writes everyday talk."""

    def __init__(self, monday: date, members: Sequence[Person], chance: Chance) -> None:
        self._monday = monday
        self._members = members
        self._chance = chance
        self._writer = Writer(chance)
        self._end = local(monday + timedelta(weeks=WEEKS), time())
        self._silent = dict.fromkeys(members)
        self._threads = 0

    def posts(self) -> Iterator[SamplePost]:
        """All of it, thread by thread."""
        for week, wanted in enumerate(POSTS_PER_WEEK):
            written = 0
            for post in self._of_bot(week):
                written += 1
                yield post
            while written < wanted:
                for post in self._thread(week):
                    written += 1
                    yield post

    def _of_bot(self, week: int) -> Iterator[SamplePost]:
        for day in range(7):
            at = local(self._monday + timedelta(weeks=week, days=day), time(6, 30))
            folders = 180 + 9 * week + day
            text = f"Nightly sync: {folders} ensembles, every folder up to date."
            name = f"n{week}{day}"
            yield SamplePost(name, "chat", at, BOT, text, address("chat", name, 0))

    def _thread(self, week: int) -> list[SamplePost]:
        self._threads += 1
        name = f"t{self._threads}"
        chance = self._chance
        source = "chat" if chance.happens(0.42) else "forum"
        kind = chance.weighed(self._kinds(source, week))
        language = chance.weighed(SPOKEN)
        author = self._author(language, week)
        opening = SamplePost(
            native_id=f"{name}-0",
            source=source,
            at=self._moment(week),
            author=author,
            text=self._writer.write(language, getattr(phrases(language), kind)),
            url=address(source, name, 0),
            meaning=Meaning(kind),
        )
        posts = [opening]
        for sort in self._answers(kind, source):
            reply = self._reply(posts, sort, kind, language, week)
            if reply.at < self._end:
                posts.append(reply)
        return self._changed(posts, language)

    def _kinds(self, source: str, week: int) -> Mapping[Kind, float]:
        if source == "chat":
            return IN_THE_CHAT
        return AFTER_THE_LAUNCH if week == LAUNCH_WEEK else IN_THE_FORUM

    def _answers(self, kind: Kind, source: str) -> Iterator[str]:
        chance = self._chance
        match kind:
            case "talk":
                yield from ["reply"] * chance.number(0, 6 if source == "chat" else 7)
            case "question" | "bug":
                yield from ["helping"] * chance.number(0, 2)
            case "idea" | "praise" | "complaint":
                yield from ["agree"] * chance.number(0, 3)
        if chance.happens(STAFF_SHARE.get(kind, 0)):
            yield "staff"

    def _reply(
        self, posts: Sequence[SamplePost], sort: str, kind: Kind, language: str, week: int
    ) -> SamplePost:
        chance, opening, by_staff = self._chance, posts[0], sort == "staff"
        latest = posts[-1]
        answered = opening if by_staff or sort == "helping" or chance.happens(0.5) else latest
        author = (
            chance.pick(tuple(STAFF.values()))
            if by_staff
            else self._author(language, week, answered)
        )
        book = phrases(language)
        sentences = book.staff[kind] if by_staff else getattr(book, sort)
        delay = chance.delay(STAFF_DELAY if by_staff else MEMBER_DELAY[opening.source])
        moment = (opening.at if by_staff else latest.at) + delay
        thread = opening.native_id.removesuffix("-0")
        return SamplePost(
            native_id=f"{thread}-{len(posts)}",
            source=opening.source,
            at=self._at_work(moment) if by_staff else self._awake(moment),
            author=author,
            text=self._writer.write(language, sentences, answered.author.first_name),
            url=address(opening.source, thread, len(posts)),
            thread=opening.native_id,
            to=answered.native_id,
        )

    def _changed(self, posts: list[SamplePost], language: str) -> list[SamplePost]:
        """Now and then someone corrects a post, or takes back one that nobody answered."""
        chance, last = self._chance, posts[-1]
        if last.meaning.kind != "talk" or last.author in STAFF.values():
            return posts
        later = last.at + chance.delay(timedelta(minutes=9))
        if later >= self._end:
            return posts
        if chance.happens(CORRECTED):
            text = self._writer.corrected(language, last.text)
            posts[-1] = replace(last, edit=Edit(later, text, last.meaning))
        elif chance.happens(TAKEN_BACK):
            posts[-1] = replace(last, deleted_at=later)
        return posts

    def _author(self, language: str, week: int, answered: SamplePost | None = None) -> Person:
        """Someone who is there by now, writes the language, and does not answer themselves."""
        able = [
            member
            for member in self._members
            if member.joined_week <= week
            and (language in (member.language, "en"))
            and (answered is None or member != answered.author)
        ]
        new = [member for member in able if member in self._silent and member.language == language]
        if new and self._chance.happens(NEWCOMERS_FIRST):
            author = self._chance.pick(new)
        else:
            author = self._chance.weighed(
                {m: m.activity * (2 if m.language == language else 1) for m in able}
            )
        self._silent.pop(author, None)
        return author

    def _moment(self, week: int) -> datetime:
        chance = self._chance
        day = timedelta(weeks=week, days=chance.weighed(WEEKDAYS))
        of_day = time(chance.weighed(HOURS), chance.number(0, 59), chance.number(0, 59))
        return local(self._monday + day, of_day)

    def _awake(self, moment: datetime) -> datetime:
        """The moment, or the next morning where it falls in the night."""
        there = moment.astimezone(TIME_ZONE)
        if WAKES <= there.hour < SLEEPS:
            return moment
        return self._morning(there, WAKES)

    def _at_work(self, moment: datetime) -> datetime:
        """The moment, or the next morning of a working day where the office is closed."""
        there = moment.astimezone(TIME_ZONE)
        if there.weekday() < 5 and OFFICE_OPENS <= there.hour < OFFICE_CLOSES:
            return moment
        opens = self._morning(there, OFFICE_OPENS)
        while opens.astimezone(TIME_ZONE).weekday() >= 5:
            opens += timedelta(days=1)
        return opens

    def _morning(self, there: datetime, hour: int) -> datetime:
        """Some moment within two hours of the next time that it is `hour` o'clock."""
        day = there.date() + timedelta(days=0 if there.hour < hour else 1)
        late = self._chance.number(0, 1)
        return local(day, time(hour + late, self._chance.number(0, 59)))
