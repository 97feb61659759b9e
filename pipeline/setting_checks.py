"""How the value of one setting is checked: its type, its limits, what makes a path."""

from __future__ import annotations

import dataclasses
import math
import numbers
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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
        if not isinstance(value, str | numbers.Integral | Path):
            raise UserError(f"{name} is {value!r}; it must be a text or a whole number")
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


def not_empty(settings: Any) -> None:
    """Raise UserError for a setting of Config that is an empty text where it names something."""
    needed = (
        "model",
        "text",
        "text_column",
        "text_config",
        "text_split",
        "data",
        "describer_model",
        "creator",
    )
    for each in dataclasses.fields(settings):
        value = getattr(settings, each.name)
        if each.name in needed and isinstance(value, str) and not value.strip():
            default = f" to use {each.default!r}" if each.default else ""
            raise UserError(f"{each.name.upper()} is empty; leave it out{default}")


def within_limits(field_: dataclasses.Field, value: Any) -> None:
    """Raise UserError unless a value is a choice of its field and within its limits; None always is."""
    name, choices = field_.name.upper(), field_.metadata["choices"]
    least, most = field_.metadata["least"], field_.metadata["most"]
    if value is None:
        return
    if choices and value not in choices:
        raise UserError(f"{name} is {value!r}; choose {' or '.join(choices)}")
    if least is None:
        return
    if not math.isfinite(value) or value < least or (most is not None and value > most):
        limits = f"from {least} to {most}" if most is not None else f"{least} or more"
        raise UserError(
            f"{name} is {value}; it must be {limits if least > -math.inf else 'a finite number'}"
        )


def ranges(name: str, spec: str, last_of_all: int, *, counts: bool = False) -> tuple[tuple[int, int], ...]:
    """Numbers as (first, last) pairs, both ends included, sorted: of 7, 0-63, 3,7,12 or all.

    A number alone stands for itself, or where it `counts` for so many from 0.
    """
    if spec.strip() == "all":
        return ((0, last_of_all),)
    is_count = counts and re.fullmatch(r"\d{1,10}", spec.strip())
    listed = f"0-{int(spec) - 1}" if is_count else spec.strip().removesuffix(",")
    found = []
    for part in listed.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})\s*(?:-\s*(\d{1,10})\s*)?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last > last_of_all:
            alone = "a count (64)" if counts else "a number (6)"
            raise UserError(f"{name} is {spec!r}; give {alone}, a range (0-63), a list (3,7,12) or all")
        found.append((first, last))
    return tuple(sorted(found))


def pair(name: str, given: str) -> tuple[float, float]:
    """Two numbers with a comma between."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*,\s*(\d+(?:\.\d+)?|\.\d+)\s*", given)
    if not match:
        raise UserError(f"{name} is {given!r}; give two numbers, such as 0.1,0.4")
    found = float(match[1]), float(match[2])
    if not max(found) <= 1e9:
        raise UserError(f"{name} is {given[:20]!r}...; that is no price")
    return found


def is_address(name: str, given: str) -> bool:
    """Whether something is an address on the web; raises UserError where it is one that cannot be."""
    if not given.strip():
        raise UserError(f"{name} is empty; leave it out to use https://neuroscope.io")
    try:
        parts = urlsplit(given)
        _ = parts.port
    except ValueError as exc:
        raise UserError(f"{name} is {given!r}: {exc}; an address is such as https://neuroscope.io") from exc
    if parts.scheme not in ("http", "https"):
        return False
    is_host = re.fullmatch(r"[\w.-]+|[0-9a-f:]+", parts.hostname or "")
    if not is_host or "@" in parts.netloc or parts.query or parts.fragment:
        raise UserError(
            f"{name} is {given!r}; an address has a host, and no name, password, query or fragment, "
            "such as https://neuroscope.io"
        )
    return True


def names(setting: str, given: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Names with commas between them, in the order of `known`; raises UserError for another one."""
    asked = [name.strip() for name in given.split(",")]
    for name in asked:
        if name not in known:
            raise UserError(f"{setting}: {name!r} is none of {', '.join(known)}")
    return tuple(name for name in known if name in asked)
