"""Telegram's refusals, over a real connection: its own words are told, and the token never."""

import json
import traceback
from datetime import UTC, datetime

import pytest
from conformance.ear import entry_of, web_of
from conformance.platform import Answered
from conformance.platforms.telegram import TOKEN, Updates
from conformance.server import serving

from klankbord_ingest.kind import FetchError
from klankbord_ingest.kinds.telegram import Telegram


@pytest.mark.parametrize(
    ("status", "description", "words"),
    [
        (401, "Unauthorized", "token is wrong"),
        (409, "Conflict: can't use getUpdates method while webhook is active", "deleteWebhook"),
        (400, f"Bad Request: no such bot{TOKEN}", "no such bot…"),
        (200, "nonsense", "no list of updates"),
    ],
)
async def test_why_telegram_refuses_is_told_without_the_token(
    status: int, description: str, words: str
) -> None:
    platform = Updates()
    refusal = {"ok": False, "error_code": status, "description": description}
    async with serving(lambda _: Answered(json.dumps(refusal).encode(), status)) as server:
        entry = entry_of(platform, server.base)
        assert isinstance(entry, Telegram)
        with pytest.raises(FetchError) as failed:
            await entry.fetch(web_of(entry, platform, [server.port]), {}, datetime.now(UTC))
    told = "".join(traceback.format_exception(failed.value))
    assert words in told
    assert TOKEN not in told
    assert status == 200 or description.partition(TOKEN)[0] in told
