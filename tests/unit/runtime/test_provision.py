"""What the topology asks of NATS and PostgreSQL, and how a difference is told."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_runtime.permissions import subscriber
from klankbord_runtime.provision import (
    Change,
    consumer_config,
    drift,
    scram_verifier,
    stream_config,
    subscriber_config,
)
from klankbord_schemas.topology import CONSUMERS, LOOKS, SERVICES, STREAMS, consumer

SECOND = 10**9
DAY = 24 * 3600 * SECOND
CONFIGS = [
    *(stream_config(stream) for stream in STREAMS),
    *(consumer_config(reader) for reader in CONSUMERS),
]


def test_a_stream_is_kept_on_disk_and_refuses_when_full_instead_of_forgetting() -> None:
    config = {stream.name: stream_config(stream, replicas=3) for stream in STREAMS}
    assert config["POSTS"] == {
        "name": "POSTS",
        "subjects": [
            "klankbord.post.received.>",
            "klankbord.replay.POSTS.>",
        ],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_age": 30 * DAY,
        "max_bytes": 20 * 1024**3,
        "max_msgs_per_subject": -1,
        "duplicate_window": 120 * SECOND,
        "num_replicas": 3,
        "allow_atomic": True,
    }
    assert config["MEMBERS"]["max_msgs_per_subject"] == LOOKS
    assert config["MEMBERS"]["max_age"] == 0
    assert config["DEAD"]["duplicate_window"] == DAY


def test_a_consumer_acknowledges_each_event_and_is_never_given_up() -> None:
    assert consumer_config(consumer("metrics-erasures")) == {
        "durable_name": "metrics-erasures",
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": 10 * SECOND,
        "max_deliver": -1,
        "max_ack_pending": 5000,
        "filter_subject": "",
        "filter_subjects": [
            "klankbord.member.erased.v1.>",
            "klankbord.replay.ERASURES.metrics-erasures",
        ],
        "replay_policy": "instant",
    }


def test_who_reads_a_stream_whole_has_the_server_choose_nothing() -> None:
    choosing = {reader.name for reader in CONSUMERS if consumer_config(reader)["filter_subjects"]}
    assert choosing == {f"{service.name}-erasures" for service in SERVICES}


def test_a_third_party_consumer_reads_its_subjects_only() -> None:
    config = subscriber_config(subscriber("product", ("klankbord.feedback.routed.v1.*.product",)))
    assert config["durable_name"] == "subscriber-product"
    assert config["filter_subjects"] == ["klankbord.feedback.routed.v1.*.product"]
    assert config["ack_policy"] == "explicit"


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.get("name", c.get("durable_name")))
def test_nothing_differs_when_the_server_has_it_and_more(config: dict[str, Any]) -> None:
    found = {"compression": "none", "metadata": {"_nats.level": "5"}, **config}
    for subjects in ("subjects", "filter_subjects"):
        if subjects in found:
            found[subjects] = found[subjects][::-1]
    assert drift(config, found) == []


def test_a_difference_is_told_in_words() -> None:
    wanted = stream_config(next(stream for stream in STREAMS if stream.name == "POSTS"))
    wanted["subjects"] = ["klankbord.y.>"]
    found = {**wanted, "max_age": 60 * SECOND, "discard": "old", "subjects": ["klankbord.x.>"]}
    del found["allow_atomic"]
    assert drift(wanted, found) == [
        'subjects is ["klankbord.x.>"], and should be ["klankbord.y.>"]',
        'discard is "old", and should be "new"',
        "max_age is 60 s, and should be 30d",
        "allow_atomic is not set, and should be true",
    ]


def test_a_value_that_the_server_leaves_out_is_the_empty_one() -> None:
    wanted = stream_config(next(stream for stream in STREAMS if stream.name == "MEMBERS"))
    found = {name: value for name, value in wanted.items() if name != "max_age"}
    assert drift(wanted, found) == []


@given(st.sampled_from(CONFIGS), st.data())
def test_every_value_is_watched(config: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(config)))
    (difference,) = (
        drift(config, {**config, name: "something else"})
        if not isinstance(config[name], int)
        else drift(config, {**config, name: config[name] + 1})
    )
    assert difference.startswith(f"{name} is ")


def test_a_change_says_what_and_how() -> None:
    assert str(Change("created", "stream POSTS")) == "created stream POSTS"
    assert str(Change("changed", "consumer x", ("ack_wait is 5 s, and should be 10 s",))) == (
        "changed consumer x\n  ack_wait is 5 s, and should be 10 s"
    )


def test_a_password_is_kept_as_the_verifier_of_rfc_7677() -> None:
    """Section 3's exchange: user `user`, password `pencil`."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    exchange = (
        f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        f"c=biws,r={nonce}"
    ).encode()
    kind, parameters, keys = scram_verifier("pencil", salt).split("$")
    stored_key, server_key = map(base64.b64decode, keys.split(":"))
    assert (kind, parameters) == ("SCRAM-SHA-256", "4096:W22ZaJ0SNY7soEsUEjb6gQ==")
    signature = hmac.digest(server_key, exchange, "sha256")
    assert base64.b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    mask = hmac.digest(stored_key, exchange, "sha256")
    client_key = bytes(a ^ b for a, b in zip(proof, mask, strict=True))
    assert hashlib.sha256(client_key).digest() == stored_key


@pytest.mark.parametrize("password", ["", "wachtwoord\n", "sleutél", "nul\x00"])
def test_a_password_that_would_need_normalising_is_refused(password: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        scram_verifier(password, b"0" * 16)
