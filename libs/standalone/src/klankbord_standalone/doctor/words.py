"""Lengths of time and numbers of bytes, in words."""

from datetime import timedelta

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size(number: float) -> str:
    """A number of bytes: `1.5 GiB`."""
    for unit in UNITS[:-1]:
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} {UNITS[-1]}"


def length(time: timedelta) -> str:
    """A length of time, in its largest unit: `3 d`, `5 min`."""
    seconds = time.total_seconds()
    for unit, many in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= many:
            return f"{seconds / many:.3g} {unit}"
    return f"{seconds:.3g} s"
