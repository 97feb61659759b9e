"""Progress of long work on stderr: a bar with rate and time left, plain lines without a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from pipeline.output import tell

Item = TypeVar("Item")
_BAR_AFTER_S = 1.0
_LINE_EVERY_S = 10.0


def _size(item: object) -> int:
    return getattr(item, "num_rows", 1)


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
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(desc=what, unit=f" {unit}", total=total, delay=_BAR_AFTER_S, leave=False) as bar:
            for item in items:
                yield item
                bar.set_postfix_str(note(), refresh=False)
                bar.update(size(item))
        return
    start = told = clock()
    number = 0
    for item in items:
        yield item
        number += size(item)
        now = clock()
        if now - told > _LINE_EVERY_S:
            told = now
            rate = number / (now - start)
            rest = f" of {total:,}, {max(0, total - number) / rate:.0f} s left" if total else ""
            tell(f"{what}: {number:,}{rest}, {rate:.1f} {unit}s/s, {note()}".removesuffix(", "))
