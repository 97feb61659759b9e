"""Tables that hold two layers, where neuron 7 of one is not neuron 7 of the other."""

import itertools

import numpy as np
import pytest
import torch
from conftest import EVIDENCE, rows, run_sql
from given import Given

from pipeline import tables
from pipeline.config import Config
from pipeline.generation import judgement_calls, windows
from pipeline.tables.columns import NEURON_KEY

LAYERS, NEURONS, N_TEXTS = (0, 1), range(12), 8


@pytest.fixture(scope="module")
def samples(small_tables, demo):
    """The strongest of some texts for some neurons of two layers, as a scan has them."""
    known = small_tables["samples"].slice(0, 4000).to_pylist()
    texts = list({row["text_id"]: row["token_ids"][:64] for row in known}.values())[:150]
    kept = []
    for layer in LAYERS:
        acts = [demo.activations(torch.tensor([ids]), layer)[0, 1:, :12].numpy() for ids in texts]
        peaks = np.array([each.max(0) for each in acts])  # (text, neuron)
        for neuron in NEURONS:
            for rank, text in enumerate(np.argsort(-peaks[:, neuron])[:N_TEXTS]):
                kept.append(sample(demo, texts[text], acts[text][:, neuron], layer, neuron, rank))
    return rows("samples", *kept)


def sample(demo, ids, activations, layer, neuron, rank):  # noqa: PLR0913
    """A row of `samples`."""
    own = dict(model="demo", layer=layer, neuron=neuron, rank=rank, token_ids=ids, source="scan")
    return own | dict(
        tokens=[demo.token_texts[i] for i in ids],
        activations=[0.0, *activations.tolist()],
        text_start=1,
        mat_index=int(activations.argmax()) + 1,
        max_activation=float(activations.max()),
    )


TEXTS = ("mats", "mat_words", "max_phrases", "marked_phrases")


@pytest.fixture(scope="module")
def made(samples):
    """The windows of all these neurons."""
    draw = np.random.default_rng(0)
    vectors = [
        {name: row[name] for name in (*NEURON_KEY, "rank")}
        | dict(n_words=1, n_known=1, vector=draw.normal(size=4).astype("f4").tolist())
        for row in samples.to_pylist()
    ]
    ranks = list(range(N_TEXTS))
    shown = {name: [f"{name} {rank}" for rank in ranks] for name in TEXTS}
    inputs = {
        "samples": samples,
        "vectors": rows("vectors", *vectors),
        "evidence": rows(
            "evidence",
            *[
                EVIDENCE
                | shown
                | dict(model="demo", layer=layer, neuron=neuron, ranks=ranks, own_ranks=ranks)
                | dict(activations=[1.0] * N_TEXTS)
                for layer, neuron in itertools.product(LAYERS, NEURONS)
            ],
        ),
    }
    config = Config(source="scan", score=True)
    return tables.check("windows", windows.STAGE.worker(Given(inputs), config)(inputs["evidence"]))


def test_windows_are_cut_from_samples_of_their_own_layer(samples, made, demo):
    by_place = {
        (row["layer"], row["neuron"], row["rank"]): (row["token_ids"], row["tokens"])
        for row in samples.to_pylist()
    }
    both = [(by_place[0, n, rank][1], by_place[1, n, rank][1]) for n in NEURONS for rank in range(N_TEXTS)]
    assert np.mean([one != other for one, other in both]) > 0.9
    cut = made.to_pylist()
    assert {row["layer"] for row in cut if row["neuron"] == 7} == {0, 1}
    assert {row["kind"] for row in cut} == {"activating", "near", "other"}
    for row in cut:
        ids, tokens = by_place[row["layer"], row["from_neuron"], row["from_rank"]]
        span = slice(row["start"], row["start"] + len(row["tokens"]))
        assert row["tokens"] == tokens[span]
        acts = demo.activations(torch.tensor([ids]), row["layer"])[0, span, row["neuron"]]
        assert row["activations"] == pytest.approx(acts.tolist(), rel=1e-4, abs=1e-6)


PLACES = [("m", 0), ("m", 1), ("other", 0)]


def window(place, neuron, number, **more):
    """A window whose text says whose it is."""
    model, layer = place
    own = dict(from_neuron=0, from_rank=0, start=0, activations=[1.0], activation=1.0, marked=[0])
    key = dict(model=model, layer=layer, sign="positive", neuron=neuron, window=number)
    return own | key | dict(kind="near", tokens=[f"{model}/{layer}/{neuron}"]) | more


def test_a_description_is_compared_with_windows_of_its_own_layer():
    neurons = [3, 7, 9]
    said = [
        dict(model=model, layer=layer, sign="positive", neuron=n, description=f"{model}/{layer}/{n}")
        for model, layer in PLACES
        for n in neurons
    ]
    cut = [window(place, n, number) for place in PLACES for n in neurons for number in range(2)]
    config = Config(score=True, score_control=True)
    calls = judgement_calls.calls(said, rows("windows", *cut), config)
    assert len(calls) == len(said) * 2 * 2  # with and without control, by both methods
    for call in calls:
        place = f"{call['model']}/{call['layer']}"
        assert call["tokens"] == [[f"{place}/{call['neuron']}"]] * 2
        assert call["description"] == f"{place}/{call['described']}"
        assert (call["described"] == call["neuron"]) == (call["control"] == "none")
    alone = [
        row for row in said if (row["layer"], row["neuron"]) in ((0, 7), (1, 9)) and row["model"] == "m"
    ]
    calls = judgement_calls.calls(alone, rows("windows", *cut), config)
    assert {call["control"] for call in calls} == {"none"}  # no other neuron of the layer is described


def test_scores_join_windows_and_judgements_of_one_layer():
    """Neuron 7 has windows of other kinds in each layer, and the answers are right in the first only."""
    kinds = [["activating", "near"], ["near", "activating"], ["near", "near"]]
    cut = [
        window(place, 7, number, kind=kind)
        for place, own in zip(PLACES, kinds, strict=True)
        for number, kind in enumerate(own)
    ]
    judged = [
        dict(model=model, layer=layer, neuron=7, control="none", described=7, method="detection", part=0)
        | dict(answers=[True, False], status="ok")
        for model, layer in PLACES
    ]
    inputs = dict(windows=rows("windows", *cut), judgements=rows("judgements", *judged))
    scores = run_sql("380_scores.sql", inputs, windows_per_call=5)
    counts = ("true_positives", "false_positives", "true_negatives", "false_negatives")
    assert {(row["model"], row["layer"]): tuple(row[name] for name in counts) for row in scores} == {
        ("m", 0): (1, 0, 1, 0),
        ("m", 1): (0, 1, 0, 1),
        ("other", 0): (0, 1, 1, 0),
    }
