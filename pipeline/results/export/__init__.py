"""Results in the forms of other tools, so that their viewers and scorers can be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.output import tell
from pipeline.results import folders

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.results.export.contents import Contents

FORMS = ("neuronpedia", "neuron-record")
_OF_ONE_MODEL = ("neuron-record",)  # has no place for a model's name
_OF_POSITIVE = ("neuron-record",)


def write(form: str, config: Config, tables: Mapping[str, pa.Table], folder: Path) -> int:
    """Write the results of a run in one of `FORMS` into `folder` and return the number of neurons.

    An earlier export of this form is replaced as a whole; another folder with something in it is refused,
    and so are models that the form cannot hold or name.
    """
    from pipeline.results import findings
    from pipeline.results.export.contents import layers, models

    names = sorted(models(tables))
    if form in _OF_ONE_MODEL and len(names) > 1:
        raise UserError(f"{form} holds one model, and the tables hold {' and '.join(names)}")
    n_neurons, places = 0, []
    with folders.replaced(folder, folders.is_a(form)) as new:
        for each in layers(config, tables):
            if each.sign == "negative" and form in _OF_POSITIVE:
                tell(
                    f"{form} has no place for the negative ends of neurons: left out of layer {each.layer}"
                )
                continue
            n_neurons += _writer(form)(each, new)
            places.append(findings.place(dict(model=each.model_name, layer=each.layer, sign=each.sign)))
        folders.mark(new, form, places=places, feature_neurons=__version__)
    return n_neurons


def _writer(form: str) -> Callable[[Contents, Path], int]:
    """The function that writes the neurons of one layer in a form, imported when it is used."""
    from pipeline.results.export import neuron_record, neuronpedia

    writers = dict(zip(FORMS, (neuronpedia.write, neuron_record.write), strict=True))
    return writers[form]
