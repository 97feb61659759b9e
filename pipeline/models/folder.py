"""The folder of a model, checked before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.tables import fingerprint

FILES = ("config.json", "model.safetensors", "tokenizer.json")


def contents(config: Config) -> dict[str, Any]:
    """What MODEL stands for in a key: the model's name, and the fingerprint of each of its files.

    Raises UserError for a folder that is not a model's, and for a layer or neuron that it does not have.
    """
    check(config)
    folder = config.model_folder
    names = (*FILES, "tokenizer_config.json") if folder else ()
    files = {n: fingerprint.of_file(folder / n) for n in names if folder and (folder / n).is_file()}
    return {"name": config.model_name, **files}


def check(config: Config) -> None:
    """Raise UserError for a folder that is not a model's, and for a layer or neuron that it does not have.

    A model known by name only is checked when it is loaded.
    """
    if config.model_folder is not None:
        n_layers, n_neurons = shape(config.model_folder)
        check_layer(config, n_layers)
        check_neurons(config, n_neurons)


def shape(folder: Path) -> tuple[int | None, int | None]:
    """The numbers of layers and of neurons per layer; None where config.json leaves one to a default.

    Raises UserError where the folder lacks a file, or its config.json cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"MODEL: no such folder: {folder}")
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"MODEL: {folder} lacks {', '.join(missing)}; a model folder holds {', '.join(FILES)}"
        )
    try:
        settings = json.loads((folder / "config.json").read_text())
    except (ValueError, RecursionError) as exc:
        reason = " ".join(str(exc).split())[:240]
        raise UserError(f"MODEL: {folder / 'config.json'} is not JSON: {reason}") from exc
    if not isinstance(settings, dict):
        raise UserError(f"MODEL: {folder / 'config.json'} is not a JSON object")
    n_layers = _size(folder, settings, "n_layers", "n_layer", "num_hidden_layers")
    return n_layers, _size(folder, settings, "d_mlp", "n_inner", "intermediate_size")


def _size(folder: Path, settings: dict[str, Any], *names: str) -> int | None:
    """A size of the model under one of its names; None where config.json leaves it to a default."""
    for name in names:
        size = settings.get(name)
        if size is not None and (not isinstance(size, int) or size < 1):
            raise UserError(f"MODEL: {folder / 'config.json'}: {name} is {size!r}; it must be 1 or more")
        if size is not None:
            return size
    return None


def check_layer(config: Config, n_layers: int | None) -> None:
    """Raise UserError for a LAYER outside the model; an unknown size is not checked."""
    if n_layers is not None and config.one_layer >= n_layers:
        raise UserError(
            f"LAYER is {config.one_layer}; {config.model_name} has the layers 0 to {n_layers - 1}"
        )


def check_neurons(config: Config, n_neurons: int | None) -> None:
    """Raise UserError for NEURONS outside the layer; an unknown size is not checked."""
    last = max(last for _, last in config.neuron_ranges)
    if n_neurons is not None and config.neurons != "all" and last >= n_neurons:
        raise UserError(
            f"NEURONS is {config.neurons}; layer {config.one_layer} of {config.model_name} has "
            f"{n_neurons} neurons, 0 to {n_neurons - 1}"
        )
