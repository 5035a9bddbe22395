"""What every kind that is sent to promises."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from conformance.ear import Ear, entry_of, keys_of, source
from conformance.platform import NOW, PushPlatform
from conformance.platforms_found import at

from klankbord_ingest.kind import Push, RefusedError, Request, SourceEntry, UnsignedError

BASE = "https://platform.example"


class Place:
    """A source whose platform sends."""

    def __init__(self, platform: PushPlatform) -> None:
        self.platform = platform
        self.entry: SourceEntry = entry_of(platform, BASE)
        self.ear = Ear()

    def verify(self, request: Request, at: datetime = NOW) -> str | None:
        assert isinstance(self.entry, Push)
        return self.entry.verify(request, keys_of(self.entry, self.platform.secrets), at)

    def deliver(self, unsigned: Request, at: datetime = NOW) -> int:
        """Deliver a request as the platform does; how many new versions came of it."""
        request = self.platform.signed(unsigned, self.platform.secrets, at)
        self.verify(request, at)
        assert isinstance(self.entry, Push)
        return self.ear.hear(self.entry.read(request, source(self.entry), at))


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param())


@at(PushPlatform, lambda platform: platform.tells_posts and not platform.only_calls)
def test_what_is_said_is_heard_once_however_often_it_is_delivered(place: Place) -> None:
    platform = place.platform
    for id_ in ("1001", "1002"):
        post = platform.say(id_, f"Hello {id_}")
        assert place.deliver(platform.said(post)) == 1
        assert place.deliver(platform.said(post)) == 0
    expected = {platform.native_id(id_): f"Hello {id_}" for id_ in ("1001", "1002")}
    assert place.ear.standing == expected


@at(PushPlatform, lambda platform: not platform.tells_posts)
def test_what_is_done_is_heard_and_what_is_told_again_is_one_where_it_can_be_known(
    place: Place,
) -> None:
    platform, ear = place.platform, place.ear
    later = NOW + timedelta(minutes=1)
    first, second = (platform.said(platform.say(id_, "")) for id_ in ("1001", "1002"))
    place.deliver(first)
    place.deliver(second)
    assert (len(ear.interactions), ear.standing) == (2, {})
    place.deliver(first, later)
    assert len(ear.interactions) == (2 if platform.names_hits else 3)


@at(PushPlatform, lambda platform: platform.only_calls)
def test_who_says_only_that_there_is_something_new_has_the_source_asked(place: Place) -> None:
    platform = place.platform
    unsigned = platform.said(platform.say("1001", "Hello"))
    request = platform.signed(unsigned, platform.secrets, NOW)
    assert isinstance(place.entry, Push)
    assert place.entry.answer(request, keys_of(place.entry, platform.secrets), NOW) is None
    page = place.entry.read(request, source(place.entry), NOW)
    assert page.ask_now
    assert not page.submissions


@at(PushPlatform, lambda platform: platform.edits)
def test_an_edit_is_a_version_of_the_same_post(place: Place) -> None:
    platform = place.platform
    place.deliver(platform.said(platform.say("1001", "Hello")))
    edit = platform.edited(platform.edit("1001", "Hello again"))
    assert place.deliver(edit) == 1
    assert place.deliver(edit) == 0
    assert place.ear.standing == {platform.native_id("1001"): "Hello again"}


@at(PushPlatform, lambda platform: platform.edits)
def test_an_edit_that_overtakes_its_create_stands(place: Place) -> None:
    platform = place.platform
    said = platform.said(platform.say("1001", "Hello"))
    place.deliver(platform.edited(platform.edit("1001", "Hello again")))
    place.deliver(said)
    assert place.ear.standing == {platform.native_id("1001"): "Hello again"}


@at(PushPlatform, lambda platform: platform.deletes)
def test_a_delete_takes_the_post_that_it_names(place: Place) -> None:
    platform = place.platform
    for id_ in ("1001", "1002"):
        place.deliver(platform.said(platform.say(id_, f"Hello {id_}")))
    gone = platform.deleted(platform.delete("1001"))
    assert place.deliver(gone) == 1
    assert place.deliver(gone) == 0
    assert place.ear.standing == {platform.native_id("1002"): "Hello 1002"}


@at(PushPlatform, lambda platform: platform.spoils)
def test_what_is_not_as_documented_is_refused_with_a_reason_and_hinders_nothing(
    place: Place,
) -> None:
    platform = place.platform
    assert place.deliver(platform.spoiled()) == 0
    assert place.ear.refused
    assert all(len(reason) > 5 for reason in place.ear.refused)
    heard = place.deliver(platform.said(platform.say("1001", "Hello")))
    assert heard == 1 if platform.tells_posts else place.ear.interactions


@at(PushPlatform)
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"{}", b"[[[[1]]]]"]
)
def test_no_body_at_all_ends_in_anything_but_a_refusal(place: Place, body: bytes) -> None:
    spoiled = replace(place.platform.said(place.platform.say("1001", "Hello")), body=body)
    try:
        heard = place.deliver(spoiled)
    except (RefusedError, UnsignedError):
        return
    assert heard == 0


@at(PushPlatform)
def test_only_the_platform_itself_is_heard(place: Place) -> None:
    platform = place.platform
    unsigned = platform.said(platform.say("1001", "Hello"))
    good = platform.signed(unsigned, platform.secrets, NOW)
    place.verify(good)
    others = {role: _other(secret) for role, secret in platform.secrets.items()}
    forged = [unsigned, platform.signed(unsigned, others, NOW)]
    if platform.signs_body:
        forged.append(replace(good, body=good.body + b" "))
        forged.append(replace(good, body=good.body[:-1]))
    forged.append(replace(good, headers=[*good.headers, *good.headers]))
    forged += [
        replace(good, headers=[(name, b"\xff" + value) for name, value in good.headers]),
        replace(good, headers=[(name, b"") for name, _ in good.headers]),
    ]
    for request in forged:
        with pytest.raises(UnsignedError):
            place.verify(request)


@at(PushPlatform)
def test_nobody_is_heard_by_a_source_without_a_secret(place: Place) -> None:
    platform = place.platform
    good = platform.signed(platform.said(platform.say("1001", "Hello")), platform.secrets, NOW)
    assert isinstance(place.entry, Push)
    with pytest.raises(UnsignedError):
        place.entry.verify(good, dict.fromkeys(place.entry.secrets, ()), NOW)


@at(PushPlatform, lambda platform: platform.signs_time)
def test_what_is_stale_is_refused(place: Place) -> None:
    platform = place.platform
    request = platform.signed(
        platform.said(platform.say("1001", "Hello")), platform.secrets, NOW - timedelta(hours=1)
    )
    with pytest.raises(UnsignedError):
        place.verify(request, NOW)
    with pytest.raises(UnsignedError):
        place.verify(request, NOW - timedelta(hours=2))
    assert datetime.now(UTC) > NOW - timedelta(hours=1)


@at(PushPlatform)
def test_both_keys_are_good_while_one_is_rotated(place: Place) -> None:
    platform = place.platform
    keys = keys_of(place.entry, platform.secrets)
    newer = {
        role: (*keys_of(place.entry, {role: _other(secret)})[role], *keys[role])
        for role, secret in platform.secrets.items()
    }
    good = platform.signed(platform.said(platform.say("1001", "Hello")), platform.secrets, NOW)
    assert isinstance(place.entry, Push)
    place.entry.verify(good, {**keys, **newer}, NOW)


def _other(secret: str) -> str:
    """Another secret of the same form."""
    swapped = {"A": "B", "a": "b", "1": "2"}
    middle = len(secret) // 2
    letter = secret[middle]
    return secret[:middle] + swapped.get(letter, "A") + secret[middle + 1 :]
