"""Workers that another process can be told of by name."""

import os
import signal
import time
from collections.abc import Callable


def doubled() -> Callable[[int], int]:
    """What doubles a number."""
    return lambda shard: 2 * shard


def failing() -> Callable[[int], int]:
    """What raises at the fourth."""

    def work(shard: int) -> int:
        if shard == 3:
            raise ValueError("the fourth")
        return shard

    return work


def killed() -> Callable[[int], int]:
    """What is killed as the kernel kills who takes too much memory."""
    return lambda shard: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[return-value]


def printing() -> Callable[[int], int]:
    """What prints."""

    def work(shard: int) -> int:
        print("printed")
        return shard

    return work


def endless() -> Callable[[int], int]:
    """What ends with the first shard only, and tells the number of its process in a file."""

    def work(shard: str) -> int:
        if shard:
            with open(f"{shard}/{os.getpid()}", "w"):
                time.sleep(600)
        return os.getpid()

    return work
