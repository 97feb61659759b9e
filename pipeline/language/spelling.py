"""Which words are forms of one, as far as letters tell."""

from __future__ import annotations

_STEM, _STEM_SHARE = 4, 0.6  # letters that two words begin with, and their share of the shorter one


def spelled_alike(one: str, other: str) -> bool:
    """Whether two words are forms of one: one holds the other, or they have a long beginning in common; of
    a short one only the plural is."""
    short, long = sorted((one, other), key=len)
    if len(short) < _STEM:
        return long in (short, short + "s", short + "es")
    shared = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(short))
    return short in long or shared >= max(_STEM, _STEM_SHARE * len(short))
