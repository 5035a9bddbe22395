"""From what a post costs to what many posts a day need; `python -m bench --docs` writes it down."""

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pages
from bench import kinds
from figures import Row

from klankbord_runtime.inbox import window
from klankbord_runtime.permissions import DEAD
from klankbord_runtime.settings import OutboxSettings
from klankbord_schemas import PostReceived
from klankbord_schemas.topology import DAY, STREAMS, stream_of

PAGE = Path(__file__).parents[2] / "docs" / "capacity.md"
POSTS_A_DAY = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
PEAK = 4
"""How many times the mean a busy minute brings."""
BUSY = 0.6
"""How much of what a node can do it is given to do: the rest is for outages and their backlog."""
POSTS = stream_of(PostReceived)
INBOX = window(
    [timedelta(seconds=POSTS.max_age)],
    timedelta(hours=OutboxSettings().kept_hours),
    next(timedelta(seconds=stream.max_age) for stream in STREAMS if stream.name == DEAD),
)
"""How long a handled event is known, as shipped; None would be for ever."""
assert INBOX is not None
INBOX_DAYS = INBOX.days
YEAR = 365
GIB = 2**30
HEAD = f"""\
| posts a day | mean/s | busy/s | cores | nodes | NATS, 30 d | inbox, {INBOX_DAYS} d | outbox, 1 d \
| effects, 1 y |
|---|---|---|---|---|---|---|---|---|"""
NEEDED = (
    "pipeline_posts_per_s",
    "pipeline_cpu_us",
    "bytes_nats_per_post",
    "bytes_stream_posts_per_post",
    "bytes_inbox_per_post",
    "bytes_outbox_per_post",
    "bytes_effects_per_post",
)


def write_page() -> None:
    """Put the last run into docs/capacity.md.

    Raises:
        SystemExit: there was none, or not of these rows, or the page has no markers; says what to
            do.
    """
    told = pages.last_run("bench")
    needs = capacity(told)
    load = told["machine"]["load_1m"]
    about = f"{pages.machine(told)}; load when it ended {load}; took {told['took_s'] / 60:.0f} min."
    pages.fill(PAGE, "bench table", f"{about}\n\n{pages.table(told)}")
    pages.fill(PAGE, "capacity table", needs)
    write_kinds(told)


def write_kinds(told: dict[str, Any]) -> None:
    """Put what a run found of the kinds of sources, if it measured them, into docs/capacity.md."""
    row = next((Row.from_json(row) for row in told["rows"] if row["name"] == kinds.NAME), None)
    if row is not None and row.parts:
        load = told["machine"]["load_1m"]
        about = f"{pages.machine(told)}; load when it ended {load}. `{row.name}`: {row.note}."
        pages.fill(PAGE, "kinds table", f"{about}\n\n{kinds.table(row.parts)}")


def capacity(told: dict[str, Any]) -> str:
    """What a node carries, and how many nodes that makes, as Markdown.

    Raises:
        SystemExit: rows are missing; says which.
    """
    values = {row["name"]: row["value"] for row in told["rows"]}
    if missing := [name for name in NEEDED if values.get(name) is None]:
        raise SystemExit(f"the last run lacks {', '.join(missing)}: make bench")
    cores = told["machine"]["cores"]
    carried = values["pipeline_posts_per_s"] * BUSY
    kept = POSTS.max_bytes / values["bytes_stream_posts_per_post"]
    days = POSTS.max_age / DAY
    outbox = OutboxSettings().max_bytes
    node = (
        f"A node is a machine like this one ({cores} cores). It is given {BUSY:.0%} of what it "
        f"can do, {carried:,.0f} posts/s, and a busy minute brings {PEAK} times the mean: so it "
        f"carries {carried / PEAK * DAY / 1e6:,.1f} million posts a day."
    )
    shipped = (
        f"As shipped, the stream `{POSTS.name}` takes {_size(POSTS.max_bytes)}, which is "
        f"{kept / 1e6:,.1f} million posts: over {days:.0f} days, {kept / days:,.0f} a day. An "
        f"outbox may grow to {_size(outbox)}, at the least the events of "
        f"{outbox / values['bytes_outbox_per_post'] / 1e6:,.1f} million posts."
    )
    lines = [_line(posts, values, carried) for posts in POSTS_A_DAY]
    return "\n".join([node, "", HEAD, *lines, "", shipped])


def _line(posts: int, values: dict[str, float], carried: float) -> str:
    mean = posts / DAY
    cores = mean * PEAK * values["pipeline_cpu_us"] / 1e6 / BUSY
    sizes = (
        posts * 30 * values["bytes_nats_per_post"],
        posts * INBOX_DAYS * values["bytes_inbox_per_post"],
        posts * values["bytes_outbox_per_post"],
        posts * YEAR * values["bytes_effects_per_post"],
    )
    nodes = math.ceil(mean * PEAK / carried)
    told = (
        *(f"{posts / 1e6:,.0f} M", f"{mean:,.0f}", f"{mean * PEAK:,.0f}"),
        *(f"{cores:,.1f}", f"{nodes:,}", *(_size(size) for size in sizes)),
    )
    return f"| {' | '.join(told)} |"


def _size(size: float) -> str:
    return f"{size / GIB:,.0f} GiB" if size < 10_000 * GIB else f"{size / GIB / 1024:,.0f} TiB"
