"""The folder of a model, checked before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.tables import fingerprint

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"  # of weights in several files
FILES = ("config.json", WEIGHTS, "tokenizer.json")
_PICKLES = "pytorch_model*.bin*"
_CONVERT = (
    "from transformers import AutoModelForCausalLM as M; M.from_pretrained({0!r}).save_pretrained({0!r})"
)


def contents(config: Config) -> dict[str, Any]:
    """What MODEL stands for in a key: the model's name, and the fingerprint of each of its files.

    Raises UserError for a folder that is not a model's, and for a layer or neuron that it does not have.
    """
    check(config)
    folder = config.model_folder
    found = files(folder) if folder else []
    return {"name": config.model_name, **{file.name: fingerprint.of_file(file) for file in found}}


def files(folder: Path) -> list[Path]:
    """The files of a model that are read; raises UserError where its index of weights is damaged or names a
    file that is not there."""
    names = (*FILES, "tokenizer_config.json")
    own = [folder / name for name in names if (folder / name).is_file()]
    return own if folder / WEIGHTS in own else [*own, folder / INDEX, *weight_files(folder)]


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a model's weights: one, or those that its index names; raises as `files`."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    named = _object(folder / INDEX).get("weight_map")
    shards = set(named.values()) if isinstance(named, dict) else set()
    if not shards or not all(isinstance(name, str) and Path(name).name == name for name in shards):
        raise UserError(f"MODEL: {folder / INDEX} has no weight_map that names files of the folder")
    if missing := sorted(name for name in shards if not (folder / name).is_file()):
        raise UserError(
            f"MODEL: {folder} lacks {len(missing)} of the {len(shards)} files that {INDEX} names, such as "
            f"{missing[0]}; fetch them too"
        )
    return [folder / name for name in sorted(shards)]


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
    if WEIGHTS in missing and (folder / INDEX).is_file():
        missing.remove(WEIGHTS)
        weight_files(folder)
    if WEIGHTS in missing and (pickles := sorted(folder.glob(_PICKLES))):
        raise UserError(
            f"MODEL: {folder} holds pickled weights ({pickles[0].name}), which are not read; convert them: "
            f'python -c "{_CONVERT.format(str(folder))}"'
        )
    if missing:
        raise UserError(
            f"MODEL: {folder} lacks {', '.join(missing)}; a model folder holds {', '.join(FILES)}, or "
            f"weights in several files with {INDEX}"
        )
    settings = _object(folder / "config.json")
    n_layers = _size(folder, settings, "n_layers", "n_layer", "num_hidden_layers")
    return n_layers, _size(folder, settings, "d_mlp", "n_inner", "intermediate_size")


def _object(file: Path) -> dict[str, Any]:
    """The object that a JSON file of a model's folder holds."""
    try:
        found = json.loads(file.read_text())
    except (ValueError, RecursionError) as exc:
        reason = " ".join(str(exc).split())[:240]
        raise UserError(f"MODEL: {file} is not JSON: {reason}") from exc
    if not isinstance(found, dict):
        raise UserError(f"MODEL: {file} is not a JSON object")
    return found


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
