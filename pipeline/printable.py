"""Texts from outside, made harmless for a terminal and a table."""

from __future__ import annotations

# control characters of C0 and C1, and those that turn the direction of writing
_CONTROL = dict.fromkeys(
    (*range(32), *range(127, 160), 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
)


def plain(text: str) -> str:
    """A text on one line, without characters that steer a terminal."""
    return text.replace("\n", "\u23ce").replace("\t", " ").translate(_CONTROL)


def line(text: str) -> str:
    """The words of a text on one line, without characters that steer a terminal or are none at all."""
    return plain(" ".join(text.encode("utf-8", "replace").decode().split()))
