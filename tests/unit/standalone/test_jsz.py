"""What the exporter makes of answers that a real server gives rarely, or only after days."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from klankbord_runtime.permissions import ACCOUNT
from klankbord_standalone import jsz
from klankbord_standalone.jsz import Answer, Jsz, Past, families

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
POSTS = ("POSTS", "routing-posts")
ERASURES = ("ERASURES", "routing-erasures")
FILTER = ["klankbord.member.erased.>"]


def stream(
    *consumers: dict[str, Any],
    name: str = "POSTS",
    first: int = 1,
    last: int = 10,
    first_at: float = 0,
    last_at: float = 0,
    leader: str | None = None,
) -> dict[str, Any]:
    """A stream as /jsz shows it; its times are seconds after the begin."""
    told: dict[str, Any] = {
        "name": name,
        "config": {"max_bytes": -1, "max_age": 0},
        "state": {
            "messages": last - first + 1,
            "bytes": 100,
            "first_seq": first,
            "first_ts": (BEGIN + timedelta(seconds=first_at)).isoformat(),
            "last_seq": last,
            "last_ts": (BEGIN + timedelta(seconds=last_at)).isoformat(),
        },
        "consumer_detail": list(consumers),
    }
    return told if leader is None else told | {"cluster": {"leader": leader, "replicas": []}}


def consumer(
    name: str = "routing-posts",
    *,
    floor: int = 0,
    pending: int = 0,
    in_hand: int = 0,
    filters: Sequence[str] = (),
    leader: str | None = None,
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": name,
        "config": {"durable_name": name, "filter_subjects": list(filters)},
        "delivered": {"stream_seq": floor + in_hand},
        "ack_floor": {"stream_seq": floor},
        "num_pending": pending,
        "num_ack_pending": in_hand,
        "num_redelivered": 0,
    }
    return told if leader is None else told | {"cluster": {"leader": leader}}


def answer(*streams: dict[str, Any], server: str = "n1", account: str = ACCOUNT) -> Answer:
    details = [{"name": account, "stream_detail": list(streams)}]
    return Answer(server, Jsz.model_validate({"account_details": details}))


def look(past: Past, *answers: Answer, asked: int = 1) -> dict[str, dict[tuple[str, ...], float]]:
    """The samples, by the metric's name and the values of the labels."""
    return {
        family.name.removeprefix("klankbord_"): {
            tuple(sample.labels.values()): sample.value for sample in family.samples
        }
        for family in families(answers, asked, past)
    }


# --- when the oldest unread event came ---------------------------------------------------------


def unread_since(found: dict[str, dict[tuple[str, ...], float]]) -> float:
    """Seconds after the begin."""
    return found["consumer_oldest_unread_timestamp_seconds"][POSTS] - BEGIN.timestamp()


def test_what_came_between_two_looks_is_told_apart_from_what_is_old() -> None:
    """A month of quiet, and one event just now: it is just now that it came."""
    past, month = Past(), 30 * 86_400.0
    look(past, answer(stream(consumer(floor=10), last_at=100)))
    found = look(past, answer(stream(consumer(floor=10, pending=1), last=11, last_at=month)))
    assert unread_since(found) == month


def test_of_what_came_before_the_first_look_it_knows_the_bounds() -> None:
    found = look(Past(), answer(stream(consumer(floor=4, pending=6), last=10, last_at=900)))
    assert unread_since(found) == pytest.approx(900 * 4 / 9)


def test_what_is_in_hand_is_unread_and_what_is_read_is_not() -> None:
    found = look(Past(), answer(stream(consumer(floor=9, in_hand=1), last_at=90)))
    assert unread_since(found) == 90
    found = look(Past(), answer(stream(consumer(floor=10), last_at=90)))
    assert "consumer_oldest_unread_timestamp_seconds" not in found


def test_however_long_it_looks_it_remembers_little_and_still_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jsz, "MOST_REMEMBERED", 50)
    past = Past()
    for number in range(2, 5_000):
        behind = consumer(floor=1_000, pending=max(0, number - 1_000))
        found = look(past, answer(stream(behind, last=number, last_at=15.0 * number)))
    assert unread_since(found) == pytest.approx(15 * 1_001, rel=0.05)
    assert sum(map(len, past._arrivals.values())) <= 50


def test_a_stream_that_is_made_anew_has_no_past() -> None:
    past = Past()
    look(past, answer(stream(consumer(floor=0, pending=10), last_at=100)))
    made_anew = stream(consumer(pending=2), last=2, first_at=500, last_at=600)
    assert unread_since(look(past, answer(made_anew))) == 500


# --- what was missed ---------------------------------------------------------------------------


def missed(found: dict[str, dict[tuple[str, ...], float]], key: tuple[str, str] = POSTS) -> float:
    return found["consumer_missed"][key]


def test_what_a_stream_dropped_before_it_was_read_is_missed() -> None:
    assert missed(look(Past(), answer(stream(consumer(floor=10), first=11, last=20)))) == 0
    assert missed(look(Past(), answer(stream(consumer(floor=5), first=11, last=20)))) == 5


def test_what_was_for_others_is_not_missed_by_who_chooses() -> None:
    """Its floor stays at the last event that was for it, while the stream goes on without it."""
    past = Past()
    chooser = consumer("routing-erasures", floor=3, filters=FILTER)
    look(past, answer(stream(chooser, name="ERASURES", last=10)))
    dropped = stream(chooser, name="ERASURES", first=9, last=10)
    assert missed(look(past, answer(dropped)), ERASURES) == 0
    waiting = consumer("routing-erasures", floor=3, pending=1, filters=FILTER)
    dropped = stream(waiting, name="ERASURES", first=14, last=20)
    assert missed(look(past, answer(dropped)), ERASURES) == 3, "of 11 to 13 nobody knows"


# --- a cluster that is not whole ---------------------------------------------------------------


def test_each_number_is_taken_from_who_leads() -> None:
    here = stream(consumer(pending=0, leader="n2"), last=7, leader="n1")
    there = stream(consumer(pending=7, leader="n2"), last=6, leader="n1")
    found = look(Past(), answer(here), answer(there, server="n2"), asked=2)
    assert found["stream_messages"] == {("POSTS",): 7}
    assert found["consumer_pending"] == {POSTS: 7}


def test_without_a_leader_there_are_no_numbers() -> None:
    orphan = stream(consumer(leader=""), leader="")
    found = look(Past(), answer(orphan), answer(orphan, server="n2"), asked=2)
    assert found["stream_replicas_current"] == {("POSTS",): 0}
    assert "stream_messages" not in found
    assert "consumer_pending" not in found
    assert POSTS not in found["consumer_missing"]


def test_nothing_is_missing_as_long_as_a_server_was_not_heard() -> None:
    found = look(Past(), answer(stream(consumer(leader="n2"), leader="n2")), asked=2)
    assert found == {"nats_up": {(): 1}}


def test_streams_of_other_accounts_are_not_ours() -> None:
    found = look(Past(), answer(stream(consumer()), account="somebody"))
    assert "stream_messages" not in found
    assert ("POSTS",) in found["stream_missing"]


def test_a_number_that_no_server_has_is_no_answer() -> None:
    """It would be taken, and fail each scrape when it is shown."""
    told = stream()
    told["state"]["messages"] = 10**400
    with pytest.raises(ValidationError, match="messages"):
        Jsz.model_validate({"account_details": [{"name": ACCOUNT, "stream_detail": [told]}]})
