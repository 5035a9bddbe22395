"""Every metric that routing emits."""

from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from klankbord_schemas.event import Event
from klankbord_schemas.feedback import FeedbackRouted, FeedbackWithdrawn


class Telemetry:
    """What routing tells Prometheus of its work."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Counter: posts carried to a department, by department, intent and priority
        self.routed = Counter(
            "klankbord_routing_routed",
            "Posts carried to a department",
            ["department", "intent", "priority"],
            registry=registry,
        )
        # Counter: what was taken back, by department and by what took it back
        self.withdrawn = Counter(
            "klankbord_routing_withdrawn",
            "Routed posts that were taken back",
            ["department", "because"],
            registry=registry,
        )

    def said(self, events: Sequence[Event[Any]]) -> None:
        """Count what a batch said."""
        for event in events:
            if isinstance(event, FeedbackRouted):
                feedback = event.data
                self.routed.labels(feedback.department, feedback.intent, feedback.priority).inc()
            elif isinstance(event, FeedbackWithdrawn):
                self.withdrawn.labels(event.data.department, event.data.because).inc()
