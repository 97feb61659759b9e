"""Results in Neuronpedia's export layout, as its importer and viewers read it.

`{model}/{layer}-{set}/` with release, model, sourceset and source as JSON lines, and batches of features,
activations and explanations as gzipped ones. Histograms and logits come from the model where it is
available.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.progress import progress
from pipeline.results.export.contents import Contents

SET = "feature-neurons"  # the name `neurons` is reserved
_BATCH = 1024  # features of a batch
_BINS = 50
_TOP = 10  # tokens whose logits a neuron raises and lowers most


def write(results: Contents, folder: Path) -> int:
    """Write the layout into `folder` and return the number of neurons."""
    name, source = results.model_name, f"{results.layer}-{SET}"
    target = folder / name / source
    for part in ("features", "activations", "explanations"):
        (target / part).mkdir(parents=True)
    _describe(results, target)
    neurons = results.neurons
    own = {"modelId": name, "layer": source}
    starts = range(0, len(neurons), _BATCH)
    for number, start in enumerate(progress(starts, "neuronpedia", unit="file", total=len(starts))):
        batch = neurons[start : start + _BATCH]
        columns = range(start, start + len(batch))
        file = f"batch-{number}.jsonl.gz"
        pairs = list(zip(columns, batch, strict=True))
        _put(target / "features" / file, (own | _feature(results, *pair) for pair in pairs))
        _put(target / "activations" / file, (own | row for n in batch for row in _activations(results, n)))
        _put(target / "explanations" / file, (own | row for n in batch for row in _explanation(results, n)))
    return len(neurons)


def _describe(results: Contents, target: Path) -> None:
    """Write the four files that describe the batches."""
    now = datetime.now(UTC).isoformat()
    model, source = results.model_name, f"{results.layer}-{SET}"
    times = {"createdAt": now}
    shape = (
        {}
        if results.model is None
        else {
            "layers": results.model.n_layers,
            "neuronsPerLayer": results.model.n_neurons,
        }
    )
    text = "MLP neurons whose strongest texts are alike, verified by substitution"
    files: dict[str, dict[str, Any]] = {
        "release": {"name": SET, "description": text, "visibility": "PRIVATE"},
        "model": {"id": model, "displayName": model, "displayNameShort": model, "instruct": False} | shape,
        "sourceset": {
            "modelId": model,
            "name": SET,
            "releaseName": SET,
            "description": text,
            "creatorName": SET,
            "visibility": "PRIVATE",
        },
        "source": {"id": source, "modelId": model, "setName": SET, "visibility": "PRIVATE"},
    }
    for name, row in files.items():
        (target / f"{name}.jsonl").write_text(json.dumps(row | times) + "\n", encoding="utf-8")


def _feature(results: Contents, column: int, neuron: int) -> dict[str, Any]:
    """A neuron with what the model says of it; without the model those lists are empty."""
    peaks = [row["max_activation"] for row in results.samples[neuron]]
    feature: dict[str, Any] = {"index": str(neuron), "maxActApprox": max(peaks, default=0.0)}
    feature |= {"pos_str": [], "pos_values": [], "neg_str": [], "neg_values": []}
    for name in ("freq", "logits"):
        feature |= {f"{name}_hist_data_bar_values": [], f"{name}_hist_data_bar_heights": []}
    model, seen, effects = results.model, results.text_sample, results.effects
    if model is None or seen is None or effects is None:
        return feature
    values = seen.values[:, column]
    logits = effects[column, : len(model.token_texts)]
    order = np.argsort(logits, kind="stable")
    names = model.token_texts
    return feature | {
        "hookName": model.hook(results.layer),
        "frac_nonzero": float((values > 0).mean()),
        **_histogram("freq", values[values > 0]),
        **_histogram("logits", logits),
        "pos_str": [names[i] for i in order[::-1][:_TOP]],
        "pos_values": logits[order[::-1][:_TOP]].tolist(),
        "neg_str": [names[i] for i in order[:_TOP]],
        "neg_values": logits[order[:_TOP]].tolist(),
    }


def _histogram(name: str, values: np.ndarray) -> dict[str, list[float]]:
    """Lower ends of bins and their counts: two lists of one length, as viewers want them."""
    heights, edges = np.histogram(values, bins=_BINS)
    return {
        f"{name}_hist_data_bar_values": edges[:-1].tolist(),
        f"{name}_hist_data_bar_heights": heights.tolist(),
    }


def _activations(results: Contents, neuron: int) -> Iterator[dict[str, Any]]:
    """A neuron's samples; all belong to the group that viewers call the strongest."""
    for row in results.samples[neuron]:
        yield {
            "id": f"{results.model_name}-{results.layer}-{neuron}-{row['rank']}",
            "index": str(neuron),
            "tokens": row["tokens"],
            "values": row["activations"],
            "maxValue": row["max_activation"],
            "maxValueTokenIndex": row["mat_index"],
            "minValue": min(row["activations"]),
            "binMin": -1,
            "binMax": results.samples[neuron][0]["max_activation"],
            "binContains": -1,
            "dataSource": row["text_set"],
        }


def _explanation(results: Contents, neuron: int) -> Iterator[dict[str, Any]]:
    """A neuron's description, if it has one."""
    row = results.descriptions.get(neuron)
    if row is not None:
        yield {
            "id": f"{results.model_name}-{results.layer}-{neuron}",
            "index": str(neuron),
            "description": row["description"],
            "typeName": SET,
            "explanationModelName": row["describer_model"] or row["describer"],
        }


def _put(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as gzipped JSON lines, the same bytes for the same rows."""
    with path.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
