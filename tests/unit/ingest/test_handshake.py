"""A sender of CloudEvents may ask whether it may send, if the operator listed it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from klankbord_ingest.kind import Push, Reply, Request, UnsignedError
from klankbord_ingest.kinds.hmac import PlainHmac
from klankbord_ingest.kinds.webhook import Webhook

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KINDS: list[tuple[type[Push], str]] = [(Webhook, "webhook"), (PlainHmac, "hmac")]


def asked(kind: type[Push], name: str, headers: dict[str, str], **fields: Any) -> Reply | None:
    """What a sender is answered that asks with OPTIONS, unsigned."""
    entry = kind.model_validate({"kind": name, "name": "crm", "community": "acme", **fields})
    sent = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
    request = Request("OPTIONS", "", {}, sent, b"")
    assert entry.verify(request, {"signature": ()}, NOW) is None
    return entry.answer(request, {"signature": ()}, NOW)


ORIGIN = {"WebHook-Request-Origin": "eventemitter.example.com"}
LISTED: dict[str, Any] = {"origins": ["eventemitter.example.com"]}


@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_a_listed_sender_may_send_as_often_as_the_operator_says(
    kind: type[Push], name: str
) -> None:
    rate = ORIGIN | {"WebHook-Request-Rate": "120"}
    reply = asked(kind, name, rate, **LISTED, per_minute=60)
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers == {
        "WebHook-Allowed-Origin": "eventemitter.example.com",
        "WebHook-Allowed-Rate": "60",
        "Allow": "POST",
    }
    unbounded = asked(kind, name, rate, **LISTED)
    assert unbounded is not None
    assert unbounded.headers["WebHook-Allowed-Rate"] == "*"
    without = asked(kind, name, ORIGIN, **LISTED)
    assert without is not None
    assert "WebHook-Allowed-Rate" not in without.headers


@pytest.mark.parametrize(("kind", "name"), KINDS)
@pytest.mark.parametrize("headers", [{}, {"WebHook-Request-Origin": "other.example"}, ORIGIN])
def test_nobody_else_finds_out_that_there_is_such_a_source(
    kind: type[Push], name: str, headers: dict[str, str]
) -> None:
    listed = {} if headers is ORIGIN else LISTED
    with pytest.raises(UnsignedError):
        asked(kind, name, headers, **listed)


@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_asking_does_not_let_a_post_in(kind: type[Push], name: str) -> None:
    entry = kind.model_validate({"kind": name, "name": "crm", "community": "acme", **LISTED})
    sent = [(b"webhook-request-origin", b"eventemitter.example.com")]
    with pytest.raises(UnsignedError):
        entry.verify(Request("POST", "", {}, sent, b"{}"), {"signature": ()}, NOW)
