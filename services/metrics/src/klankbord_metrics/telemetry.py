"""What the service tells of itself, and the totals of the communities as gauges."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from klankbord_metrics.communities import Total
from klankbord_runtime.tracing import exemplar
from klankbord_schemas import CommunityMeasured, InteractionReceived, PostReceived
from klankbord_schemas.event import Event

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600)


class Telemetry:
    """The service's own Prometheus metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        community = ["community"]
        # Gauge: posts that stand, all time, by community
        self.posts = Gauge("klankbord_community_posts", "Posts", community, registry=registry)
        # Gauge: people who wrote a post that stands, all time, by community
        self.contributors = Gauge(
            "klankbord_community_contributors", "Contributors", community, registry=registry
        )
        # Gauge: what people did around posts, all time, by community
        self.interactions = Gauge(
            "klankbord_community_interactions", "Interactions", community, registry=registry
        )
        # Gauge: posts whose latest version carries a live label, all time, by community
        self.flagged_posts = Gauge(
            "klankbord_community_flagged_posts", "Flagged posts", community, registry=registry
        )
        # Gauge: cases that were routed and not withdrawn, by community and department
        self.open_cases = Gauge(
            "klankbord_community_open_cases",
            "Open cases",
            ["community", "department"],
            registry=registry,
        )
        # Gauge: 1 for a community that klankbord.yaml does not list; it counts in UTC
        self.unknown = Gauge(
            "klankbord_community_unknown",
            "Communities that klankbord.yaml does not list",
            community,
            registry=registry,
        )
        # Gauge: times that a post was touched and not counted yet
        self.uncounted = Gauge(
            "klankbord_metrics_uncounted_posts", "Posts that wait to be counted", registry=registry
        )
        # Counter: community.measured events, by metric
        self.measured = Counter(
            "klankbord_metrics_measured", "Measurements said", ["metric"], registry=registry
        )
        # Histogram: seconds from when Klankbord saw a post or interaction until it is written here
        self.counted_latency = Histogram(
            "klankbord_metrics_counted_latency_seconds",
            "From recordedtime until written down to be counted",
            buckets=SECONDS,
            registry=registry,
        )

    def heard(self, events: Iterable[PostReceived | InteractionReceived], now: datetime) -> None:
        """A batch was written down at that moment."""
        observe = self.counted_latency.observe
        for event in events:
            waited = max(0.0, (now - event.recordedtime).total_seconds())
            observe(waited, exemplar(event.traceparent))

    def said(self, events: Iterable[Event[Any]]) -> None:
        """These measurements were committed."""
        for event in events:
            if isinstance(event, CommunityMeasured):
                self.measured.labels(event.data.metric).inc()

    def show(self, totals: Iterable[Total], uncounted: int) -> None:
        """Show the totals as they are now."""
        self.uncounted.set(uncounted)
        self.open_cases.clear()
        for total in totals:
            self.posts.labels(total.community).set(total.posts)
            self.contributors.labels(total.community).set(total.contributors)
            self.interactions.labels(total.community).set(total.interactions)
            self.flagged_posts.labels(total.community).set(total.flagged_posts)
            self.unknown.labels(total.community).set(not total.is_known)
            for department, cases in total.open_cases.items():
                self.open_cases.labels(total.community, department).set(cases)
