"""The errors a person can read: one line each, with the way out.

`PipelineError` (exit code 1) is for what went wrong around the user: a full disk, a damaged file.
`UserError` (exit code 2) is for what the user can put right in the command.
"""


class PipelineError(Exception):
    """Something outside the command stopped the work; the message says what to do."""

    exit_code = 1


class UserError(PipelineError):
    """The command asks for something that cannot be; the message says what can."""

    exit_code = 2


class UndeclaredError(PipelineError):
    """A stage reads a setting or a table that it does not declare; the message names both."""


class TableError(PipelineError):
    """A table breaks its schema: a column, a type, a null, a key."""


class StoreError(PipelineError):
    """The store cannot be read or written."""


class PageError(PipelineError):
    """A page of a site is not what it should be; the message names what was expected and found."""


class HubError(PipelineError):
    """The Hub cannot be reached, or refuses."""
