"""Whether a model fits into memory, asked before it is loaded."""

from __future__ import annotations

import itertools
from pathlib import Path

from pipeline.errors import UserError

_GROUP = Path("/sys/fs/cgroup")  # what a container may take; the files of either version
_LIMITS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def check(name: str, rest: int, blocks: list[int], available: int) -> None:
    """Raise UserError where the model `name` does not fit into the bytes available; the message says
    what would.

    `blocks` are the bytes of the blocks that are asked for, `rest` those of what any of them needs.
    """
    sizes = [rest + size for size in itertools.accumulate(blocks)] or [rest]
    if sizes[-1] <= available:
        return
    fitting = sum(size <= available for size in sizes)
    lower = f"it fits up to layer {fitting - 1}: ask for a lower LAYER, or " if fitting else ""
    raise UserError(
        f"MODEL: {name} takes {_told(sizes[-1])} of memory up to layer {len(sizes) - 1}, and "
        f"{_told(available)} are free; {lower}close other programs"
    )


def free(device: str, group: Path = _GROUP) -> int:
    """Bytes of memory that are free on a device; on a CPU those that the files in its cache take are."""
    if device == "cuda":
        import torch

        return torch.cuda.mem_get_info()[0]
    import psutil

    return min([psutil.virtual_memory().available, *_left_to_container(group)])


def _left_to_container(group: Path) -> list[int]:
    found = []
    for limit, used in _LIMITS:
        if (group / limit).is_file() and (group / limit).read_text().strip().isdigit():
            found.append(max(0, int((group / limit).read_text()) - int((group / used).read_text())))
    return found


def _told(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"
