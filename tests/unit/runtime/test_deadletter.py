from datetime import UTC, datetime

from klankbord_runtime.deadletter import IN_A_ROW, WINDOW, Breaker, DeadLetter


def test_a_few_dead_letters_among_many_good_events_trip_nothing() -> None:
    breaker = Breaker()
    for number in range(5 * WINDOW):
        breaker.note(dead=number % 10 == 0)
    assert not breaker.tripped


def test_a_long_row_of_dead_letters_trips() -> None:
    breaker = Breaker()
    assert [breaker.note(dead=True) for _ in range(IN_A_ROW)] == [False] * (IN_A_ROW - 1) + [True]
    assert f"{IN_A_ROW} of the last {IN_A_ROW}" in breaker.reason


def test_a_large_part_of_dead_letters_trips_and_recovers() -> None:
    breaker = Breaker()
    for number in range(WINDOW):
        breaker.note(dead=number % 4 == 0)
    assert breaker.tripped
    for _ in range(WINDOW):
        breaker.note(dead=False)
    assert not breaker.tripped


def test_a_dead_letter_keeps_the_bytes_whatever_they_are() -> None:
    letter = DeadLetter.model_construct(
        stream="POSTS",
        stream_sequence=7,
        consumer="moderation-posts",
        subject="klankbord.post.received.v1.acme.forum",
        reason="invalid",
        detail="id: Field required",
        deliveries=1,
        died=datetime(2026, 1, 1, tzinfo=UTC),
        body=b"\xff\x00{",
    )
    assert DeadLetter.model_validate_json(letter.model_dump_json()).body == b"\xff\x00{"
