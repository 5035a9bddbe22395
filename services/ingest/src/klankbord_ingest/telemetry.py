"""Every metric that ingest emits; what all services emit is in the runtime."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from klankbord_runtime.telemetry import SECONDS


class Telemetry:
    """Ingest's own metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Counter: what sources handed in, by source and what became of it: received, duplicate,
        # erased (by members who were erased: nothing is kept)
        self.submissions = Counter(
            "klankbord_ingest_submissions",
            "Posts and interactions handed in",
            ["source", "outcome"],
            registry=registry,
        )
        # finding a labelled counter takes longer than counting
        self._counters: dict[tuple[str, str], Counter] = {}
        # Counter: submissions that were turned away, by source and reason
        self.refused = Counter(
            "klankbord_ingest_refused",
            "Posts and interactions refused",
            ["source", "reason"],
            registry=registry,
        )
        # Counter: requests at the doors, by door and status
        self.requests = Counter(
            "klankbord_ingest_requests", "Requests", ["door", "status"], registry=registry
        )
        # Time: from a request's last byte to its answer, so with the commit, by door
        self.request_seconds = Histogram(
            "klankbord_ingest_request_seconds",
            "Seconds from the last byte of a request to its answer",
            ["door"],
            buckets=SECONDS,
            registry=registry,
        )
        # Gauge: bytes of requests that are being read, or wait for the database
        self.waiting_bytes = Gauge(
            "klankbord_ingest_waiting_bytes", "Bytes that the doors hold", registry=registry
        )
        # Gauge: webhook sources that nobody can post to, because they have no proper secret
        self.disabled_sources = Gauge(
            "klankbord_ingest_disabled_sources", "Webhook sources without secret", registry=registry
        )

    def heard(self, source: str, received: int, duplicate: int, erased: int) -> None:
        """Count a batch that was heard."""
        self._counter(source, "received").inc(received)
        self._counter(source, "duplicate").inc(duplicate)
        self._counter(source, "erased").inc(erased)

    def _counter(self, source: str, outcome: str) -> Counter:
        if (counter := self._counters.get((source, outcome))) is None:
            counter = self._counters[source, outcome] = self.submissions.labels(source, outcome)
        return counter
