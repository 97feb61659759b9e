"""Results as the NeuronRecords of OpenAI's neuron-explainer: one JSON file per neuron.

`<layer>/<neuron>.json`. Records hold the strongest texts as they are. Random texts, quantiles and moments
are those of a sample of the text, where the model is available.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.models.text_sample import TextSample
from pipeline.progress import progress
from pipeline.results.export.contents import Contents

_QUANTILES = (0.25, 0.5, 0.75, 0.9)  # of windows by their maximum; below the first is one group too
_RANDOM = 10  # texts of each kind


def write(results: Contents, folder: Path) -> int:
    """Write a file per neuron into `folder` and return their number."""
    layer = results.layer
    (folder / str(layer)).mkdir()
    seen = results.text_sample
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
        (folder / str(layer) / f"{neuron}.json").write_text(json.dumps(record), encoding="utf-8")
    return len(results.neurons)


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
    values = seen.values[:, column].astype(np.float64)
    centred, scale = values - values.mean(), values.std() or 1.0
    peaks = np.array([window[:, column].max(initial=-np.inf) for window in seen.activations])
    bounds = np.quantile(peaks[np.isfinite(peaks)], _QUANTILES)
    group = np.searchsorted(bounds, peaks, side="right")
    rng = np.random.default_rng(0)

    def drawn(places: np.ndarray) -> list[dict[str, Any]]:
        chosen = sorted(rng.permutation(places)[:_RANDOM].tolist())
        return [_record(seen.tokens[i], seen.activations[i][:, column]) for i in chosen]

    whole = np.flatnonzero(np.isfinite(peaks))
    return {
        "random_sample": drawn(whole),
        "random_sample_by_quantile": [drawn(whole[group[whole] == i]) for i in range(len(_QUANTILES) + 1)],
        "quantile_boundaries": bounds.tolist(),
        "mean": float(values.mean()),
        "variance": float(values.var()),
        "skewness": float((centred**3).mean() / scale**3),
        "kurtosis": float((centred**4).mean() / scale**4),
    }
