"""How much is measured: by `make bench`, by `make bench-full`, and to see whether it runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """The sizes of everything."""

    rounds: int
    window: float
    """Seconds that something is measured at its speed."""
    short_window: float
    """The same, where many windows have to find room."""
    pipeline_window: float
    """Seconds that the whole pipeline is under load."""
    open_window: float
    """Seconds of each open loop."""
    events: int
    """Posts that wait on the bus for a consumer that is measured."""
    growth_events: int
    """The same, in `growth`."""
    replica_events: int
    """The same, in `replicas`."""
    tasks: int
    """Posts that wait for Celery."""
    stored: int
    """Posts that are stored, in `growth_stored`, against a hundredth of them or 10,000."""
    backlog: int
    """Posts that wait, in `backlog_vs_sustained`."""
    texts: int
    """Different texts that are matched, in `rules_vs_re`."""
    cpu_seconds: float
    """Processor time that each side of `rules_vs_re` gets."""
    kind_seconds: float
    """Processor time that each way of listening gets at the least, in `kinds_slowest_us`."""
    spare: float
    """Seconds that may go into playing disturbed rounds again."""


SHORT = Size(
    rounds=3,
    window=8,
    short_window=3,
    pipeline_window=15,
    open_window=6,
    events=100_000,
    growth_events=12_000,
    replica_events=50_000,
    tasks=2_000,
    stored=100_000,
    backlog=20_000,
    texts=2_000,
    cpu_seconds=0.5,
    kind_seconds=0.08,
    spare=60,
)
FULL = Size(
    rounds=3,
    window=30,
    short_window=15,
    pipeline_window=60,
    open_window=30,
    events=300_000,
    growth_events=60_000,
    replica_events=200_000,
    tasks=10_000,
    stored=1_000_000,
    backlog=100_000,
    texts=5_000,
    cpu_seconds=2,
    kind_seconds=0.5,
    spare=300,
)
TINY = Size(
    rounds=1,
    window=0.5,
    short_window=0.5,
    pipeline_window=0.5,
    open_window=0.5,
    events=10_000,
    growth_events=3_000,
    replica_events=6_000,
    tasks=20,
    stored=2_000,
    backlog=300,
    texts=50,
    cpu_seconds=0.02,
    kind_seconds=0,
    spare=0,
)
