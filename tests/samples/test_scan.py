"""The scan equals a search through everything."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import tables
from pipeline.config import Config
from pipeline.errors import PipelineError
from pipeline.samples import scan


class FakeModel:
    """Activations are a table look-up, so that there are many ties and the right result is plain."""

    batch_tokens = 2048

    def __init__(self, n_neurons=3, n_ctx=6, vocabulary=8, seed=0):
        draw = np.random.default_rng(seed)
        self.table = torch.tensor(draw.integers(-1, 3, (vocabulary, n_neurons)), dtype=torch.float32)
        self.n_neurons, self.n_ctx, self.bos_id = n_neurons, n_ctx, 0
        self.token_texts = [f" {chr(97 + i)}" for i in range(vocabulary)]

    def encode_batch(self, texts):
        return [[int(letter) for letter in text] for text in texts]

    def activations(self, ids, layer):
        return self.table[ids].clone()


def brute_force(model, texts, samples):
    """Every window of every text, sorted by (activation, number)."""
    windows = []
    for text in texts:
        ids = [int(letter) for letter in text]
        for start in range(0, len(ids), model.n_ctx - 1):
            windows.append([model.bos_id, *ids[start : start + model.n_ctx - 1]])
    found = []
    for neuron in range(model.n_neurons):
        acts = [[model.table[i, neuron].item() for i in ids] for ids in windows]
        order = sorted(range(len(windows)), key=lambda n: (-max(acts[n][1:]), n))
        for rank, number in enumerate(order[:samples]):
            mat = 1 + acts[number][1:].index(max(acts[number][1:]))
            found.append((neuron, rank, number, windows[number], acts[number], mat))
    return found


def as_tuples(table):
    return [
        (r["neuron"], r["rank"], r["text_id"], r["token_ids"], r["activations"], r["mat_index"])
        for r in tables.check("samples", table).to_pylist()
    ]


@given(
    st.lists(st.text(alphabet="1234567", min_size=1, max_size=14), min_size=1, max_size=40),
    st.integers(1, 6),
    st.integers(1, 40),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_a_scan_equals_brute_force_ties_included(texts, samples, batch, seed):
    model = FakeModel(seed=seed)
    config = Config(samples=samples, batch_tokens=batch)
    assert as_tuples(scan.scan(config, model, texts)) == brute_force(model, texts, samples)


def test_the_bos_is_never_the_mat():
    model = FakeModel()
    model.table[0] = 100.0
    found = scan.scan(Config(samples=2), model, ["123", "321"]).to_pylist()
    assert all(row["mat_index"] >= row["text_start"] == 1 for row in found)
    assert max(row["max_activation"] for row in found) < 100


def test_a_model_whose_values_are_not_numbers_is_refused():
    model = FakeModel()
    model.table[3] = float("nan")
    with pytest.raises(PipelineError, match="not all activations are finite"):
        scan.scan(Config(samples=2), model, ["123", "321"])


def test_memory_holds_the_winners_only():
    n_neurons, samples = 2, 4
    winners = scan.Winners(n_neurons, samples, longest=6)
    for number in range(200):  # each better than all before it
        winners.offer([number], [[0, 1, 2]], torch.full((1, 3, n_neurons), float(number)))
        assert len(winners.ids) <= 2 * n_neurons * samples
    assert set(range(196, 200)) <= winners.ids.keys()


def test_a_scan_of_the_embedded_model_equals_one_pass_per_text(demo, small_text):
    from pipeline.language import texts

    some = list(texts.stream("small", small_text))[:60]
    config = Config(samples=5, batch_tokens=600)
    found = scan.scan(config, demo, some).to_pylist()
    windows = [
        [demo.bos_id, *ids[start : start + demo.n_ctx - 1]]
        for ids in demo.encode_batch(some)
        for start in range(0, len(ids), demo.n_ctx - 1)
    ]
    exact = [demo.activations(torch.tensor([w]), config.layer)[0] for w in windows]
    peaks = torch.stack([acts[1:].amax(0) for acts in exact])  # (window, neuron)
    for row in found:
        own = exact[row["text_id"]][:, row["neuron"]]
        assert row["token_ids"] == windows[row["text_id"]]
        assert row["activations"] == pytest.approx(own.tolist(), abs=1e-5)
        better = int((peaks[:, row["neuron"]] > row["max_activation"] + 1e-5).sum())
        assert better <= row["rank"]
