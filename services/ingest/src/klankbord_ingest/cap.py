"""How often something may happen."""


class Cap:
    """Admits so many of each key in each second, and no more."""

    def __init__(self) -> None:
        self._second = 0
        self._seen: dict[str, int] = {}

    def admits(self, key: str, most: int, now: float) -> bool:
        """Whether one more of that key may happen.

        Args:
            key: one of few, as the name of something that is listed: a second remembers each.
            most: how many of it may happen in a second.
            now: seconds, of any clock that does not go back.
        """
        if int(now) != self._second:
            self._second, self._seen = int(now), {}
        self._seen[key] = seen = self._seen.get(key, 0) + 1
        return seen <= most
