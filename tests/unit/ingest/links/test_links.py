"""Links, the book of them, and clicks that wait."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from klankbord_ingest.cap import Cap
from klankbord_ingest.links import clicks as module
from klankbord_ingest.links.book import LinkBook
from klankbord_ingest.links.clicks import Clicks
from klankbord_ingest.links.door import click_of
from klankbord_ingest.links.link import CODE_LENGTH, SIGNS, Link, LinkOffer, link_of
from klankbord_ingest.source import Source
from klankbord_ingest.submission import InteractionSubmission, field_errors
from klankbord_ingest.telemetry import Telemetry
from klankbord_ingest.usecases import Delivery, Receipt
from klankbord_schemas.community import Community

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
OFFER = {"url": "https://e.org/page", "community": "demo", "campaign": "spring"}


def link(code: str = "abc", **other: object) -> Link:
    made = link_of(LinkOffer.model_validate(OFFER | {"code": code}), lambda signs: signs[0], NOW)
    return Link(**{**vars(made), **other})


def test_a_link_has_one_target_and_a_code_that_nobody_misreads() -> None:
    made = link_of(LinkOffer.model_validate(OFFER), lambda signs: signs[-1], NOW)
    assert made.code == "z" * CODE_LENGTH
    assert not set("01ilo") & set(SIGNS)
    assert made.target == "https://e.org/page?utm_campaign=spring"
    assert made.campaign.campaign == "spring"
    assert made.source == "links"


@pytest.mark.parametrize(
    ("wrong", "field", "told"),
    [
        ({"url": "javascript:alert(1)"}, "url", "is no whole address; begin with https://"),
        ({"url": "ftp://e.org"}, "url", "begins with ftp:"),
        ({"url": "https://e.org/?utm_campaign=x"}, "", "names utm_campaign already"),
        ({"code": "no/slash"}, "code", "does not match"),
        ({"code": "a" * 64}, "code", "does not match"),
        ({"campaign": "x" * 300}, "campaign", "longer than 200"),
        ({"community": "No Slug"}, "community", "does not match"),
        ({"post": ""}, "post", "is empty"),
    ],
)
def test_a_wrong_offer_is_told_what_is_wrong(wrong: dict[str, str], field: str, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        LinkOffer.model_validate(OFFER | wrong)
    (error,) = field_errors(caught.value)
    assert error.field == field
    assert told in error.why


PARTS = [
    "utm_campaign=",
    "utm_medium=",
    "pk_cpn=",
    "%00",
    "%ff",
    "%0a",
    "&",
    "#",
    "=",
    "ü",
    "\\",
    "a",
]


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
def test_a_click_on_whatever_link_there_may_be_can_be_told(rest: str) -> None:
    """Whoever follows it must not see an error because of what we count."""
    try:
        offer = LinkOffer.model_validate({"url": f"https://e.org/?{rest}", "community": "demo"})
    except ValidationError:
        return
    made = link_of(offer, lambda signs: signs[0], NOW)
    told = click_of(made, {"referer": rest}, NOW)
    assert (told.kind, told.url) == ("click", made.url)


def test_the_book_keeps_what_changed_last() -> None:
    book = LinkBook()
    ended = link(disabled=NOW, changed=NOW + timedelta(seconds=1))
    book.note([ended, link("other")])
    book.note([link()])
    assert book.find("ABC") == book.find("abc).") == book.find("abc/") == ended
    assert book.find("") is None
    assert book.find("nothing") is None
    assert (len(book), book.newest) == (2, NOW + timedelta(seconds=1))


def test_a_cap_admits_so_many_a_second() -> None:
    cap = Cap()
    assert [cap.admits("a", 2, at) for at in (7.1, 7.2, 7.9)] == [True, True, False]
    assert cap.admits("b", 2, 7.9)
    assert cap.admits("a", 2, 8.0)


class Arrivals:
    """Writes, or fails as it is told to."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.written: list[tuple[str, list[str | None]]] = []
        self.meanwhile: Callable[[], None] = lambda: None

    async def write(self, delivery: Delivery, source: Source) -> Receipt:
        self.meanwhile()
        if self.failure is not None:
            raise self.failure
        names = [
            one.native_id for one in delivery.submissions if isinstance(one, InteractionSubmission)
        ]
        self.written.append((source.name, names))
        return Receipt(len(names), 0)


COMMUNITY = Community(slug="demo", name="Demo", time_zone="UTC", languages=("en",))


class Held:
    """Clicks, and what became of them."""

    def __init__(self) -> None:
        self.arrivals, self.may = Arrivals(), True
        self.registry = CollectorRegistry()
        self.clicks = Clicks(
            self.arrivals,  # type: ignore[arg-type]
            lambda: self.may,
            lambda one: Source(one.source, COMMUNITY, "link", one.source, "attested"),
            Telemetry(self.registry),
        )

    def hold(self, name: str, source: str = "links") -> None:
        told = {"kind": "click", "nativeId": name, "published": NOW}
        self.clicks.hold(InteractionSubmission.model_validate(told), link(source=source))

    @property
    def lost(self) -> float | None:
        return self.registry.get_sample_value("klankbord_ingest_clicks_total", {"outcome": "lost"})


async def test_clicks_that_wait_are_written_together_by_source() -> None:
    held = Held()
    for name, source in (("1", "links"), ("2", "links"), ("3", "forum"), ("4", "links")):
        held.hold(name, source)
    await held.clicks.write()
    assert held.arrivals.written == [("links", ["1", "2"]), ("forum", ["3"]), ("links", ["4"])]
    assert len(held.clicks) == 0


async def test_clicks_wait_while_the_database_is_away(caplog: pytest.LogCaptureFixture) -> None:
    held = Held()
    held.hold("1")
    held.arrivals.failure = ConnectionRefusedError("no database")
    for name in "23":
        await held.clicks.write()
        held.hold(name)
    assert (len(held.clicks), held.lost) == (3, None)
    assert caplog.text.count("clicks wait: ConnectionRefusedError") == 1
    held.arrivals.failure = None
    await held.clicks.try_again()
    assert held.arrivals.written == [("links", ["1", "2", "3"])]


async def test_what_comes_while_others_are_written_goes_next() -> None:
    held = Held()
    held.hold("1")
    names = iter("23")

    def meanwhile() -> None:
        if (name := next(names, None)) is not None:
            held.hold(name)

    held.arrivals.meanwhile = meanwhile
    await held.clicks.write()
    assert held.arrivals.written == [("links", ["1"]), ("links", ["2"]), ("links", ["3"])]


async def test_nothing_is_written_while_too_much_waits_to_be_sent() -> None:
    held = Held()
    held.may = False
    held.hold("1")
    await held.clicks.write()
    assert (held.arrivals.written, len(held.clicks)) == ([], 1)


async def test_what_cannot_be_kept_is_counted_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    held = Held()
    for name in "1234":
        held.hold(name)
    assert (len(held.clicks), held.lost) == (2, 2)
    assert caplog.text.count("clicks are lost") == 1


async def test_a_bug_in_writing_loses_what_it_is_about_and_nothing_else() -> None:
    held = Held()
    held.hold("1")
    held.arrivals.failure = RuntimeError("a bug")
    await held.clicks.write()
    assert (len(held.clicks), held.lost) == (0, 1)
