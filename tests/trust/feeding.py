"""Hands in what the crowd says, at every replica's door, and puts what is malformed on the bus.

A delivery is tried again, at the next replica, until it is accepted; one that is hasty is not.
"""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import httpx
from nats.errors import Error as NatsError
from stage import Staged
from trust.crowd import Delivery, Malformed, Said

from klankbord_ingest.signature import signed_headers

RETRY = 0.3
AHEAD = 0.1
"""Which part of everything may be sent before its time: a long fault is fed, too."""
PATIENCE = 300.0
"""Seconds in which somebody must accept a delivery: more than the longest fault lasts."""


class Feeding:
    """What was handed in, and what became of it at the door."""

    def __init__(
        self,
        scene: Staged,
        deliveries: Sequence[Delivery],
        malformed: Sequence[Malformed],
        progress: Callable[[], float],
        lasts: float,
    ) -> None:
        """Nothing is sent yet.

        Args:
            scene: where to.
            deliveries: what the crowd says.
            malformed: what is put on the bus beside it, evenly spread.
            progress: which part of the faults is done: feeding lasts as long as they do.
            lasts: roughly how many seconds that will take.
        """
        self._scene = scene
        self._deliveries = deliveries
        self._malformed = malformed
        self._progress = progress
        self._pause = lasts / max(1, len(deliveries))
        doors = [p.address for p in scene.replicas if p.name == "ingest"]
        self._doors = itertools.cycle(f"{door}/v1/sources/forum" for door in doors)
        self._at_once = len(doors)
        self.accepted: set[Said] = set()
        """Posts that a door answered 202 for."""
        self.undecided: set[Said] = set()
        """Posts of hasty deliveries that nobody answered, or that were turned away."""
        self.sent_again = 0
        self.skewed = 0
        """Deliveries with a wrong clock that were refused."""
        self.skewed_accepted = 0
        self.sent = 0

    async def run(self) -> None:
        """Hand in everything."""
        left = iter(self._deliveries)
        async with (
            httpx.AsyncClient(timeout=20, trust_env=False) as http,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(self._at_once):
                group.create_task(self._feed(http, left))

    async def _feed(self, http: httpx.AsyncClient, left: Iterator[Delivery]) -> None:
        for delivery in left:
            while self.sent / len(self._deliveries) - AHEAD > self._progress() < 1:
                await asyncio.sleep(0.1)
            await self._deliver(http, delivery)
            await self._corrupt(delivery.number)
            self.sent += 1
            if self._progress() < 1:
                await asyncio.sleep(self._pause * self._at_once)

    async def _deliver(self, http: httpx.AsyncClient, delivery: Delivery) -> None:
        posts = [said.submission() for said in (*delivery.posts, *delivery.again)]
        body = json.dumps({"posts": posts}).encode()
        if delivery.skew:
            status = await self._try(http, body, delivery)
            while status is None or status >= 500:
                await asyncio.sleep(RETRY)
                status = await self._try(http, body, delivery)
            self.skewed += status == httpx.codes.UNAUTHORIZED
            self.skewed_accepted += status == httpx.codes.ACCEPTED
        async with asyncio.timeout(PATIENCE):
            while True:
                status = await self._try(http, body, delivery, right_clock=True)
                if status == httpx.codes.ACCEPTED:
                    self.accepted.update(delivery.posts)
                    self.sent_again += len(delivery.again)
                    return
                if delivery.hasty:
                    self.undecided.update(delivery.posts)
                    return
                if status is not None and status < 500 and status != 429:
                    raise RuntimeError(f"the door refuses a delivery that is right: {status}")
                await asyncio.sleep(RETRY)

    async def _try(
        self, http: httpx.AsyncClient, body: bytes, delivery: Delivery, *, right_clock: bool = False
    ) -> int | None:
        """Deliver once: the answer's status; none if there was no answer."""
        delivery_id = f"msg_{delivery.number}"
        moment = datetime.now(UTC) + (timedelta() if right_clock else delivery.skew)
        headers = {
            "content-type": "application/json",
            **signed_headers(self._scene.key, delivery_id, moment, body),
        }
        try:
            answer = await http.post(next(self._doors), content=body, headers=headers)
        except httpx.TransportError:
            return None
        return answer.status_code

    async def _corrupt(self, number: int) -> None:
        """Publish this delivery's share of what is malformed; done when the server has it."""
        count, of = len(self._malformed), len(self._deliveries)
        for bad in self._malformed[number * count // of : (number + 1) * count // of]:
            async with asyncio.timeout(PATIENCE):
                while not await self._published(bad):
                    await asyncio.sleep(RETRY)

    async def _published(self, bad: Malformed) -> bool:
        try:
            async with self._scene.everything.installation.client(bad.user) as client:
                await client.jetstream().publish(
                    bad.subject, bad.body, timeout=5, headers={"Nats-Msg-Id": bad.id}
                )
        except (NatsError, OSError):
            return False
        return True
