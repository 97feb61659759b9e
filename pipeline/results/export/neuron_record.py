"""Results as the NeuronRecords of OpenAI's neuron-explainer: one JSON file per neuron.

Each is at `<layer>/<neuron>.json`, where its `load_neuron` looks, and at `neurons/<layer>/<neuron>.json`,
where `neuron_exists` and `get_sorted_layers` do. Records hold the strongest texts as they are. Random
texts, quantiles and moments are those of a sample of the text, where the model is available; windows in
which an activation is not a finite number are left out, since JSON knows no others.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import output
from pipeline.models.text_sample import TextSample
from pipeline.progress import progress
from pipeline.results.export.contents import Contents

_QUANTILES = (0.25, 0.5, 0.75, 0.9)  # of windows by their maximum; below the first is one group too
_RANDOM = 15  # its demo takes five for each of three splits
_OF_QUANTILE = 10  # texts of each quantile


def write(results: Contents, folder: Path) -> int:
    """Write a file per neuron into `folder` and return their number."""
    layer = results.layer
    for place in _places(folder, layer):
        place.mkdir(parents=True)
    seen = results.text_sample
    if seen and len(seen.tokens) < _RANDOM:
        output.tell(
            f"TEXT has {len(seen.tokens)} windows, so a neuron has no more random texts; the demo of "
            f"neuron-explainer wants {_RANDOM}: give a longer TEXT"
        )
    neurons = progress(results.neurons, "neuron-record", unit="neuron", total=len(results.neurons))
    for column, neuron in enumerate(neurons):
        record = {
            "dataclass_name": "NeuronRecord",
            "neuron_id": {"dataclass_name": "NeuronId", "layer_index": layer, "neuron_index": neuron},
            **(_sampled(seen, column) if seen else _NOTHING),
            "most_positive_activation_records": [
                _record(row["tokens"], row["activations"]) for row in results.samples[neuron]
            ],
        }
        _put(json.dumps(record, allow_nan=False), *(p / f"{neuron}.json" for p in _places(folder, layer)))
    return len(results.neurons)


def _places(folder: Path, layer: int) -> tuple[Path, Path]:
    """The two folders in which neuron-explainer looks for the neurons of a layer."""
    return folder / str(layer), folder / "neurons" / str(layer)


def _put(text: str, path: Path, other: Path) -> None:
    """Write a text once, under two names; where the disk has no links, twice."""
    path.write_text(text, encoding="utf-8")
    try:
        os.link(path, other)
    except OSError:
        shutil.copyfile(path, other)


_NOTHING: dict[str, Any] = {
    "random_sample": [],
    "random_sample_by_quantile": None,
    "quantile_boundaries": None,
    "mean": None,
    "variance": None,
    "skewness": None,
    "kurtosis": None,
}


def _record(tokens: Sequence[str], activations: Sequence[float]) -> dict[str, Any]:
    return {
        "dataclass_name": "ActivationRecord",
        "tokens": list(tokens),
        "activations": [float(value) for value in activations],
    }


def _sampled(seen: TextSample, column: int) -> dict[str, Any]:
    """A neuron's random texts, quantiles and moments, from a sample of the text."""
    windows = [window[:, column].astype(np.float64) for window in seen.activations]
    whole = np.array([i for i, w in enumerate(windows) if len(w) and np.isfinite(w).all()], dtype=int)
    if not len(whole):
        return _NOTHING
    values = np.concatenate([windows[i] for i in whole])
    centred, scale = values - values.mean(), values.std() or 1.0
    peaks = np.array([windows[i].max() for i in whole])
    bounds = np.quantile(peaks, _QUANTILES)
    group = np.searchsorted(bounds, peaks, side="right")
    rng = np.random.default_rng(0)

    def drawn(places: np.ndarray, most: int) -> list[dict[str, Any]]:
        chosen = sorted(rng.permutation(places)[:most].tolist())
        return [_record(seen.tokens[i], windows[i].tolist()) for i in chosen]

    return {
        "random_sample": drawn(whole, _RANDOM),
        "random_sample_by_quantile": [
            drawn(whole[group == i], _OF_QUANTILE) for i in range(len(_QUANTILES) + 1)
        ],
        "quantile_boundaries": bounds.tolist(),
        "mean": float(values.mean()),
        "variance": float(values.var()),
        "skewness": float((centred**3).mean() / scale**3),
        "kurtosis": float((centred**4).mean() / scale**4),
    }
