"""The HTTP examples of CloudEvents' own conformance tests.

Runs where `../shared/real` lies beside the repository, and skips elsewhere.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from klankbord_ingest.kind import Request
from klankbord_ingest.kinds.webhook import Webhook
from klankbord_ingest.webhook import CLOUD_EVENT, CloudEvent

FEATURE = (
    Path(__file__).parents[4]
    / "shared/real/payloads/webhooks/cloudevents-conformance/features/http-protocol-binding.feature"
)
WEBHOOK = Webhook(kind="webhook", name="crm", community="acme")

pytestmark = pytest.mark.skipif(not FEATURE.exists(), reason="../shared/real is not here")


def scenario(title: str) -> tuple[list[Request], dict[str, str]]:
    """Its request, once for each content type, and what its attributes are to be."""
    text = FEATURE.read_text("utf-8").partition(f"Scenario Outline: {title}")[2]
    text = text.partition("Scenario Outline")[0]
    head, _, body = text.split('"""')[1].strip().partition("\n\n")
    lines = [line.strip().partition(": ") for line in head.splitlines()[1:]]
    attributes, examples = text.partition("Examples:")[0], text.partition("Examples:")[2]
    rows = [
        [cell.strip() for cell in row.strip("| \n").split("|")]
        for row in re.findall(r"^\s*\|.*\|\s*$", attributes, re.MULTILINE)
    ]
    types = [row.strip(" |") for row in examples.splitlines() if "|" in row][1:]
    requests = [
        Request(
            "POST",
            "",
            {},
            [
                (name.lower().encode(), value.replace("<contentType>", media_type).encode())
                for name, _, value in lines
            ],
            body.encode(),
        )
        for media_type in types
    ]
    return requests, {row[0]: row[1] for row in rows if len(row) == 2 and row[0] != "key"}


def test_structured_mode_is_read() -> None:
    requests, attributes = scenario("Structured content mode")
    assert len(requests) == 2
    for request in requests:
        assert request.media_type == CLOUD_EVENT
        assert request.media_type in WEBHOOK.accepts
        event = CloudEvent.model_validate_json(request.body)
        read: dict[str, Any] = {name: getattr(event, name, None) for name in attributes}
        assert read | {"time": attributes["time"]} == attributes
        assert event.data == {"message": "Hello World!"}


def test_binary_mode_is_known_by_its_headers_which_nobody_signs() -> None:
    requests, attributes = scenario("Binary content mode")
    assert len(requests) == 2
    for request in requests:
        assert request.header("ce-id") == attributes["id"]
        assert request.media_type != CLOUD_EVENT
