"""What a describer is shown of a neuron, and what is held out to judge its description by.

A description that is to be scored is made of every second distinct MAP, so that both parts hold strong and
weak ones; what is held out appears in no prompt, nor do its variants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Evidence:
    """What is known of one neuron, strongest first: the MAT of each MAP, the word that holds it (the MAT
    itself where none does), the MAPs as phrases, the same with the MAT marked, and the variants that
    activated more than their originals."""

    mats: list[str]
    words: list[str]
    phrases: list[str]
    marked: list[str]
    raised: list[str]


def shown(row: Mapping[str, Any], *, scored: bool) -> Evidence:
    """What a describer sees of a row of `evidence`, or of `group_evidence`, which knows no variants; all
    there is unless the description is to be scored."""
    ranks = row["ranks"][::2] if scored else row["ranks"]
    own = [row["ranks"].index(rank) for rank in ranks]
    raised = zip(row.get("raised_phrases", ()), row.get("raised_ranks", ()), strict=True)
    return Evidence(
        *([row[name][i] for i in own] for name in ("mats", "mat_words", "max_phrases", "marked_phrases")),
        raised=[phrase for phrase, rank in raised if rank in ranks],
    )


def held_out(row: Mapping[str, Any]) -> list[int]:
    """The ranks of the MAPs that a describer does not see where its description is scored."""
    return row["ranks"][1::2]
