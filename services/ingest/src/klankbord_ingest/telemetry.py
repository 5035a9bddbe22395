"""Every metric that ingest emits; what all services emit is in the runtime."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from klankbord_ingest.source import Source
from klankbord_ingest.store import SourceState
from klankbord_ingest.submission import FieldError
from klankbord_runtime.telemetry import SECONDS
from klankbord_runtime.tracing import Answering


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
        # Counter: items that say nothing Klankbord listens for, by source and reason: private, …
        self.passed_over = Counter(
            "klankbord_ingest_passed_over",
            "Items of sources that were passed over",
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
        # Gauge: sources that cannot be listened to, because they have no proper secret
        self.disabled_sources = Gauge(
            "klankbord_ingest_disabled_sources", "Sources without secret", registry=registry
        )

        # Gauge: 1 for each source that klankbord.yaml lists
        self.source_info = Gauge(
            "klankbord_ingest_source_info",
            "Sources that klankbord.yaml lists",
            ["source", "community", "kind"],
            registry=registry,
        )
        # Gauge: when a listed source last handed something in, in seconds since 1970; not there
        # until it did
        self.source_heard = Gauge(
            "klankbord_ingest_source_heard_timestamp_seconds",
            "When a source last handed something in",
            ["source"],
            registry=registry,
        )
        # Gauge: how often in a row a listed source that has to be asked gave no usable answer
        self.source_failures = Gauge(
            "klankbord_ingest_source_failures",
            "Answers of a source that failed in a row",
            ["source"],
            registry=registry,
        )
        # Gauge: requests that a source's platform takes before its limit, where it says so
        self.source_rate_left = Gauge(
            "klankbord_ingest_source_rate_left",
            "Requests left before the platform's limit",
            ["source"],
            registry=registry,
        )
        # Counter: requests for short links, by what became of them: counted (an event follows),
        # automated (a crawler, a link preview), prefetch, head, capped (more in a second than are
        # counted), unknown, disabled; and lost (led, but the click could not be kept)
        self.clicks = Counter(
            "klankbord_ingest_clicks", "Requests for short links", ["outcome"], registry=registry
        )
        self.clicks.labels("counted")  # there from the beginning: no click yet is a 0, not nothing
        # Gauge: clicks that wait to be written
        self.clicks_waiting = Gauge(
            "klankbord_ingest_clicks_waiting", "Clicks that wait to be written", registry=registry
        )
        # Gauge: whether a listed source is silent against its own rhythm: 1, else 0
        self.source_silent = Gauge(
            "klankbord_ingest_source_silent",
            "Whether a source is silent against its own rhythm",
            ["source"],
            registry=registry,
        )
        self.last_heard: dict[str, datetime] = {}
        """When each source last handed something in to this process."""

    @contextmanager
    def answering(self, door: str, answering: Answering) -> Iterator[None]:
        """Measure how long a request is answered."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - begun
            self.request_seconds.labels(door).observe(seconds, answering.exemplar)

    def heard(self, source: str, received: int, duplicate: int, erased: int) -> None:
        """Count a batch that was heard."""
        self.last_heard[source] = datetime.now(UTC)
        self.counted(source, received, duplicate, erased)

    def counted(self, source: str, received: int, duplicate: int, erased: int) -> None:
        """Count what belongs to a source without being heard through it: clicks on its links.

        A forum that went silent is silent, however many follow its links.
        """
        self._counter(source, "received").inc(received)
        self._counter(source, "duplicate").inc(duplicate)
        self._counter(source, "erased").inc(erased)

    def turned_away(
        self, source: str, refused: Iterable[FieldError], passed_over: Mapping[str, int]
    ) -> None:
        """Count what of a source's items is not taken in."""
        for error in refused:
            self.refused.labels(source, error.code).inc()
        for reason, count in passed_over.items():
            self.passed_over.labels(source, reason).inc(count)

    def show(self, sources: Iterable[Source], states: Iterable[SourceState]) -> None:
        """Show the sources that are listed, and what is known of them; no other ones."""
        known = {state.source: state for state in states}
        for gauge in (
            self.source_info,
            self.source_heard,
            self.source_failures,
            self.source_rate_left,
        ):
            gauge.clear()
        for source in sources:
            self.source_info.labels(source.name, source.community.slug, source.kind).set(1)
            state = known.get(source.name)
            if state is not None and state.heard is not None:
                self.source_heard.labels(source.name).set(state.heard.timestamp())
            if state is not None and state.failures is not None:
                self.source_failures.labels(source.name).set(state.failures)
            if state is not None and state.rate_left is not None:
                self.source_rate_left.labels(source.name).set(state.rate_left)

    def show_silent(self, sources: Iterable[str], silent: Collection[str]) -> None:
        """Show which of the listed sources are silent."""
        self.source_silent.clear()
        for source in sources:
            self.source_silent.labels(source).set(source in silent)

    def _counter(self, source: str, outcome: str) -> Counter:
        if (counter := self._counters.get((source, outcome))) is None:
            counter = self._counters[source, outcome] = self.submissions.labels(source, outcome)
        return counter
