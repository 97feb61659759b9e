"""The folder of a model, looked at before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.errors import UserError

FILES = ("config.json", "model.safetensors", "tokenizer.json")


def check(config: Config) -> None:
    """Refuse, before anything is loaded, a model folder, layer or neuron that cannot be.

    A model known by name only is checked when it is loaded.
    """
    folder = config.model_folder
    if folder is None:
        return
    if not folder.is_dir():
        raise UserError(f"MODEL: no such folder: {folder}")
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"MODEL: {folder} lacks {', '.join(missing)}; a model folder holds {', '.join(FILES)}"
        )
    try:
        shape = json.loads((folder / "config.json").read_text())
    except (ValueError, RecursionError) as exc:
        reason = " ".join(str(exc).split())[:240]
        raise UserError(f"MODEL: {folder / 'config.json'} is not JSON: {reason}") from exc
    if not isinstance(shape, dict):
        raise UserError(f"MODEL: {folder / 'config.json'} holds no settings: it is no JSON object")
    n_layers = _size(folder, shape, "n_layers", "n_layer", "num_hidden_layers")
    check_range(config, n_layers, _size(folder, shape, "d_mlp", "n_inner", "intermediate_size"))


def _size(folder: Path, shape: dict[str, Any], *names: str) -> int | None:
    """A size of the model under one of its names; null where config.json leaves it to a default."""
    for name in names:
        size = shape.get(name)
        if size is not None and (not isinstance(size, int) or size < 1):
            raise UserError(f"MODEL: {folder / 'config.json'}: {name} is {size!r}; it must be 1 or more")
        if size is not None:
            return size
    return None


def check_range(config: Config, n_layers: int | None, n_neurons: int | None) -> None:
    """Refuse a layer or neuron outside the model; a null size is not checked."""
    if n_layers is not None and config.layer >= n_layers:
        raise UserError(f"LAYER is {config.layer}; {config.model_name} has the layers 0 to {n_layers - 1}")
    last = max(last for _, last in config.neuron_ranges)
    if n_neurons is not None and config.neurons != "all" and last >= n_neurons:
        raise UserError(
            f"NEURONS is {config.neurons}; layer {config.layer} of {config.model_name} has "
            f"{n_neurons} neurons, 0 to {n_neurons - 1}"
        )
