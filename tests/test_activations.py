"""Verification in batches equals one hooked pass per variant."""

import pyarrow as pa
import pytest
import torch

from pipeline import activations, tables


def one_pass_per_variant(row, model):
    """The obviously right way: the whole changed text through the model, alone."""
    ids = list(row["token_ids"])
    stop = row["phrase_end"]
    if row["replacement"] is not None:
        new = model.tokenizer.encode(row["replacement"], add_special_tokens=False)
        stop += len(new) - (row["end_token"] - row["first_token"])
        ids = ids[: row["first_token"]] + new + ids[row["end_token"] :]
    if stop > model.n_ctx:
        return None
    seen = {}

    def hook(value, hook):
        seen["acts"] = value

    ids = torch.tensor([ids[: model.n_ctx]])
    model.bridge.run_with_hooks(ids, fwd_hooks=[(model.hook(row["layer"]), hook)])
    return seen["acts"][0, row["phrase_start"] : stop, row["neuron"]].max().item()


def test_every_variant_of_some_neurons_equals_its_own_pass(small_tables, demo):
    shards = list(activations.shards(small_tables))[:2]
    assert len(shards) == 2
    for shard in shards:
        found = activations.measure(shard, demo, 2048).to_pylist()
        for row, measured in zip(shard.to_pylist(), found, strict=True):
            expected = one_pass_per_variant(row, demo)
            if expected is None:
                assert (measured["activation"], measured["status"]) == (None, "too_long")
            else:
                assert measured["activation"] == pytest.approx(expected, rel=1e-4, abs=1e-5)
                assert measured["status"] == "ok"


def test_the_size_of_a_batch_changes_nothing(small_tables, demo):
    shard = next(activations.shards(small_tables)).slice(0, 40)
    small, large = (activations.measure(shard, demo, b)["activation"].to_pylist() for b in (200, 4000))
    assert small == pytest.approx(large, rel=1e-4, abs=1e-5)


def test_shards_are_the_neurons_and_hold_every_variant_once(small_tables):
    shards = list(activations.shards(small_tables))
    assert all(len(set(shard["neuron"].to_pylist())) == 1 for shard in shards)
    key = ["neuron", "rank", "variant"]
    assert pa.concat_tables(shards).select(key).equals(small_tables["variants"].select(key))


def test_a_baseline_measured_again_is_the_samples_own_activation(small_tables):
    peaks = {
        (r["neuron"], r["rank"]): r["max_activation"]
        for r in small_tables["samples"].select(["neuron", "rank", "max_activation"]).to_pylist()
    }
    baselines = [r for r in small_tables["activations"].to_pylist() if r["variant"] == 0]
    assert baselines
    for row in baselines:
        assert row["activation"] == pytest.approx(peaks[row["neuron"], row["rank"]], rel=1e-4)


def variant(demo, text, **more):
    ids = [demo.bos_id, *demo.encode(text)]
    row = {"model": "demo", "layer": 1, "neuron": 3, "rank": 0, "variant": 0, "replacement": None}
    row |= {"first_token": None, "end_token": None, "phrase_start": 1, "phrase_end": len(ids)}
    row |= {"tokens": [demo.token_texts[i] for i in ids], "token_ids": ids, "text_start": 1}
    schema = pa.schema([tables.TABLES["variants"].schema.field(n) for n in (*KEY, *SPAN)])
    lists = [("tokens", pa.list_(pa.string())), ("token_ids", pa.list_(pa.int32()))]
    schema = pa.schema(
        [*schema, *map(pa.field, *zip(*lists, strict=True)), pa.field("text_start", pa.int32())]
    )
    return pa.Table.from_pylist([row | more], schema=schema)


KEY = ("model", "layer", "neuron", "rank")
SPAN = ("variant", "replacement", "first_token", "end_token", "phrase_start", "phrase_end")


def test_what_no_longer_fits_the_context_is_null_and_marked(demo):
    ids = demo.encode(" red fox" * demo.n_ctx)[: demo.n_ctx - 1]
    text = demo.tokenizer.decode(ids)
    full = {"first_token": 1, "end_token": 2, "phrase_end": demo.n_ctx}
    [found] = activations.measure(
        variant(demo, text, replacement=" extraordinarily unmistakable", **full), demo, 512
    ).to_pylist()
    assert (found["activation"], found["status"]) == (None, "too_long")


def test_tokens_without_ids_are_tokenised_again_or_marked_lossy(demo):
    with_ids = variant(demo, "a red fox")
    without = variant(demo, "a red fox", token_ids=None)
    lossy = variant(demo, "a red fox", token_ids=None, tokens=["<|endoftext|>", "a r", "ed fox"])
    rows = [activations.measure(v, demo, 512).to_pylist()[0] for v in (with_ids, without, lossy)]
    assert rows[0] == rows[1]
    assert (rows[2]["activation"], rows[2]["status"]) == (None, "lossy")


def test_half_a_character_has_no_sure_ids(demo):
    tokens = ["<|endoftext|>", "a", "\ufffd", " fox"]
    row = variant(demo, "a red fox", token_ids=None, tokens=tokens)
    [found] = activations.measure(row, demo, 512).to_pylist()
    assert (found["activation"], found["status"]) == (None, "lossy")


def test_what_is_no_finite_number_is_null_and_marked(demo):
    class Broken:
        n_ctx, token_texts, encode, resumes = demo.n_ctx, demo.token_texts, demo.encode, False

        def activations(self, ids, layer):
            return torch.full((*ids.shape, 512), float("nan"))

    [found] = activations.measure(variant(demo, "a red fox"), Broken(), 512).to_pylist()
    assert (found["activation"], found["status"]) == (None, "not_finite")
