"""The scan equals a search through everything."""

import pickle
import tracemalloc
from collections import deque
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lookup_model import LookupModel

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import InProcess
from pipeline.errors import PipelineError
from pipeline.samples import scan
from pipeline.samples.text_windows import Text
from pipeline.samples.unfinished import Unfinished

LAYERS = (0, 1, 4)
EMPTY = tables.empty("samples")


class Elsewhere:
    """An engine that computes in places without anything in common but what is sent there; each in turn."""

    def __init__(self, places):
        self.places = places

    def map(self, make, shards):
        """What is sent and what comes back is pickled."""
        workers = [None] * self.places
        for number, shard in enumerate(shards):
            place = number % self.places
            workers[place] = workers[place] or pickle.loads(pickle.dumps(make))()
            yield pickle.loads(pickle.dumps(workers[place](pickle.loads(pickle.dumps(shard)))))


class Shuffled(InProcess):
    """An engine that computes the later ones of some shards first."""

    def map(self, make, shards):
        """In the order of the shards nevertheless."""
        work, shards = make(), list(shards)
        done = [work(shard) for shard in reversed(shards)]
        yield from reversed(done)


def windows_of(model, texts):
    """All windows, by hand."""
    found = []
    for text in texts:
        ids = [int(letter) for letter in text]
        for start in range(0, len(ids), model.n_ctx - 1):
            found.append([model.bos_id, *ids[start : start + model.n_ctx - 1]])
    return found


def brute_force(model, layer, texts, samples):
    """Every window of every text, sorted by (activation, number)."""
    windows, table, found = windows_of(model, texts), model.tables[layer], []
    for neuron in range(table.shape[1]):
        acts = [[table[i, neuron].item() for i in ids] for ids in windows]
        order = sorted(range(len(windows)), key=lambda n: (-max(acts[n][1:]), n))
        for rank, number in enumerate(order[:samples]):
            mat = 1 + acts[number][1:].index(max(acts[number][1:]))
            found.append((neuron, rank, number, windows[number], acts[number], mat))
    return found


def of_text(config, load, text, layers=(1,), engine=None):
    """A scan of some layers."""
    parts = [replace(config, layer=layer) for layer in layers]
    return scan.Scan(parts, load, text, Unfinished(), engine or InProcess())


def scanned(config, model, lines, layers=(1,), engine=None, grouped=2048):  # noqa: PLR0913
    """The rows of a scan of some texts, for each layer."""
    found = of_text(config, model.of, Text(lambda: iter(lines), len(lines), grouped), layers, engine)
    return [pa.concat_tables([EMPTY, *found.rows(part)]) for part in range(len(layers))]


def as_tuples(table):
    return [
        (r["neuron"], r["rank"], r["text_id"], r["token_ids"], r["activations"], r["mat_index"])
        for r in tables.check("samples", table).to_pylist()
    ]


TEXTS = st.lists(st.text(alphabet="1234567", min_size=1, max_size=14), min_size=1, max_size=40)


@given(TEXTS, st.integers(1, 6), st.integers(1, 40), st.integers(0, 99), st.sampled_from([1, 3, 2048]))
@settings(max_examples=60, deadline=None)
def test_a_scan_equals_brute_force_ties_included(texts, samples, batch, seed, grouped):
    model = LookupModel(seed=seed)
    config = Config(samples=samples, batch_tokens=batch)
    [found] = scanned(config, model, texts, grouped=grouped)
    assert as_tuples(found) == brute_force(model, 1, texts, samples)


@given(TEXTS, st.integers(1, 6), st.sampled_from([LAYERS, (4, 0), (4,)]), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_layers_of_different_width_that_are_scanned_together_equal_brute_force(
    texts, samples, layers, seed
):
    model = LookupModel(seed=seed, layers=LAYERS)
    found = scanned(Config(samples=samples, batch_tokens=30), model, texts, layers, grouped=7)
    for layer, rows in zip(layers, found, strict=True):
        assert set(rows["layer"].to_pylist()) <= {layer}
        assert as_tuples(rows) == brute_force(model, layer, texts, samples)


@pytest.mark.parametrize("engine", [Elsewhere(1), Elsewhere(3), Shuffled()], ids=["1", "3", "shuffled"])
@given(TEXTS, st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_whatever_computes_the_ranges_of_a_text_the_rows_are_equal(engine, texts, samples, grouped, seed):
    model = LookupModel(seed=seed, layers=LAYERS)
    config = Config(samples=samples, batch_tokens=30)
    found = scanned(config, model, texts, LAYERS, engine, grouped)
    for layer, rows in zip(LAYERS, found, strict=True):
        assert as_tuples(rows) == brute_force(model, layer, texts, samples)


def test_all_layers_take_one_pass_and_a_text_that_wins_in_several_is_measured_once_more():
    model = LookupModel(layers=LAYERS)
    texts = ["12345", "23456", "34567", "1", "765"] * 4
    scanned(Config(samples=3, batch_tokens=12), model, texts, LAYERS)
    rows = [ids for asked, _ in model.asked for ids in asked]
    first = [layers for asked, layers in model.asked][: len(model.asked) // 2]
    assert all(layers == list(LAYERS) for layers in first)
    assert len(rows) <= 2 * len(texts)


def test_a_pass_that_measures_again_ends_at_the_highest_layer_in_which_its_windows_won():
    model = LookupModel(n_neurons=1, layers=(0, 1))
    model.tables[0][:], model.tables[1][:] = torch.arange(8.0)[:, None], -torch.arange(8.0)[:, None]
    scanned(Config(samples=1), model, ["1", "7", "2"], (0, 1))
    assert model.asked[1:] == [([[0, 7]], [0]), ([[0, 1]], [1])]


def test_the_bos_is_never_the_mat():
    model = LookupModel()
    model.table[0] = 100.0
    [found] = scanned(Config(samples=2), model, ["123", "321"])
    rows = found.to_pylist()
    assert all(row["mat_index"] >= row["text_start"] == 1 for row in rows)
    assert max(row["max_activation"] for row in rows) < 100


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
        of_text(Config(samples=2), model.of, Text(lines))


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
    model.asked = deque(maxlen=1)
    lines = lambda: ("12345"[: 1 + n % 5] for n in range(n_texts))  # noqa: E731
    tracemalloc.start()
    of_text(config, model.of, Text(lines))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_text():
    most_memory(10)  # what is imported
    assert most_memory(6 * Text.grouped) < 1.2 * most_memory(2 * Text.grouped)  # of two groups


def test_a_scan_of_the_embedded_model_equals_one_pass_per_text(demo, small_text):
    from pipeline.language import texts

    some = list(texts.stream("small", small_text))[:60]
    config = Config(samples=5, batch_tokens=600)
    found = of_text(config, lambda part: demo, Text(lambda: some), (1, 0))
    rows = [pa.concat_tables(found.rows(part)).to_pylist() for part in range(2)]
    windows = [
        [demo.bos_id, *ids[start : start + demo.n_ctx - 1]]
        for ids in demo.encode_batch(some)
        for start in range(0, len(ids), demo.n_ctx - 1)
    ]
    for layer, own in ((1, rows[0]), (0, rows[1])):
        exact = [demo.activations(torch.tensor([w]), layer)[0] for w in windows]
        highest = torch.stack([acts[1:].amax(0) for acts in exact])  # (window, neuron)
        assert len(own) == demo.n_neurons * config.samples
        for row in own:
            values = exact[row["text_id"]][:, row["neuron"]]
            assert row["token_ids"] == windows[row["text_id"]]
            assert row["activations"] == pytest.approx(values.tolist(), abs=1e-5)
            better = int((highest[:, row["neuron"]] > row["max_activation"] + 1e-5).sum())
            assert better <= row["rank"]


def test_the_stage_gives_each_layer_together_the_rows_that_it_gives_alone(small_text, tmp_path):
    from pipeline.language import texts

    some = list(texts.stream("small", small_text))[:40]
    (tmp_path / "some.txt").write_text("\n".join(" ".join(each.split()) for each in some))
    config = Config(source="scan", text=str(tmp_path / "some.txt"), plain_text="lines", samples=3)
    parts = [scan.SCAN.handed(replace(config, layer=layer)) for layer in (1, 0)]
    found = scan.SCAN.together(parts, tmp_path / "unfinished", InProcess())
    for part, batches in zip(parts, found, strict=True):
        rows = pa.concat_tables(batches)
        [alone] = scan.SCAN.together([part], None, InProcess())
        alone = pa.concat_tables(alone)
        assert set(rows["layer"].to_pylist()) == {part.one_layer}
        for column in ("neuron", "rank", "text_id", "token_ids", "tokens", "mat_index"):
            assert rows[column].equals(alone[column]), column
        ours, theirs = (pc.list_flatten(table["activations"]).to_numpy() for table in (rows, alone))
        assert ours == pytest.approx(theirs, abs=1e-5)


def test_rows_come_in_batches_of_bounded_size():
    model = LookupModel(n_neurons=400, n_ctx=1000)
    texts = ["1234567" * 100 + str(n) for n in range(1, 8)]
    found = of_text(Config(samples=7), model.of, Text(lambda: texts))
    batches = list(found.rows(0))
    tokens = [len(pc.list_flatten(batch["token_ids"])) for batch in batches]
    assert sum(map(len, batches)) == 7 * 400
    assert len(batches) > 1 and max(tokens) < 1.1 * 2**20
