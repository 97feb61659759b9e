"""Results in Neuronpedia's export layout, as its importer and viewers read it.

`{model}/{layer}-{set}/` with release, model, sourceset and source as JSON lines, and batches of features,
activations and explanations as gzipped ones. The negative ends of neurons are a set of their own.
Histograms and logits come from the model where it is available.

Its importer takes a file's columns from the first line and fails on a file without one. In its database
everything belongs to a user (the setting `creator`). Kinds and models of explanations are rows of their
own there, which an installation may lack: who described stands in the explanation's notes instead.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import __version__
from pipeline.errors import UserError
from pipeline.progress import progress
from pipeline.results.export.contents import Contents

NAME = "feature-neurons"  # `neurons` is reserved
SETS = {"positive": NAME, "negative": f"{NAME}-negative"}
_BATCH = 1024  # features of a batch
_BINS = 50
_TOP = 10  # tokens whose logits a neuron raises and lowers most
_BACKSLASH_OR_NUL = re.compile(r"\\(?:\\|u0000)")


def write(results: Contents, folder: Path) -> int:
    """Write the layout into `folder` and return the number of neurons.

    Raises UserError for a model whose name, or whose part after the last slash, makes no id.
    """
    name, source = _model_id(results.model_name), f"{results.layer}-{SETS[results.sign]}"
    target = folder / name / source
    for other in (folder / name).glob("*/model.jsonl"):
        if (namesake := json.loads(other.read_text())["displayName"]) != results.model_name:
            raise UserError(
                f"models {namesake!r} and {results.model_name!r} would both be {name!r} for Neuronpedia; "
                "rename the folder of one"
            )
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


def _model_id(name: str) -> str:
    """A model's name as an id of Neuronpedia, where it is part of an address; raises UserError for none."""
    found = re.sub(r"[^a-z0-9._-]+", "-", name.rpartition("/")[2].lower()).strip("-.")
    if not found:
        raise UserError(f"model {name!r} has no letter or digit that Neuronpedia knows; rename its folder")
    return found


def _describe(results: Contents, target: Path) -> None:
    """Write the four files that describe the batches."""
    now = datetime.now(UTC).isoformat()
    name, source = results.model_name, f"{results.layer}-{SETS[results.sign]}"
    model, (n_layers, n_neurons) = _model_id(name), results.shape
    own = {"createdAt": now, "creatorId": results.config.creator}
    own_set = SETS[results.sign]
    text = "MLP neurons whose strongest texts are alike, verified by substitution"
    files: dict[str, dict[str, Any]] = {
        "release": {"name": NAME, "description": text, "creatorName": NAME, "visibility": "PRIVATE"},
        "model": {
            "id": model,
            "displayName": name,
            "displayNameShort": name,
            "owner": name.rpartition("/")[0] or "unknown",
            "layers": n_layers,
            "neuronsPerLayer": n_neurons,
            "instruct": False,
        },
        "sourceset": {
            "modelId": model,
            "name": own_set,
            "releaseName": NAME,
            "description": text,
            "creatorName": NAME,
            "visibility": "PRIVATE",
        },
        "source": {"id": source, "modelId": model, "setName": own_set, "visibility": "PRIVATE"},
    }
    for file, row in files.items():
        (target / f"{file}.jsonl").write_text(json.dumps(row | own) + "\n", encoding="utf-8")


def _feature(results: Contents, column: int, neuron: int) -> dict[str, Any]:
    """A neuron with what the model says of it; without the model those lists are empty."""
    peaks = [row["max_activation"] for row in results.samples[neuron]]
    feature: dict[str, Any] = {"index": str(neuron), "sourceSetName": SETS[results.sign]}
    feature |= {"creatorId": results.config.creator, "maxActApprox": max(peaks, default=0.0)}
    feature |= {"pos_str": [], "pos_values": [], "neg_str": [], "neg_values": []}
    for name in ("freq", "logits"):
        feature |= {f"{name}_hist_data_bar_values": [], f"{name}_hist_data_bar_heights": []}
    model, seen, effects = results.model, results.text_sample, results.effects
    if model is None or seen is None or effects is None:
        return feature
    values = seen.values[:, column]
    values = values[np.isfinite(values)]
    logits = effects[column, : len(model.token_texts)]
    order = np.argsort(logits, kind="stable")
    order = order[np.isfinite(logits[order])]
    names = model.token_texts
    return feature | {
        "hookName": model.hook(results.layer),
        "frac_nonzero": float((values > 0).sum() / max(len(values), 1)),
        **_histogram("freq", values[values > 0]),
        **_histogram("logits", logits[order]),
        "pos_str": [names[i] for i in order[::-1][:_TOP]],
        "pos_values": logits[order[::-1][:_TOP]].tolist(),
        "neg_str": [names[i] for i in order[:_TOP]],
        "neg_values": logits[order[:_TOP]].tolist(),
    }


def _histogram(name: str, values: np.ndarray) -> dict[str, list[float]]:
    """Middles of bins and their counts: two lists of one length, as viewers draw them."""
    heights, edges = np.histogram(values, bins=_BINS)
    return {
        f"{name}_hist_data_bar_values": ((edges[:-1] + edges[1:]) / 2).tolist(),
        f"{name}_hist_data_bar_heights": heights.tolist(),
    }


def _activations(results: Contents, neuron: int) -> Iterator[dict[str, Any]]:
    """A neuron's samples; all belong to the group that viewers call the strongest."""
    for row in results.samples[neuron]:
        yield {
            "id": f"{results.model_name}-{results.layer}-{neuron}-{row['rank']}",
            "index": str(neuron),
            "creatorId": results.config.creator,
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
            "authorId": results.config.creator,
            "description": row["description"],
            "notes": f"{row['describer_model'] or row['describer']}, by {NAME} {__version__}",
        }


def _put(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as gzipped JSON lines, the same bytes for the same rows; no file where there are none."""
    lines = map(_line, rows)
    if first := next(lines, None):
        with path.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as out:
            out.writelines(chain([first], lines))


def _line(row: dict[str, Any]) -> bytes:
    """A row as JSON that PostgreSQL takes.

    It has no NUL, which becomes its symbol. The importer takes one out wherever it reads backslash u0000,
    so a backslash that belongs to a token is not written as one.
    """
    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    text = _BACKSLASH_OR_NUL.sub(lambda m: "\\u005c" if m[0] == "\\\\" else "\u2400", text)
    return text.encode("utf-8", "replace") + b"\n"
