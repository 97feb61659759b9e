"""The parts of a run: one for each layer and end of its neurons, with settings that name these alone.

Each is a plan of its own, so that layers share what they have in common, memory is that of one layer, and
what was made of some layers stays when others are asked for. A neuron's negative end is treated as a neuron
whose values have the other sign: what activates it most is what makes the value least.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.models import folder, language_model
from pipeline.samples.neuroscope import fetch


def of(config: Config) -> list[Config]:
    """The settings of each part, in the order of the layers, the positive end first.

    For `all` layers reads what tells how many there are: config.json, the site's index, which is fetched
    where it is not kept, or the model. Raises UserError where nothing tells.
    """
    layers = range(n_layers(config)) if config.layers is None else config.layers
    one_end = config.source == "neuroscope" or config.signs == "positive"
    return [
        dataclasses.replace(config, layer=str(layer), sign=sign)
        for layer in layers
        for sign in (("positive",) if one_end else ("positive", "negative"))
    ]


@contextmanager
def loaded_once(parts: Sequence[Config]) -> Iterator[None]:
    """Load models up to the highest layer of some parts meanwhile, so that they are not loaded again for
    each."""
    language_model.expect(max(part.one_layer for part in parts))
    try:
        yield
    finally:
        language_model.expect(-1)


def n_layers(config: Config) -> int:
    """How many layers the model has; raises UserError where that cannot be known."""
    found = None
    if config.model_folder:
        found, _ = folder.shape(config.model_folder)
    elif config.source == "neuroscope":
        found = fetch.n_layers(config)
    if found is None and config.source == "neuroscope" and not config.model_folder:
        raise UserError(
            f"LAYER is all, and the site's index does not say how many layers {config.model_name} has; "
            "give a range, such as 0-7"
        )
    return found or language_model.n_layers(config)
