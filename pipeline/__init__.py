"""Find the single neurons of a language model that stand for one recognisable thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__version__ = "0.1.0"
__all__ = ["__version__", "id_feature_neuron_results"]


def id_feature_neuron_results(  # noqa: PLR0913  (the arguments people know)
    layer: int | str,
    model_name: str,
    num_neurons: int | str,
    similarity_threshold: float | None,
    norm_act_threshold: float | None,
    num_synonyms: int,
    **settings: Any,
) -> pd.DataFrame:
    """Run the pipeline and return its feature neurons: by thresholds, or where both are None, by chance.

    One row per feature neuron; columns `index` (of the neuron in its layer), `avg_activation`
    (raw units, over originals and variants), `desc` (null where no description was made) and
    `max_phrases` (list of maximum activation phrases, strongest first).
    `layer` is one or any other form of LAYER; of several layers the first column is `layer`.
    `num_neurons` is a count or any other form of NEURONS; `similarity_threshold` is in -1..1,
    `norm_act_threshold` in 0..1; with one of them the method's own holds for the other. By thresholds the
    strongest is first, by chance the surest. `settings` are other fields of Config, as `text` or `data`.
    Raises UserError for arguments that cannot be, before a model is loaded.
    """
    from pipeline.config import Config
    from pipeline.results.database import run

    config = Config(
        layer=str(layer),
        model=model_name,
        neurons=str(num_neurons),
        similarity=similarity_threshold,
        activation=norm_act_threshold,
        synonyms=num_synonyms,
        **settings,
    )
    found = run(config)["feature_neurons"]
    surest = [("q", "ascending"), ("p", "ascending"), ("coverage", "descending")]
    found = found.sort_by(
        [*(surest if config.by_chance else []), ("avg_activation", "descending"), ("neuron", "ascending")]
    )
    several = config.layers is None or len(config.layers) > 1
    columns = ["neuron", "avg_activation", "description", "max_phrases"]
    found = found.select(["layer", *columns] if several else columns).to_pandas()
    return found.rename(columns={"neuron": "index", "description": "desc"})
