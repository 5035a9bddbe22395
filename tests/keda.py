"""How KEDA's nats-jetstream scaler measures the lag of a consumer, followed step by step.

KEDA itself cannot be run in a test. This does what `pkg/scalers/nats_jetstream_scaler.go` of KEDA
2.16 does: it asks `/jsz` of the endpoint; in a cluster it looks for the consumer's leader among the
servers that `/varz` tells of, by its name, and asks that one.
"""

from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Trigger:
    """What a ScaledObject says of one consumer."""

    endpoint: str
    account: str
    stream: str
    consumer: str
    threshold: int

    @classmethod
    def read(cls, metadata: dict[str, str]) -> "Trigger":
        return cls(
            metadata["natsServerMonitoringEndpoint"],
            metadata["account"],
            metadata["stream"],
            metadata["consumer"],
            int(metadata["lagThreshold"]),
        )


class StreamNotFoundError(LookupError):
    """KEDA says so, counts a failure, and after some of them takes the `fallback`."""


async def lag(http: httpx.AsyncClient, trigger: Trigger) -> int:
    """What KEDA takes for the lag.

    Raises:
        StreamNotFoundError: the account has no such stream.
    """
    answer = await _jsz(http, trigger, trigger.endpoint)
    if answer.get("meta_cluster", {}).get("cluster_size", 0) > 1:
        answer = await _leader(http, trigger) or answer
    stream = _stream(answer, trigger)
    if stream is None:
        raise StreamNotFoundError(trigger.stream)
    for consumer in stream.get("consumer_detail") or ():
        if consumer["name"] == trigger.consumer:
            return int(consumer["num_pending"] + consumer["num_ack_pending"])
    return int(stream["state"]["last_seq"])


async def _leader(http: httpx.AsyncClient, trigger: Trigger) -> dict[str, Any] | None:
    """The answer of the server that leads the consumer; none where none says so."""
    port = trigger.endpoint.rpartition(":")[2]
    for url in (await _varz(http, trigger.endpoint))["connect_urls"]:
        server = f"{url.rpartition(':')[0]}:{port}"
        name = (await _varz(http, server))["server_name"]
        answer = await _jsz(http, trigger, server)
        for consumer in (_stream(answer, trigger) or {}).get("consumer_detail") or ():
            if consumer["name"] == trigger.consumer and consumer["cluster"].get("leader") == name:
                return answer
    return None


def _stream(answer: dict[str, Any], trigger: Trigger) -> dict[str, Any] | None:
    for account in answer.get("account_details") or ():
        if account["name"] == trigger.account:
            for stream in account.get("stream_detail") or ():
                if stream["name"] == trigger.stream:
                    return dict(stream)
    return None


async def _jsz(http: httpx.AsyncClient, trigger: Trigger, server: str) -> dict[str, Any]:
    query = f"acc={trigger.account}&consumers=true&config=true"
    return dict((await http.get(f"http://{server}/jsz?{query}")).json())


async def _varz(http: httpx.AsyncClient, server: str) -> dict[str, Any]:
    return dict((await http.get(f"http://{server}/varz")).json())
