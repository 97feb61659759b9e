"""Source `scan`: the texts that activate each neuron of a layer most, by one pass of the model.

Out: `samples`. Texts are cut into windows of at most max_tokens, BOS first in each. The BOS itself
is not part of the text and never the MAT: it is the same in every window. Ties go to the earlier
window, so the result equals a search through all windows. Memory holds the winners and one batch,
however long the text is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage
from pipeline.errors import PipelineError
from pipeline.language import texts
from pipeline.models import batches, folder, language_model
from pipeline.models.language_model import LanguageModel
from pipeline.progress import progress

if TYPE_CHECKING:
    import torch

GROUPED = 2048  # windows taken together, to batch those of similar length


def scan(config: Config, model: LanguageModel, lines: Iterable[str]) -> pa.Table:
    """The `config.samples` windows with the highest activation of each neuron, as `samples`.

    `text_id` is the number of the window in the order of the texts. A neuron has fewer rows only
    where there are fewer windows. Ordered by (neuron, rank).
    """
    longest = min(model.n_ctx, config.max_tokens)
    winners = Winners(model.n_neurons, config.samples, longest)
    numbered = enumerate(_windows(model, lines, longest))
    while group := list(islice(numbered, GROUPED)):
        lengths = [len(window) for _, window in group]
        for places in batches.by_length(lengths, config.batch_tokens or model.batch_tokens):
            numbers, windows = zip(*(group[place] for place in places), strict=True)
            winners.offer(numbers, windows, model.activations(batches.padded(windows), config.layer))
    return winners.table(config, model)


def _windows(model: LanguageModel, lines: Iterable[str], longest: int) -> Iterator[list[int]]:
    """Each text's ids, cut into windows of at most `longest` tokens with the BOS first."""
    room = longest - 1
    lines = iter(progress(lines, "scan", unit="text"))
    while group := list(islice(lines, 256)):
        for ids in model.encode_batch(group):
            for start in range(0, len(ids), room):
                yield [model.bos_id, *ids[start : start + room]]


class Winners:
    """The best windows of each neuron so far; `ids` are their tokens, by the number of the window."""

    def __init__(self, n_neurons: int, samples: int, longest: int) -> None:
        import torch

        self.peaks = torch.full((samples, n_neurons), -torch.inf)
        self.numbers = torch.full((samples, n_neurons), -1)
        self.values = np.zeros((n_neurons, samples, longest), np.float32)
        self.ids: dict[int, np.ndarray] = {}

    def offer(
        self, numbers: Sequence[int], windows: Sequence[list[int]], activations: torch.Tensor
    ) -> None:
        """Compare a batch with the winners so far; activations (windows, tokens, neurons)."""
        import torch

        lengths = torch.tensor([len(window) for window in windows])
        for row, length in enumerate(lengths):
            activations[row, length:] = -torch.inf
        peaks = activations[:, 1:].amax(1)  # (windows, neurons), the BOS left out
        if not torch.isfinite(peaks).all():
            raise PipelineError(
                "MODEL: not all activations are finite numbers; is a file damaged or its precision too low?"
            )
        better = (peaks >= self.peaks[-1]).any(0)  # of equals, the one with the lower number wins
        neurons = better.nonzero().flatten()
        samples = len(self.peaks)
        fresh = torch.tensor(numbers)[:, None].expand(-1, len(neurons))
        all_peaks = torch.cat([self.peaks[:, neurons], peaks[:, neurons]])
        all_numbers = torch.cat([self.numbers[:, neurons], fresh])
        # highest peak first, then the lowest number: sort by the second key, then stably by the first
        by_number = all_numbers.argsort(dim=0, stable=True)
        by_peak = all_peaks.gather(0, by_number).argsort(dim=0, descending=True, stable=True)
        order = by_number.gather(0, by_peak)[:samples]
        self.peaks[:, neurons] = all_peaks.gather(0, order)
        self.numbers[:, neurons] = all_numbers.gather(0, order)
        self._keep(neurons.numpy(), order.numpy(), windows, activations.numpy())

    def _keep(
        self,
        neurons: np.ndarray,
        order: np.ndarray,
        windows: Sequence[list[int]],
        activations: np.ndarray,
    ) -> None:
        """Move the values of winners that stay, and copy those of new ones; order (samples, neurons)."""
        samples = len(order)
        for neuron, places in zip(neurons, order.T, strict=True):
            kept = places < samples
            held = self.values[neuron]
            held[kept] = held[places[kept]]
            for slot in np.nonzero(~kept)[0]:
                row = places[slot] - samples
                length = len(windows[row])
                held[slot, :length] = activations[row, :length, neuron]
                self.ids[int(self.numbers[slot, neuron])] = np.array(windows[row], np.int32)
        if len(self.ids) > 2 * self.numbers.numel():
            self.ids = {n: self.ids[n] for n in self.numbers.unique().tolist() if n >= 0}

    def table(self, config: Config, model: LanguageModel) -> pa.Table:
        """The winners as rows of `samples`."""
        schema = tables.TABLES["samples"].schema
        own = dict(model=config.model_name, layer=config.layer, text_start=1, source="scan")
        own["text_set"] = config.text_name
        names = model.token_texts
        parts = [
            pa.Table.from_pylist([own | row for row in self._rows(neuron, names)], schema=schema)
            for neuron in range(model.n_neurons)
        ]
        return pa.concat_tables(parts).combine_chunks()

    def _rows(self, neuron: int, names: list[str]) -> Iterator[dict[str, Any]]:
        """One neuron's winners, strongest first; fewer where there were fewer windows."""
        for rank, number in enumerate(self.numbers[:, neuron].tolist()):
            if number < 0:
                return
            ids = self.ids[number]
            values = self.values[neuron, rank, : len(ids)]
            mat = 1 + int(values[1:].argmax())
            yield dict(
                neuron=neuron,
                rank=rank,
                text_id=number,
                tokens=[names[i] for i in ids],
                token_ids=ids,
                activations=values,
                mat_index=mat,
                max_activation=values[mat],
            )


def _worker(inputs: Inputs, settings: Config) -> Worker:
    """The function that scans the text, with the model loaded."""
    model = language_model.load(settings)
    folder.check_neurons(settings, model.n_neurons)
    return lambda shard: scan(settings, model, texts.of(settings))


def _ready(settings: Config) -> None:
    language_model.ready(settings)
    texts.ready(settings)


SCAN = Stage(
    __name__,
    "020",
    "samples",
    where={"source": "scan"},
    settings=("model", "weights", "layer", *texts.SETTINGS, "samples", "max_tokens", "batch_tokens"),
    uses=("device", "neurons"),
    worker=_worker,
    ready=_ready,
)
