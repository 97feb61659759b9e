"""The scan equals a search through everything."""

import tracemalloc

import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lookup_model import LookupModel

from pipeline import tables
from pipeline.config import Config
from pipeline.errors import PipelineError
from pipeline.samples import peaks, scan


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


def scanned(config, model, lines, parts=1):
    """The rows of a scan of some texts."""
    found = scan.Scan(config, model, lambda: iter(lines))
    return pa.concat_tables([found.rows(part, parts) for part in range(parts)])


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
    st.integers(1, 5),
)
@settings(max_examples=60, deadline=None)
def test_a_scan_equals_brute_force_ties_included(texts, samples, batch, seed, parts):
    model = LookupModel(seed=seed)
    config = Config(samples=samples, batch_tokens=batch)
    assert as_tuples(scanned(config, model, texts, parts)) == brute_force(model, texts, samples)


def test_the_bos_is_never_the_mat():
    model = LookupModel()
    model.table[0] = 100.0
    found = scanned(Config(samples=2), model, ["123", "321"]).to_pylist()
    assert all(row["mat_index"] >= row["text_start"] == 1 for row in found)
    assert max(row["max_activation"] for row in found) < 100


def test_a_model_whose_values_are_not_numbers_is_refused():
    model = LookupModel()
    model.table[3] = float("nan")
    with pytest.raises(PipelineError, match="not all activations are finite"):
        scanned(Config(samples=2), model, ["123", "321"])


@pytest.mark.parametrize("text", ["1234", "123456", "1"])
@pytest.mark.parametrize("change", ["shorter", "gone", "another", "weights"])
def test_what_changes_while_it_is_scanned_is_refused(text, change):
    model, reads = LookupModel(), []
    model.table[:, 0] = torch.arange(8.0)

    def lines():
        reads.append(change)
        if len(reads) == 1 or change == "weights":
            model.table[:] = model.table * len(reads)
            return iter(["7", text])
        return iter({"shorter": ["", text], "gone": ["7"], "another": ["3", "3"]}[change])

    with pytest.raises(PipelineError, match="TEXT or MODEL has changed while it was scanned; run again"):
        scan.Scan(Config(samples=2), model, lines)


def test_texts_without_winners_are_not_cut_into_tokens_again():
    model, asked = LookupModel(n_neurons=1), []
    model.table[:, 0] = torch.arange(8.0)
    encode = model.encode_batch
    model.encode_batch = lambda texts: asked.append(texts) or encode(texts)
    scanned(Config(samples=2), model, ["1", "7", "2", "5", "3"])
    assert asked == [["1", "7", "2", "5", "3"], ["7"], ["5"]]


def most_memory(n_texts):
    """The most bytes that Python and NumPy take during a scan of texts that come one by one."""
    model, config = LookupModel(), Config(samples=3, batch_tokens=4096)
    lines = lambda: ("12345"[: 1 + n % 5] for n in range(n_texts))  # noqa: E731
    tracemalloc.start()
    scan.Scan(config, model, lines)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_text():
    most_memory(10)  # what is imported
    assert most_memory(6 * peaks.GROUPED) < 1.2 * most_memory(2 * peaks.GROUPED)  # of two groups


def test_a_scan_of_the_embedded_model_equals_one_pass_per_text(demo, small_text):
    from pipeline.language import texts

    some = list(texts.stream("small", small_text))[:60]
    config = Config(samples=5, batch_tokens=600)
    found = scanned(config, demo, some).to_pylist()
    windows = [
        [demo.bos_id, *ids[start : start + demo.n_ctx - 1]]
        for ids in demo.encode_batch(some)
        for start in range(0, len(ids), demo.n_ctx - 1)
    ]
    exact = [demo.activations(torch.tensor([w]), config.layer)[0] for w in windows]
    highest = torch.stack([acts[1:].amax(0) for acts in exact])  # (window, neuron)
    for row in found:
        own = exact[row["text_id"]][:, row["neuron"]]
        assert row["token_ids"] == windows[row["text_id"]]
        assert row["activations"] == pytest.approx(own.tolist(), abs=1e-5)
        better = int((highest[:, row["neuron"]] > row["max_activation"] + 1e-5).sum())
        assert better <= row["rank"]
