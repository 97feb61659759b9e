"""Progress of long work on stderr: a bar with rate and time left, plain lines without a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import TypeVar

from pipeline.output import tell

Item = TypeVar("Item")
_BAR_AFTER_S = 1.0
_LINE_EVERY_S = 10.0


def _size(item: object) -> int:
    return getattr(item, "num_rows", 1)


class Progress:
    """How far long work is: shown as it is told what is done, with what `note` says; nothing for work that
    is done quickly."""

    def __init__(
        self,
        what: str,
        *,
        unit: str,
        total: int | None = None,
        note: Callable[[], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._unit, self._total, self._note, self._clock = what, unit, total, note, clock
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(desc=what, unit=f" {unit}", total=total, delay=_BAR_AFTER_S, leave=False)
        self._start = self._told = clock()
        self._number = 0

    def add(self, number: int) -> None:
        """So many more are done."""
        if self._bar is not None:
            self._bar.set_postfix_str(self._note(), refresh=False)
            self._bar.update(number)
            return
        self._number += number
        now = self._clock()
        if now - self._told > _LINE_EVERY_S:
            self._told = now
            rate = self._number / (now - self._start)
            left = max(0, (self._total or 0) - self._number) / rate if rate else 0.0
            rest = f" of {self._total:,}, {left:.0f} s left" if self._total else ""
            line = f"{self._what}: {self._number:,}{rest}, {rate:.1f} {self._unit}s/s, {self._note()}"
            tell(line.removesuffix(", "))

    def close(self) -> None:
        """Nothing more is shown."""
        if self._bar is not None:
            self._bar.close()


def progress(  # noqa: PLR0913  (what is shown, and the clock)
    items: Iterable[Item],
    what: str,
    *,
    unit: str,
    total: int | None = None,
    note: Callable[[], str] = str,
    size: Callable[[Item], int] = _size,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Item]:
    """Pass `items` on, showing how far it is and what `note` says; nothing for work that is done quickly.

    A table counts for its rows, anything else for one, unless `size` says otherwise.
    """
    with closing(Progress(what, unit=unit, total=total, note=note, clock=clock)) as shown:
        for item in items:
            yield item
            shown.add(size(item))
