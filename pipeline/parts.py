"""The parts of a run: one for each layer asked for, with settings that name that layer alone.

Each is a plan of its own, so that layers share what they have in common, memory is that of one layer, and
what was made of some layers stays when others are asked for.
"""

from __future__ import annotations

import dataclasses

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.models import folder, language_model
from pipeline.samples.neuroscope import fetch


def of(config: Config) -> list[Config]:
    """The settings of each part, in the order of the layers.

    For `all` layers reads what tells how many there are: config.json, the site's index, which is fetched
    where it is not kept, or the model. Raises UserError where nothing tells.
    """
    layers = range(n_layers(config)) if config.layers is None else config.layers
    if len(layers) > 1:  # so that a model is loaded once for all of them
        language_model.expect(max(layers))
    return [dataclasses.replace(config, layer=str(layer)) for layer in layers]


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
