"""Results in the forms of other tools, so that their viewers and scorers can be used."""

from __future__ import annotations

from pathlib import Path

from pipeline import __version__, folders, neuron_record, neuronpedia
from pipeline.config import EXPORT_FORMS
from pipeline.errors import UserError
from pipeline.results import Results

_WRITERS = dict(zip(EXPORT_FORMS, (neuronpedia.write, neuron_record.write), strict=True))


def write(form: str, results: Results, folder: Path) -> int:
    """Write results in one of `EXPORT_FORMS` into `folder` and return the number of neurons.

    An export of this form is replaced as a whole; another folder with something in it is refused.
    """
    name = results.config.model_name
    if Path(name).name != name:
        raise UserError(f"model {name!r} cannot be the name of a folder; rename its folder")
    with folders.replaced(folder, folders.is_a(form)) as new:
        n_neurons = _WRITERS[form](results, new)
        folders.mark(new, form, model=name, layer=results.config.layer, feature_neurons=__version__)
    return n_neurons
