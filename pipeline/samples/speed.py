"""How fast a scan is, and how long it takes yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from pipeline.progress import Progress


class Done(NamedTuple):
    """Some windows that are done: their number, their tokens, and how many texts are done before and after,
    of which one may be done in part."""

    n_windows: int
    n_tokens: int
    texts_before: float
    texts_after: float


class Speed:
    """Shows what is done, with tokens a second, and the time left where the number of texts is known."""

    def __init__(self, n_texts: int | None, clock: Callable[[], float] | None = None) -> None:
        clock = clock or time.monotonic
        self.n_texts, self._clock, self._start = n_texts, clock, clock()
        self._tokens, self.texts = 0, 0.0
        self._first: float | None = None  # the text with which it began
        self._shown = Progress("scan", unit="window", note=self.told, clock=clock)

    def add(self, done: Done) -> None:
        """Some more windows are done."""
        self._tokens += done.n_tokens
        self._first = done.texts_before if self._first is None else self._first
        self.texts = done.texts_after
        self._shown.add(done.n_windows)

    def close(self) -> None:
        """All is done."""
        self._shown.close()

    def told(self) -> str:
        """Tokens a second, and where the number of texts is known, the time left."""
        seconds = self._clock() - self._start
        rate = f"{self._tokens / max(seconds, 1e-9):,.0f} tokens/s"
        if not self.n_texts or self._first is None or self.texts <= self._first:
            return rate
        left = seconds * max(0.0, self.n_texts - self.texts) / (self.texts - self._first)
        return f"{rate}, {_duration(left)} left"


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
