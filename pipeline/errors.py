"""The errors a person can read: one line each, with the way out.

`PipelineError` (exit code 1) is for what went wrong around the user: a full disk, a damaged file.
`UserError` (exit code 2) is for what the user can put right in the command.
"""

import errno
import re

_NO_MEMORY = re.compile(
    r"out of memory|(can(no|')t|could not|failed to|unable to) allocate|bad_alloc", re.IGNORECASE
)


class PipelineError(Exception):
    """Something outside the command stopped the work; the message says what to do."""

    exit_code = 1


class UserError(PipelineError):
    """The command asks for something that cannot be; the message says what can."""

    exit_code = 2


class NoLayerError(UserError):
    """The site has no pages of a layer."""


class UndeclaredError(PipelineError):
    """A stage reads a setting or a table that it does not declare; the message names both."""


class TableError(PipelineError):
    """A table breaks its schema: a column, a type, a null, a key."""


class StoreError(PipelineError):
    """The store cannot be read or written."""


class DamagedError(StoreError):
    """What lies in the store is not what was written; a run sets it aside and makes it anew."""


class PageError(PipelineError):
    """A page of a site is not what it should be; the message names what was expected and found."""


class HubError(PipelineError):
    """The Hub cannot be reached, or refuses."""


def lacks_memory(exc: BaseException) -> bool:
    """Whether an error of Python, Arrow, DuckDB, PyTorch or the operating system says that memory is short.

    Nothing is wrong then with what was read, however the library words it.
    """
    if isinstance(exc, MemoryError) or (isinstance(exc, OSError) and exc.errno == errno.ENOMEM):
        return True
    return not isinstance(exc, PipelineError) and bool(_NO_MEMORY.search(str(exc)))


def short_of_memory(what: str, exc: BaseException) -> PipelineError:
    """The error to raise where memory was short while doing `what`."""
    reason = " ".join(str(exc).split())[:200]
    return PipelineError(
        f"too little memory {what}{f' ({reason})' if reason else ''}; nothing is damaged: close other "
        "programs, ask for fewer NEURONS (--neurons) or less MEMORY_MB (--memory-mb), and run again"
    )
