"""What each user of the bus may, derived from the topology."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_runtime.permissions import (
    NoOneStreamError,
    Permissions,
    Subscriber,
    operator_permissions,
    overlap,
    provision_permissions,
    service_permissions,
    stream_of_subject,
    subscriber,
    subscriber_permissions,
)
from klankbord_schemas import EVENTS, PostReceived
from klankbord_schemas.catalogue import EventClass
from klankbord_schemas.topology import (
    CONSUMERS,
    SAID_BY_EACH,
    SERVICES,
    STREAMS,
    Consumer,
    Service,
)

BY_NAME = {service.name: service for service in SERVICES}


def may_publish(permissions: Permissions, subject: str) -> bool:
    return any(overlap(subject, allowed) for allowed in permissions.publish) and not any(
        overlap(subject, denied) for denied in permissions.publish_deny
    )


def may_subscribe(permissions: Permissions, subject: str) -> bool:
    return any(overlap(subject, allowed) for allowed in permissions.subscribe)


@pytest.mark.parametrize(
    "event",
    [event for event in EVENTS if event not in SAID_BY_EACH],
    ids=lambda event: event.__name__,
)
def test_an_event_is_said_by_exactly_one_service(event: EventClass) -> None:
    subject = f"{event.subject_prefix()}.forum.announcements"
    may = [s.name for s in SERVICES if may_publish(service_permissions(s), subject)]
    assert may == [service.name for service in SERVICES if event in service.produces]
    assert len(may) == 1


@pytest.mark.parametrize("event", SAID_BY_EACH, ids=lambda event: event.__name__)
def test_what_each_service_says_it_says_for_itself_alone(event: EventClass) -> None:
    for service in SERVICES:
        subject = f"{event.subject_prefix()}.forum.{service.name}"
        may = [s.name for s in SERVICES if may_publish(service_permissions(s), subject)]
        assert may == [service.name]


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
@pytest.mark.parametrize("consumer", CONSUMERS, ids=lambda consumer: consumer.name)
def test_a_consumer_is_read_by_its_own_service_alone(service: Service, consumer: Consumer) -> None:
    permissions = service_permissions(service)
    address = f"{consumer.stream}.{consumer.name}"
    for subject in (
        f"$JS.API.CONSUMER.MSG.NEXT.{address}",
        f"$JS.API.CONSUMER.INFO.{address}",
        f"$JS.ACK.{address}.1.2.3.4.5",
        f"$JS.ACK._.hash.{address}.1.2.3.4.5",
    ):
        assert may_publish(permissions, subject) == (consumer.service == service.name)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_changes_nothing_of_the_bus(service: Service) -> None:
    permissions = service_permissions(service)
    for stream in STREAMS:
        for verb in ("CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "MSG.GET", "RESTORE"):
            assert not may_publish(permissions, f"$JS.API.STREAM.{verb}.{stream.name}")
    for consumer in CONSUMERS:
        address = f"{consumer.stream}.{consumer.name}"
        for verb in ("CREATE", "DURABLE.CREATE", "DELETE", "PAUSE", "RESET"):
            assert not may_publish(permissions, f"$JS.API.CONSUMER.{verb}.{address}")
        assert not may_publish(permissions, consumer.replay_subject)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_hears_its_own_inbox_and_parks_its_own_dead_letters(service: Service) -> None:
    permissions = service_permissions(service)
    for other in SERVICES:
        own = other is service
        assert may_subscribe(permissions, f"_INBOX_{other.name}.abc.1") == own
        assert may_publish(permissions, f"klankbord.dead.{other.name}.x") == own
    assert not may_subscribe(permissions, "klankbord.post.received.v1.forum.web")
    assert not may_subscribe(permissions, "_INBOX.abc")


def test_a_service_may_ask_for_the_streams_that_it_reads_or_writes() -> None:
    permissions = service_permissions(BY_NAME["moderation"])
    may = [s.name for s in STREAMS if may_publish(permissions, f"$JS.API.STREAM.INFO.{s.name}")]
    assert may == ["POSTS", "ERASURES", "MODERATION", "DEAD"]


def test_the_operator_sees_all_erases_and_takes_nothing_from_a_service() -> None:
    permissions = operator_permissions()
    for stream in STREAMS:
        assert may_publish(permissions, f"$JS.API.STREAM.INFO.{stream.name}")
        assert may_publish(permissions, f"$JS.API.STREAM.MSG.GET.{stream.name}")
        assert not may_publish(permissions, f"$JS.API.STREAM.DELETE.{stream.name}")
        assert may_publish(permissions, f"$JS.API.STREAM.MSG.DELETE.{stream.name}")
        assert may_publish(permissions, f"$JS.API.CONSUMER.MSG.NEXT.{stream.name}.tail-7")
    for consumer in CONSUMERS:
        address = f"{consumer.stream}.{consumer.name}"
        assert may_publish(permissions, f"$JS.API.CONSUMER.INFO.{address}")
        for verb in ("MSG.NEXT", "DELETE", "CREATE", "DURABLE.CREATE"):
            assert not may_publish(permissions, f"$JS.API.CONSUMER.{verb}.{address}")
        assert not may_publish(permissions, f"$JS.API.CONSUMER.CREATE.{address}.klankbord.>")
        assert not may_publish(permissions, f"$JS.ACK.{address}.1.2.3.4.5")
        assert may_publish(permissions, consumer.replay_subject)
    for event in EVENTS:
        assert not may_publish(permissions, f"{event.subject_prefix()}.forum.web")


def test_only_provisioning_may_everything() -> None:
    assert provision_permissions() == Permissions(publish=(">",), subscribe=(">",))


def test_a_third_party_reads_its_consumer_and_says_nothing() -> None:
    permissions = subscriber_permissions(
        subscriber("product", ("klankbord.feedback.routed.v1.*.product",))
    )
    assert may_publish(permissions, "$JS.API.CONSUMER.MSG.NEXT.ROUTING.subscriber-product")
    assert not may_publish(permissions, "$JS.API.CONSUMER.MSG.NEXT.ROUTING.subscriber-sales")
    assert not any(subject.startswith("klankbord") for subject in permissions.publish)
    assert permissions.subscribe == ("_INBOX_subscriber-product.>",)


def test_permissions_are_written_as_nats_server_reads_them() -> None:
    assert Permissions(("a",), ("b",), ("c",)).as_config() == {
        "publish": {"allow": ["a"], "deny": ["c"]},
        "subscribe": {"allow": ["b"]},
    }
    assert "deny" not in Permissions(("a",), ("b",)).as_config()["publish"]


def test_the_stream_of_a_subject_is_found_and_what_no_one_stream_keeps_is_refused() -> None:
    assert stream_of_subject("klankbord.feedback.routed.v1.*.product").name == "ROUTING"
    assert stream_of_subject(f"{PostReceived.subject_prefix()}.>").name == "POSTS"
    with pytest.raises(NoOneStreamError, match="POSTS and MODERATION: give a subject of one"):
        stream_of_subject("klankbord.post.>")
    with pytest.raises(NoOneStreamError, match=r"'klankbrod\.post\.received' is kept by no stream"):
        stream_of_subject("klankbrod.post.received")
    with pytest.raises(NoOneStreamError, match="add one subscriber for each"):
        subscriber("both", ("klankbord.feedback.>", "klankbord.community.>"))
    assert subscriber("one", ("klankbord.feedback.routed.>", "klankbord.feedback.withdrawn.>")) == (
        Subscriber(
            "one", "ROUTING", ("klankbord.feedback.routed.>", "klankbord.feedback.withdrawn.>")
        )
    )


subjects = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(".".join)
patterns = st.builds(
    lambda tokens, rest: ".".join([*tokens, *rest]),
    st.lists(st.sampled_from("ab*"), min_size=1, max_size=3),
    st.sampled_from([[], [">"]]),
)


def matches(pattern: str, subject: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", r"[^.]+").replace(">", ".+")
    return re.fullmatch(expression, subject) is not None


@given(patterns, subjects)
def test_a_subject_overlaps_the_patterns_that_match_it(pattern: str, subject: str) -> None:
    assert overlap(pattern, subject) == matches(pattern, subject)


@given(patterns, patterns, subjects)
def test_patterns_that_share_a_subject_overlap(one: str, other: str, subject: str) -> None:
    assert overlap(one, other) == overlap(other, one)
    if matches(one, subject) and matches(other, subject):
        assert overlap(one, other)
