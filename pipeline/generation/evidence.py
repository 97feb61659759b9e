"""What a describer is shown of a neuron, and what is held out to judge its description by.

Where descriptions are scored, the describer is shown every second distinct MAP, so that both halves hold
strong and weak ones. A MAP that is held out appears in no prompt, nor do its variants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Evidence:
    """What is shown of one neuron, strongest first.

    The MAT of each MAP, the word that holds it (the MAT itself where it is not part of a word), the MAPs
    as phrases, the same with the MAT marked, and the variants that activated more than their originals.
    Then the kind of thing that the neuron was found to stand for, "" if none, which of the MAPs show it, at
    least one of them, and the activation of each MAT.
    """

    mats: list[str]
    words: list[str]
    phrases: list[str]
    marked: list[str]
    raised: list[str]
    kind: str
    own: list[bool]
    activations: list[float]


def shown(row: Mapping[str, Any], *, scored: bool) -> Evidence:
    """What a describer sees of a row of `evidence`, or of `group_evidence`, which has no variants.

    Everything, or every second MAP where the description is `scored`. If none of these shows what the
    neuron stands for, the kind is "" and all of them count. Without activations each counts the same.
    """
    ranks = row["ranks"][::2] if scored else row["ranks"]
    places = [row["ranks"].index(rank) for rank in ranks]
    own_ranks = row.get("own_ranks") or row["ranks"]
    own = [rank in own_ranks for rank in ranks]
    activations = row.get("activations") or [1.0] * len(row["ranks"])
    raised = zip(row.get("raised_phrases", ()), row.get("raised_ranks", ()), strict=True)
    return Evidence(
        mats=[row["mats"][i] for i in places],
        words=[row["mat_words"][i] for i in places],
        phrases=[row["max_phrases"][i] for i in places],
        marked=[row["marked_phrases"][i] for i in places],
        raised=[phrase for phrase, rank in raised if rank in ranks],
        kind=(row.get("kind") or "") if any(own) else "",
        own=own if any(own) else [True] * len(ranks),
        activations=[activations[i] for i in places],
    )


def held_out(row: Mapping[str, Any]) -> list[int]:
    """The ranks of the MAPs that are held out where the description is scored."""
    return row["ranks"][1::2]
