"""What is measured equals one hooked pass per variant, whatever is measured together."""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from allocated import allocated
from conftest import rows
from given import Given

from pipeline.config import Config
from pipeline.language.word_vectors import Vectors
from pipeline.models import language_model, plain_passes, resumed_passes
from pipeline.models.blocks import forms
from pipeline.models.phrases import Batch, Phrase, Text
from pipeline.run import run
from pipeline.verification import activations, deviations, measurement

CONFIG = Config()


def all_of(encodings):
    return pa.array([True] * len(encodings))


def measured(encodings, model, config=CONFIG):
    """Activation and status by key."""
    by_key = {}
    for shard in measurement.by_text(encodings, all_of(encodings), 4096):
        result = measurement.measure(shard, model, config)
        values = zip(result["activation"].to_pylist(), result["status"].to_pylist(), strict=True)
        by_key |= zip(shard["key"].to_pylist(), values, strict=True)
    return by_key


def whole_ids(encodings):
    """Each row with all its ids from the text's beginning."""
    texts = {}
    for row in encodings.to_pylist():
        phrase = (row["layer"], row["neuron"], row["rank"])
        if row["variant"] == 0:
            texts[phrase] = row["token_ids"]
        yield row, texts[phrase][: row["first_token"]] + row["token_ids"]


def drawn(encodings, count):
    """Some rows with all their ids, drawn with a seed."""
    every = list(whole_ids(encodings))
    return [every[i] for i in np.random.default_rng(0).choice(len(every), count, replace=False)]


def test_every_variant_of_a_run_equals_its_own_pass(small_tables, demo):
    """The reference: the whole changed text through the model, alone, hooked; for some of them."""
    encodings = small_tables["encodings"]
    by_key = measured(encodings, demo)
    assert len(by_key) > 1500
    for row, ids in drawn(encodings, 100):
        seen = []
        hooks = [(demo.hook(1), lambda value, hook, seen=seen: seen.append(value))]
        with torch.no_grad():
            demo.bridge.run_with_hooks(
                torch.tensor([ids], device=demo.device), fwd_hooks=hooks, return_type=None
            )
        expected = seen[0][0, row["phrase_start"] :, row["neuron"]].max().item()
        assert by_key[row["key"]] == (pytest.approx(expected, rel=1e-5), "ok")


@pytest.fixture(scope="module")
def recorded(small_tables, tmp_path_factory):
    """The encodings of a run over recorded pages, their ids found again; no word vectors are trained."""
    folder = tmp_path_factory.mktemp("recorded")
    vectors = Vectors.from_table(small_tables["vocabulary"])
    lines = [
        " ".join([name, *map(str, row)]) for name, row in zip(vectors.words, vectors.matrix, strict=True)
    ]
    (folder / "some.vec").write_text("\n".join([f"{len(lines)} {vectors.matrix.shape[1]}", *lines]))
    own = dict(fasttext=str(folder / "some.vec"), neurons="0-63", similarity=0.25, synonyms=2)
    return run(Config(data=str(folder / "data"), **own), until="encodings")["encodings"]


def test_every_variant_of_the_embedded_model_equals_a_whole_pass(recorded, demo):
    """Of a run over pages, against passes over variants of one length, which need no padding; for some."""
    by_key = measured(recorded, demo)
    assert len(by_key) > 1000
    chosen = sorted(drawn(recorded, 600), key=lambda each: len(each[1]))
    for _, group in itertools.groupby(chosen, key=lambda each: len(each[1])):
        same_length = list(group)
        acts = demo.activations(torch.tensor([ids for _, ids in same_length]), 1)
        for line, (row, _) in zip(acts, same_length, strict=True):
            expected = line[row["phrase_start"] :, row["neuron"]].max().item()
            value, status = by_key[row["key"]]
            assert status == "ok"
            assert abs(value - expected) <= 1e-5 * abs(expected), row


def test_plain_passes_give_the_same(small_tables, demo):
    encodings = small_tables["encodings"].slice(0, 300)

    class Unknown:
        n_neurons, activations, batch_tokens = demo.n_neurons, demo.activations, 4000
        tower, turns_at, refusals = staticmethod(lambda layer: "no form"), None, {1: "no cache"}

    resumed, plain = (measured(encodings, model) for model in (demo, Unknown))
    assert resumed.keys() == plain.keys()
    for key, (value, status) in resumed.items():
        assert plain[key] == (pytest.approx(value, rel=1e-5), status)


def test_the_size_of_batches_changes_nothing(small_tables, demo):
    encodings = small_tables["encodings"].slice(0, 300)
    whole = measured(encodings, demo)
    small = measured(encodings, demo, dataclasses.replace(CONFIG, batch_tokens=50))
    for key, (value, status) in whole.items():
        assert small[key] == (pytest.approx(value, rel=1e-5), status)


def test_shards_hold_whole_texts_and_what_is_wanted_with_its_phrase(small_tables):
    encodings = small_tables["encodings"]
    everything = all_of(encodings)
    wanted = np.zeros(len(encodings), bool)
    wanted[5::50] = True
    shards = list(activations.STAGE.keep.shards(encodings, pa.array(wanted)))
    texts = [set(shard["text"].to_pylist()) for shard in measurement.by_text(encodings, everything, 300)]
    assert len(texts) > 2
    assert sum(map(len, texts)) == len(set().union(*texts))
    keys = pc.unique(pa.concat_tables(shards)["key"]).to_pylist()
    asked = encodings.filter(pa.array(wanted))["key"].to_pylist()
    assert set(asked) <= set(keys)
    phrases = [(r["neuron"], r["rank"]) for r in pa.concat_tables(shards).to_pylist() if r["variant"] == 0]
    assert len(keys) - len(phrases) == sum(
        row["variant"] != 0 for row in encodings.filter(pa.array(wanted)).to_pylist()
    )


def test_rows_of_two_layers_are_each_measured_in_their_own(small_tables, demo):
    """The same ids, phrases and neurons in both layers: what differs is the layer alone."""
    own = small_tables["encodings"].slice(0, 300).to_pylist()
    apart = [
        rows("encodings", *[row | dict(layer=layer, key=f"{layer} {row['key']}") for row in own])
        for layer in (0, 1)
    ]
    together = measured(pa.concat_tables(apart), demo)
    assert together == {
        key: (pytest.approx(value, rel=1e-5), status)
        for encodings in apart
        for key, (value, status) in measured(encodings, demo).items()
    }
    for encodings in apart:
        for row, ids in drawn(encodings, 10):
            acts = demo.activations(torch.tensor([ids]), row["layer"])[0, row["phrase_start"] :]
            expected = acts[:, row["neuron"]].max().item()
            assert together[row["key"]] == (pytest.approx(expected, rel=1e-5, abs=1e-8), "ok")
    off = [together[f"0 {row['key']}"][0] / together[f"1 {row['key']}"][0] - 1 for row in own]
    assert np.median(np.abs(off)) > 0.1


class Counted:
    """The embedding of tokens, which counts how many it is asked for."""

    def __init__(self, tokens):
        self.tokens, self.weight, self.n_tokens = tokens, tokens.weight, 0

    def __call__(self, ids):
        self.n_tokens += ids.numel()
        return self.tokens(ids)


def test_a_text_that_neurons_share_is_computed_once(demo):
    ids = [0, *range(100, 140)]
    key = dict(layer=1, model="demo", variant=0, text="t", first_token=0, tokens="exact", status="ok")
    encodings = rows(
        "encodings",
        *[
            key | dict(neuron=n, rank=r, key=f"{n} {r}", phrase_start=start, token_ids=ids[: start + 5])
            for n, r, start in ((3, 0, 8), (3, 1, 20), (7, 0, 9))
        ],
    )
    tower = demo.tower(1)
    counted = Counted(tower.tokens)

    class Counting:
        batch_tokens, turns_at = demo.batch_tokens, None
        tower = staticmethod(lambda layer: dataclasses.replace(tower, tokens=counted))

    by_key = measured(encodings, Counting)
    assert counted.n_tokens == 20 + 3 * 5  # the text up to its last phrase, and each phrase
    acts = demo.activations(torch.tensor([ids]), 1)[0]
    assert [by_key[k][0] for k in ("3 0", "3 1", "7 0")] == [
        pytest.approx(acts[start : start + 5, n].max().item(), rel=1e-5)
        for n, start in ((3, 8), (3, 20), (7, 9))
    ]


def test_an_activation_that_is_not_finite_is_null_and_marked_as_is_what_has_no_ids(demo):
    class Broken:
        n_neurons, batch_tokens = demo.n_neurons, 100
        tower, turns_at, refusals = staticmethod(lambda layer: "no form"), None, {1: "no cache"}
        activations = staticmethod(lambda ids, layer: torch.full((*ids.shape, 512), float("nan")))

    row = dict(rank=0, variant=0, text="t", phrase_start=1, first_token=0, tokens="exact")
    encodings = rows(
        "encodings",
        row | dict(key="a", token_ids=[0, 5, 6], status="ok"),
        row | dict(key="b", rank=1, text="u", token_ids=[], status="unknown_tokens"),
    )
    assert measured(encodings, Broken) == {"a": (None, "not_finite"), "b": (None, "unknown_tokens")}


@pytest.mark.parametrize("memory", [3 * 2**20, 2**24])
@pytest.mark.parametrize("length", [10, 128])
def test_batches_obey_the_memory_set(demo, memory, length):
    draw = np.random.default_rng(0)
    texts = []
    for _ in range(20):
        ids = draw.integers(1, 4000, length).tolist()
        start = max(1, length - 11)
        variants = [(p, [int(draw.integers(1, 4000)), *ids[p + 1 :]]) for p in range(start, length)] * 3
        texts.append(Text(ids, [Phrase(3, start, length, variants)] * int(draw.integers(1, 4))))
    tower = forms.tower(demo.bridge.original_model, 1)
    peak = allocated(lambda: resumed_passes.peaks(tower, texts, Batch(10**9, memory)))
    assert memory / 16 < peak < memory


def low_precision(small_tables):
    config = dataclasses.replace(CONFIG, precision="bfloat16")
    model = language_model.load(config, "bfloat16")
    inputs = {name: small_tables[name] for name in ("encodings", "activations")}
    values = measured(inputs["encodings"], model, config)
    exact = inputs["activations"]
    rough = pa.array([values[key][0] for key in inputs["encodings"]["key"].to_pylist()], pa.float32())
    inputs["activations"] = exact.set_column(
        exact.schema.get_field_index("activation"), exact.schema.field("activation"), rough
    )
    return config, inputs, exact


def test_bfloat16_is_near_float32_and_its_deviation_is_stored(small_tables):
    config, inputs, exact = low_precision(small_tables)
    rough = inputs["activations"]["activation"].to_numpy()
    off = np.abs(rough / exact["activation"].to_numpy() - 1)
    assert 0.0005 < np.nanmedian(off) < 0.02
    inputs = Given(inputs)
    [shard] = deviations.STAGE.shards(inputs, config)
    stored = deviations.STAGE.worker(inputs, config)(shard)
    assert 512 <= len(stored) < len(exact) / 2
    by_key = {(r["neuron"], r["rank"], r["variant"]): r["activation"] for r in exact.to_pylist()}
    for row in stored.to_pylist():
        assert row["precision"] == "bfloat16"
        assert row["exact"] == pytest.approx(by_key[row["neuron"], row["rank"], row["variant"]], rel=1e-5)
    told = np.abs(stored["activation"].to_numpy() / stored["exact"].to_numpy() - 1)
    assert f"{np.median(told):.2%} in the median" in deviations.STAGE.note(stored, inputs, config)


def test_in_float32_nothing_is_measured_again(small_tables):
    assert not deviations.STAGE.applies(CONFIG)
    assert len(small_tables["deviations"]) == 0
    assert deviations.STAGE.note(small_tables["deviations"], small_tables, CONFIG) == ""


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        ("", "variants resume by the model's own cache, since its form has no blocks here"),
        (
            "TypeError: no",
            "plain batched passes: its form has no blocks here, its own cache cannot be resumed "
            "(TypeError: no)",
        ),
    ],
)
def test_the_way_that_is_taken_is_told_once(capsys, demo, refusal, message):
    class Unknown:
        tower, refusals = staticmethod(lambda layer: "its form has no blocks here"), {1: refusal}

    measurement.tell(demo, CONFIG)
    told = capsys.readouterr().err
    assert told == "activations: demo: variants resume where they differ, in blocks without hooks\n"
    measurement.tell(Unknown, CONFIG)
    assert capsys.readouterr().err == f"activations: demo: {message}\n"


def test_no_texts_give_no_values(demo):
    assert plain_passes.peaks(demo, 1, [], Batch(10, 10)) == []
