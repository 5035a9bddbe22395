"""Every metric that moderation emits."""

from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from klankbord_schemas.event import Event
from klankbord_schemas.post import PostFlagged, PostReceived


class Telemetry:
    """What moderation tells Prometheus of its work."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Counter: versions of posts that came to be judged, deletes among them
        self.posts = Counter(
            "klankbord_moderation_posts", "Versions of posts that were heard", registry=registry
        )
        # Counter: versions that got at least one label, shadow labels among them
        self.flagged = Counter(
            "klankbord_moderation_flagged", "Versions of posts that got a label", registry=registry
        )
        # Counter: labels given, by label, rule, severity, and whether the rule acts
        self.labels = Counter(
            "klankbord_moderation_labels",
            "Labels given",
            ["label", "rule", "severity", "mode"],
            registry=registry,
        )

    def judged(self, events: Sequence[PostReceived], said: Sequence[Event[Any]]) -> None:
        """Count a batch and what was said of it."""
        self.posts.inc(len(events))
        for event in said:
            if isinstance(event, PostFlagged):
                self.flagged.inc()
                for label in event.data.labels:
                    self.labels.labels(label.val, label.rule, label.severity, label.mode).inc()
