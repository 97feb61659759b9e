"""The calls by which descriptions are scored: five windows of text held against one description.

Detection: does a window activate the neuron? Fuzzing: are the tokens marked in it those that do?
(Paulo et al. 2024, arXiv 2410.13928.) As a control, the same windows are held against the description of
another neuron.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from pipeline import prompts
from pipeline.config import Config
from pipeline.prompts import METHODS, Prompt

NEURON = ("model", "layer", "neuron")


def calls(said: list[dict[str, Any]], windows: pa.Table, config: Config) -> list[dict[str, Any]]:
    """A row per call: neuron, control, the neuron described and its description, method, part, and the
    part's windows as `tokens` and places `marked`. `said` holds neurons with their descriptions."""
    of: dict[tuple, list[dict[str, Any]]] = {}
    for row in windows.sort_by("window").to_pylist():
        of.setdefault(tuple(row[name] for name in NEURON), []).append(row)
    pairs = [("none", row, row) for row in said]
    if config.score_control:
        pairs += [("other", row, other) for row, other in _others(said, config.seed)]
    found = []
    for control, row, other in pairs:
        own = of.get(tuple(row[name] for name in NEURON), [])
        for start in range(0, len(own), config.windows_per_call):
            part = own[start : start + config.windows_per_call]
            call = {name: row[name] for name in NEURON} | dict(
                control=control,
                described=other["neuron"],
                description=other["description"],
                part=start // config.windows_per_call,
                tokens=[window["tokens"] for window in part],
                marked=[window["marked"] for window in part],
            )
            found += [call | dict(method=method) for method in METHODS]
    return found


def _others(said: list[dict[str, Any]], seed: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each described neuron with another that is described in other words.

    Drawn for each neuron by itself, so that one more described neuron changes few pairs.
    """

    def drawn(row: dict[str, Any], other: dict[str, Any]) -> bytes:
        return hashlib.blake2b(f"{seed} {row['neuron']} {other['neuron']}".encode()).digest()

    for row in said:
        different = [other for other in said if other["description"] != row["description"]]
        if different:
            yield row, min(different, key=lambda other: drawn(row, other))


def prompt(call: Mapping[str, Any]) -> Prompt:
    """The question of one call."""
    marks = call["marked"] if call["method"] == "fuzzing" else [[]] * len(call["tokens"])
    windows = [marked(tokens, places) for tokens, places in zip(call["tokens"], marks, strict=True)]
    return prompts.judge(call["method"], call["description"], windows)


def marked(tokens: list[str], places: list[int]) -> str:
    """A window as text, the tokens at some places between ⟦ and ⟧."""
    plain = [token.translate({ord("⟦"): "[", ord("⟧"): "]"}) for token in tokens]
    text = "".join(f"⟦{token}⟧" if i in places else token for i, token in enumerate(plain))
    return text.replace("⟧⟦", "")
