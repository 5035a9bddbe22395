"""Third parties, who hear what the services say as anybody outside would."""

import asyncio
import json
from typing import Any

from nats.errors import Error as NatsError
from trust.crowd import MALFORMED

from klankbord_runtime.permissions import Subscriber, subscriber
from klankbord_standalone.servers import Installation

RETRY = 0.5
SUBSCRIBERS = (
    subscriber("verdicts", ("klankbord.post.flagged.>",)),
    subscriber("cases", ("klankbord.feedback.>",)),
    subscriber("measures", ("klankbord.community.>",)),
)


class Listener:
    """One third party: it reads its durable consumer, and keeps each id once, as it is told to."""

    def __init__(self, installation: Installation, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self._installation = installation
        self._heard: dict[str, dict[str, Any]] = {}
        self.repeated = 0

    @property
    def heard(self) -> list[dict[str, Any]]:
        """Every event that it heard, each id once."""
        return list(self._heard.values())

    async def run(self) -> None:
        """Listen for ever, whatever happens to the server; the way out is to be cancelled."""
        while True:
            try:
                await self._listen()
            except (NatsError, OSError):  # the server is away: as any subscriber, come again
                await asyncio.sleep(RETRY)

    async def _listen(self) -> None:
        who = self.subscriber
        async with self._installation.client(who.user) as client:
            said = await client.jetstream().pull_subscribe_bind(who.user, who.stream)
            while not client.is_closed:
                try:
                    messages = await said.fetch(100, timeout=1)
                except TimeoutError:
                    continue
                for message in messages:
                    event_id = (message.headers or {})["Nats-Msg-Id"]
                    if not event_id.startswith(MALFORMED):
                        self.repeated += event_id in self._heard
                        self._heard.setdefault(event_id, json.loads(message.data))
                    await message.ack()
