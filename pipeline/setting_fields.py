"""How a setting is declared as a field of Config: its default, its help, its limits."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def option(default: Any, doc: str, **more: Any) -> Any:
    """A setting that people give, with its help; `more` as in `_setting`."""
    return _setting(default, doc, option=True, **more)


def fixed(default: Any, doc: str, **more: Any) -> Any:
    """A setting that the method fixes; it is changed in Python only."""
    return _setting(default, doc, option=False, **more)


def _setting(  # noqa: PLR0913  (all that a setting says of itself)
    default: Any,
    doc: str,
    *,
    option: bool,
    alone: Any = None,
    choices: tuple[str, ...] | None = None,
    least: float | None = None,
    most: float | None = None,
) -> Any:
    """A field of Config. `alone` is its value where the command line names it without one; `choices` are
    all values it can have; `least` and `most` are limits of a number, both included.
    """
    facts = dict(help=doc, option=option, alone=alone, choices=choices, least=least, most=most)
    return field(default=default, metadata=facts)
