"""How the value of one setting is checked: its type, its limits, what makes a path."""

from __future__ import annotations

import dataclasses
import math
import numbers
from pathlib import Path
from typing import Any

from pipeline.errors import UserError


def as_declared(field_: dataclasses.Field, value: Any) -> Any:
    """A value in its field's type, so that 1 and 1.0 are the same setting wherever they come from."""
    name, kind = field_.name.upper(), field_.type.removesuffix(" | None")
    if value is None and field_.type.endswith("None"):
        return None
    if kind == "bool":
        if not isinstance(value, bool):
            raise UserError(f"{name} is {value!r}; it must be true or false")
        return value
    if kind == "str":
        if not isinstance(value, str | int | Path):
            raise UserError(f"{name} is {value!r}; it must be a text")
        return str(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise UserError(f"{name} is {value!r}; it must be a number")
    if kind == "float":
        return float(value) + 0.0  # -0.0 is 0.0
    if not isinstance(value, numbers.Integral):
        raise UserError(f"{name} is {value}; it must be a whole number")
    return int(value)


def path(name: str, given: str) -> Path:
    """A path as it was given, ~ resolved."""
    try:
        return Path(given).expanduser()
    except RuntimeError as exc:
        raise UserError(f"{name} is {given!r}: {exc}") from exc


def between(name: str, value: float, low: float, high: float | None) -> None:
    """Raise UserError unless a number is finite and within both limits; null is none."""
    if not math.isfinite(value) or value < low or (high is not None and value > high):
        limits = f"from {low} to {high}" if high is not None else f"{low} or more"
        if low == -math.inf:
            limits = "a finite number"
        raise UserError(f"{name.upper()} is {value}; it must be {limits}")
