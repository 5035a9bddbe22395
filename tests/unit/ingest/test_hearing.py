"""What is said of items that a platform sent and that are refused."""

from klankbord_ingest.hearing import told
from klankbord_ingest.submission import FieldError


def test_of_an_answer_with_nothing_good_in_it_the_whole_is_counted() -> None:
    refused = [FieldError(0, "topic_id", "is missing", "missing")]
    assert (
        told(refused, 0)
        == "1 of 1 items refused (missing 1); the first: item 0, topic_id is missing"
    )


def test_an_item_with_two_faults_is_one_of_those_that_came() -> None:
    refused = [FieldError(3, field, "is missing", "missing") for field in ("id", "url")]
    assert str(told(refused, 4)).startswith(
        "1 of 5 items refused (missing 2); the first: item 3, id"
    )


def test_where_all_is_well_nothing_is_said() -> None:
    assert told([], 4) is None
