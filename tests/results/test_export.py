"""Results in the forms of other tools: what they require is there, and the values are ours."""

import dataclasses
import gzip
import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import command

from pipeline.errors import UserError
from pipeline.language import texts
from pipeline.models import text_sample
from pipeline.results import export
from pipeline.results.export import contents


@pytest.fixture(scope="module")
def written(small, small_tables, tmp_path_factory):
    """Both forms of the small run."""
    folder = tmp_path_factory.mktemp("export")
    for form in export.FORMS:
        assert export.write(form, small, small_tables, folder / form) == 96
    return folder


def lines(path):
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]


@pytest.fixture(scope="module")
def pedia(written):
    return written / "neuronpedia/demo/1-feature-neurons"


def test_neuronpedia_says_what_it_is_of(pedia):
    names = ("release", "model", "sourceset", "source")
    release, model, sourceset, source = (json.loads((pedia / f"{n}.jsonl").read_text()) for n in names)
    assert sourceset["name"] == source["setName"] == release["name"] == sourceset["releaseName"]
    assert model["id"] == sourceset["modelId"] == source["modelId"] == "demo"
    assert source["id"] == f"1-{source['setName']}" == pedia.name
    assert source["setName"] != "neurons"  # which is reserved
    assert (model["layers"], model["neuronsPerLayer"]) == (2, 512)


def test_neuronpedia_activations_are_the_samples(pedia, small_tables):
    ours = {(r["neuron"], r["rank"]): r for r in small_tables["samples"].to_pylist() if r["neuron"] < 96}
    found = lines(pedia / "activations/batch-0.jsonl.gz")
    assert len(found) == len(ours)
    assert len({row["id"] for row in found}) == len(found)
    for row in found:
        own = ours[int(row["index"]), int(row["id"].rsplit("-", 1)[1])]
        assert (row["modelId"], row["layer"]) == ("demo", "1-feature-neurons")
        assert (row["tokens"], row["values"]) == (own["tokens"], own["activations"])
        assert row["maxValue"] == row["values"][row["maxValueTokenIndex"]] == own["max_activation"]
        assert row["minValue"] == min(own["activations"])
        assert (row["binMin"], row["binContains"]) == (-1, -1)
        assert row["binMax"] == ours[int(row["index"]), 0]["max_activation"]
        assert row["dataSource"] == own["text_set"]


def test_neuronpedia_features_hold_parallel_lists(pedia, demo):
    found = lines(pedia / "features/batch-0.jsonl.gz")
    assert [row["index"] for row in found] == [str(n) for n in range(96)]
    for row in found:
        for name in ("freq", "logits"):
            values, heights = (row[f"{name}_hist_data_bar_{part}"] for part in ("values", "heights"))
            assert len(values) == len(heights) == 50
        assert row["hookName"] == "blocks.1.mlp.ln.hook_in"
        assert 0 <= row["frac_nonzero"] <= 1
        for name in ("pos", "neg"):
            assert len(row[f"{name}_str"]) == len(row[f"{name}_values"]) == 10
        assert row["pos_values"] == sorted(row["pos_values"], reverse=True)
        assert row["neg_values"] == sorted(row["neg_values"])
    out = demo.bridge.original_model.layers[1].mlp.fc_out.weight.detach()  # (d_model, neurons)
    logits = demo.bridge.original_model.head.weight.detach() @ out[:, 5]
    assert found[5]["pos_values"][0] == pytest.approx(float(logits.max()), rel=1e-4)
    assert found[5]["pos_str"][0] == demo.token_texts[int(logits.argmax())]


def test_neuronpedia_explanations_are_the_descriptions(pedia, small_tables):
    found = {int(r["index"]): r for r in lines(pedia / "explanations/batch-0.jsonl.gz")}
    ours = {r["neuron"]: r["description"] for r in small_tables["descriptions"].to_pylist()}
    assert {n: row["description"] for n, row in found.items()} == ours
    assert {row["explanationModelName"] for row in found.values()} == {"lexical"}
    assert all(row["id"] and row["typeName"] for row in found.values())


def record(written, neuron):
    return json.loads((written / f"neuron-record/1/{neuron}.json").read_text())


def test_neuron_records_hold_every_field_and_the_samples(written, small_tables):
    found = record(written, 7)
    assert found["dataclass_name"] == "NeuronRecord"
    assert found["neuron_id"] == {"dataclass_name": "NeuronId", "layer_index": 1, "neuron_index": 7}
    ours = [r for r in small_tables["samples"].to_pylist() if r["neuron"] == 7]
    strongest = found["most_positive_activation_records"]
    assert [(r["tokens"], r["activations"]) for r in strongest] == [
        (r["tokens"], r["activations"]) for r in sorted(ours, key=lambda r: r["rank"])
    ]
    assert len(found["random_sample_by_quantile"]) == len(found["quantile_boundaries"]) + 1
    drawn = [*found["random_sample"], *(r for part in found["random_sample_by_quantile"] for r in part)]
    for each in [*strongest, *drawn]:
        assert each["dataclass_name"] == "ActivationRecord"
        assert len(each["tokens"]) == len(each["activations"]) > 0


def test_moments_and_quantiles_are_those_of_the_sample_of_the_text(written, small, demo):
    seen = text_sample.take(small, demo, texts.stream(small.text, small.text_path), 1, [7])
    values = seen.values[:, 0].astype(np.float64)
    found = record(written, 7)
    assert found["mean"] == pytest.approx(values.mean())
    assert found["variance"] == pytest.approx(values.var())
    z = (values - values.mean()) / values.std()
    assert found["skewness"] == pytest.approx((z**3).mean())
    assert found["kurtosis"] == pytest.approx((z**4).mean())
    for low, high, part in zip(
        [-np.inf, *found["quantile_boundaries"]],
        [*found["quantile_boundaries"], np.inf],
        found["random_sample_by_quantile"],
        strict=True,
    ):
        assert all(low <= max(r["activations"]) <= high for r in part)


def test_a_sample_of_the_text_holds_what_the_model_computes_for_it(small, demo):
    seen = text_sample.take(small, demo, ["a small red fox", "the colour of the sky"], 1, [3, 5])
    assert ["".join(tokens) for tokens in seen.tokens] == ["a small red fox", "the colour of the sky"]
    for tokens, values in zip(seen.tokens, seen.activations, strict=True):
        ids = [demo.bos_id, *demo.encode("".join(tokens))]
        expected = demo.activations(torch.tensor([ids]), 1)[0, 1:, [3, 5]].numpy()
        assert values == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_without_a_model_what_it_would_add_is_left_out(small, small_tables, tmp_path, capsys):
    gone = dataclasses.replace(small, model=str(tmp_path / "gone/demo"))
    for form in export.FORMS:
        export.write(form, gone, small_tables, tmp_path / form)
        err = capsys.readouterr().err
        assert err.count("without what the model would add: MODEL: no such folder: ") == 1
    [feature, *_] = lines(tmp_path / "neuronpedia/demo/1-feature-neurons/features/batch-0.jsonl.gz")
    assert feature["pos_str"] == feature["freq_hist_data_bar_heights"] == []
    assert not {"frac_nonzero", "hookName"} & feature.keys()
    found = record(tmp_path, 7)
    assert (found["random_sample"], found["mean"], found["quantile_boundaries"]) == ([], None, None)
    assert len(found["most_positive_activation_records"]) == 20


def test_an_export_is_replaced_and_anything_else_is_not(small, small_tables, tmp_path):
    config = dataclasses.replace(small, model=str(tmp_path / "gone/demo"))  # quicker without the model
    for n_neurons in (2, 1):
        few = dict(small_tables, samples=small_tables["samples"].slice(7 * 20, n_neurons * 20))
        assert export.write("neuron-record", config, few, tmp_path / "neuron-record") == n_neurons
    assert [path.name for path in (tmp_path / "neuron-record/1").iterdir()] == ["7.json"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/mine.txt").write_text("x")
    with pytest.raises(UserError, match="holds something else"):
        export.write("neuron-record", config, few, tmp_path / "mine")
    assert (tmp_path / "mine/mine.txt").read_text() == "x"


def test_samples_that_are_not_finite_are_not_taken_along(small, small_tables):
    rows = small_tables["samples"].slice(0, 2).to_pylist()
    rows[0]["activations"] = [None, *rows[0]["activations"][1:]]
    samples = pa.Table.from_pylist(rows, schema=small_tables["samples"].schema)
    [layer] = contents.layers(small, dict(small_tables, samples=samples))
    assert {n: [r["rank"] for r in own] for n, own in layer.samples.items()} == {0: [1]}


def test_an_empty_result_is_an_empty_export(small, small_tables, tmp_path):
    nothing = {name: table.slice(0, 0) for name, table in small_tables.items()}
    for form in export.FORMS:
        assert export.write(form, small, nothing, tmp_path / form) == 0


def test_the_command_refuses_another_form(tmp_path):
    found = command("export", "csv", "--data", tmp_path)
    assert found.returncode == 2
    assert "invalid choice: 'csv'" in found.stderr
