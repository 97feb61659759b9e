"""The calls that score descriptions: each compares five windows of text with one description.

Detection: does a window activate the neuron? Fuzzing: are the tokens marked in it those that do?
(Paulo et al. 2024, arXiv 2410.13928.) As a control, the same windows are compared with the description of
another neuron of the same model and layer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from pipeline.config import Config
from pipeline.generation import prompts
from pipeline.generation.prompts import METHODS, Prompt
from pipeline.tables.columns import NEURON_KEY

SETTINGS = ("score_control", "windows_per_call", "seed")  # that decide the calls


def calls(said: list[dict[str, Any]], windows: pa.Table, settings: Config) -> list[dict[str, Any]]:
    """A row per call: neuron, control, the neuron described and its description, method, part, and the
    part's windows as `tokens` and places `marked`. `said` holds neurons with their descriptions."""
    of: dict[tuple, list[dict[str, Any]]] = {}
    for row in windows.sort_by("window").to_pylist():
        of.setdefault(tuple(row[name] for name in NEURON_KEY), []).append(row)
    pairs = [("none", row, row) for row in said]
    if settings.score_control:
        pairs += [("other", row, other) for row, other in _others(said, settings.seed)]
    made = []
    for control, row, other in pairs:
        own = of.get(tuple(row[name] for name in NEURON_KEY), [])
        for start in range(0, len(own), settings.windows_per_call):
            part = own[start : start + settings.windows_per_call]
            call = {name: row[name] for name in NEURON_KEY} | dict(
                control=control,
                described=other["neuron"],
                description=other["description"],
                part=start // settings.windows_per_call,
                tokens=[window["tokens"] for window in part],
                marked=[window["marked"] for window in part],
            )
            made += [call | dict(method=method) for method in METHODS]
    return made


def _others(said: list[dict[str, Any]], seed: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each described neuron with another one of its model, layer and end that has a different description.

    Drawn for each neuron separately, so that one more described neuron changes few pairs.
    """

    def drawn(row: dict[str, Any], other: dict[str, Any]) -> bytes:
        return hashlib.blake2b(f"{seed} {row['neuron']} {other['neuron']}".encode()).digest()

    layers: dict[tuple, list[dict[str, Any]]] = {}
    for row in said:
        layers.setdefault((row["model"], row["layer"], row["sign"]), []).append(row)
    for row in said:
        own = layers[row["model"], row["layer"], row["sign"]]
        different = [other for other in own if other["description"] != row["description"]]
        if different:
            yield row, min(different, key=lambda other: drawn(row, other))


def prompt(call: Mapping[str, Any]) -> Prompt:
    """The prompt of one call."""
    marks = call["marked"] if call["method"] == "fuzzing" else [[]] * len(call["tokens"])
    windows = [marked(tokens, places) for tokens, places in zip(call["tokens"], marks, strict=True)]
    return prompts.judge(call["method"], call["description"], windows)


def marked(tokens: list[str], places: list[int]) -> str:
    """A window as text, with the tokens at some places between ⟦ and ⟧."""
    plain = [token.translate({ord("⟦"): "[", ord("⟧"): "]"}) for token in tokens]
    text = "".join(f"⟦{token}⟧" if i in places else token for i, token in enumerate(plain))
    return text.replace("⟧⟦", "")
