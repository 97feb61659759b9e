"""Results in the forms of other tools: what they require is there, and the values are ours."""

import dataclasses
import gzip
import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import command

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.language import texts
from pipeline.models import text_sample
from pipeline.models.text_sample import TextSample
from pipeline.results import export
from pipeline.results.export import contents, neuron_record, neuronpedia


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
    assert {each["creatorId"] for each in (release, model, sourceset, source)} == {
        "clkht01d40000jv08hvalcvly"
    }
    assert all((release["creatorName"], sourceset["creatorName"], model["owner"]))


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


def test_histograms_are_of_the_middles_of_bins(pedia, small, demo):
    seen = text_sample.take(small, demo, texts.stream(small.text, small.text_path), 1, [5])
    values = seen.values[:, 0]
    out = demo.bridge.original_model.layers[1].mlp.fc_out.weight.detach()
    logits = (demo.bridge.original_model.head.weight.detach() @ out[:, 5]).numpy()
    found = lines(pedia / "features/batch-0.jsonl.gz")[5]
    for name, of in (("freq", values[values > 0]), ("logits", logits[: len(demo.token_texts)])):
        middles = np.array(found[f"{name}_hist_data_bar_values"])
        half = (of.max() - of.min()) / 50 / 2
        assert middles == pytest.approx(
            np.linspace(of.min() + half, of.max() - half, 50), rel=1e-3, abs=1e-6
        )
        assert sum(found[f"{name}_hist_data_bar_heights"]) == len(of)


def test_neuronpedia_explanations_are_the_descriptions(pedia, small_tables):
    found = {int(r["index"]): r for r in lines(pedia / "explanations/batch-0.jsonl.gz")}
    ours = {r["neuron"]: r["description"] for r in small_tables["descriptions"].to_pylist()}
    assert {n: row["description"] for n, row in found.items()} == ours
    assert {row["notes"].partition(",")[0] for row in found.values()} == {"lexical"}
    assert not [row for row in found.values() if {"typeName", "explanationModelName"} & row.keys()]


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
    assert len(found["random_sample"]) >= 15
    assert len({"".join(r["tokens"]) for r in found["random_sample"]}) == len(found["random_sample"])
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


def test_neuron_records_lie_where_each_reader_looks(written, small_tables):
    folder = written / "neuron-record"
    layers = sorted(path.name for path in (folder / "neurons").iterdir() if path.name.isnumeric())
    assert layers == ["1"]
    names = sorted(
        (path.name for path in (folder / "neurons/1").iterdir()), key=lambda name: int(name[:-5])
    )
    assert names == [f"{n}.json" for n in range(96)]
    for name in names:
        beside = [folder / "neurons/1" / name, folder / "1" / name]
        assert beside[0].read_bytes() == beside[1].read_bytes()


def test_a_text_with_too_few_windows_for_random_records_is_told(small, small_tables, tmp_path, capsys):
    (tmp_path / "short.txt").write_text("a small red fox\nthe colour of the sky\n")
    config = dataclasses.replace(small, text=str(tmp_path / "short.txt"))
    few = dict(small_tables, samples=small_tables["samples"].slice(7 * 20, 20))
    export.write("neuron-record", config, few, tmp_path / "out")
    [line] = [line for line in capsys.readouterr().err.splitlines() if "random texts" in line]
    found = json.loads((tmp_path / "out/1/7.json").read_text())["random_sample"]
    assert line.startswith(f"TEXT has {len(found)} windows, ")


def test_a_sample_of_the_text_holds_what_the_model_computes_for_it(small, demo):
    seen = text_sample.take(small, demo, ["a small red fox", "the colour of the sky"], 1, [3, 5])
    assert ["".join(tokens) for tokens in seen.tokens] == ["a small red fox", "the colour of the sky"]
    for tokens, values in zip(seen.tokens, seen.activations, strict=True):
        ids = [demo.bos_id, *demo.encode("".join(tokens))]
        expected = demo.activations(torch.tensor([ids]), 1)[0, 1:, [3, 5]].numpy()
        assert values == pytest.approx(expected, rel=1e-4, abs=1e-6)


class Saying:
    """Contents of one neuron, 7, of a model whose windows and logits are given."""

    layer, sign, neurons, model_name, shape, descriptions = 1, "positive", [7], "said", (2, 8), {}
    config, model = Config(), SimpleNamespace(token_texts=["a", "b", "c"], hook="blocks.{}".format)

    def __init__(self, windows, effects):
        tokens = [[f"t{i}" for i in range(len(window))] for window in windows]
        columns = [np.array(window, np.float32).reshape(-1, 1) for window in windows]
        self.text_sample, self.effects = TextSample(tokens, columns), np.array([effects], np.float32)
        self.samples = {7: [dict(tokens=["a"], activations=[1.0], mat_index=0, max_activation=1.0)]}
        self.samples[7][0] |= dict(rank=0, text_set=None)


NAN, INF = float("nan"), float("inf")


def strict(text):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    ("windows", "whole"),
    [
        ([[1.0, 2.0], [NAN, 3.0], [4.0]], [[1.0, 2.0], [4.0]]),
        ([[1.0], [INF, 1.0], [-INF, 2.0], []], [[1.0]]),
        ([[0.0], [0.0]], [[0.0], [0.0]]),
        ([[NAN], []], []),
    ],
)
def test_a_record_holds_only_windows_of_finite_numbers(tmp_path, windows, whole):
    neuron_record.write(Saying(windows, [1, 2, 3]), tmp_path)
    found = strict((tmp_path / "1/7.json").read_text())
    assert [record["activations"] for record in found["random_sample"]] == whole
    values = [value for window in whole for value in window]
    assert found["mean"] == (pytest.approx(np.mean(values)) if values else None)


@pytest.mark.parametrize("windows", [[[1.0, NAN]], [[INF], [2.0, -1.0]], [[-1.0]], [[NAN]]])
@pytest.mark.parametrize("effects", [[1, 2, 3], [NAN, 1, INF], [NAN, NAN, NAN], [1, 1, 1]])
def test_a_feature_holds_only_finite_numbers(tmp_path, windows, effects):
    neuronpedia.write(Saying(windows, effects), tmp_path)
    path = tmp_path / "said/1-feature-neurons/features/batch-0.jsonl.gz"
    found = strict(gzip.decompress(path.read_bytes()))
    finite = [value for value in effects if np.isfinite(value)]
    assert sorted(found["pos_values"]) == sorted(found["neg_values"]) == sorted(finite)
    values = [value for window in windows for value in window if np.isfinite(value)]
    positive = [value for value in values if value > 0]
    assert sum(found["freq_hist_data_bar_heights"]) == len(positive)
    assert found["frac_nonzero"] == (len(positive) / len(values) if values else 0)


@pytest.mark.parametrize(
    ("name", "model_id", "owner"),
    [
        ("demo", "demo", "unknown"),
        ("EleutherAI/Pythia-70M", "pythia-70m", "EleutherAI"),
        ("My model (v2).1", "my-model-v2-.1", "unknown"),
        ("a/b_c", "b_c", "a"),
        ("größe", "gr-e", "unknown"),
    ],
)
def test_a_model_has_an_id_that_an_address_can_hold(tmp_path, name, model_id, owner):
    results = Saying([[1.0]], [1, 2, 3])
    results.model_name = name
    neuronpedia.write(results, tmp_path)
    folder = tmp_path / model_id / "1-feature-neurons"
    model = json.loads((folder / "model.jsonl").read_text())
    assert (model["id"], model["displayName"], model["owner"]) == (model_id, name, owner)
    assert {row["modelId"] for row in lines(folder / "activations/batch-0.jsonl.gz")} == {model_id}


def called(tables, *names):
    """The tables with the samples of one neuron, once for each of these models."""
    given = tables["samples"].slice(7 * 20, 20)
    place = given.schema.get_field_index("model")
    own = [given.set_column(place, given.schema.field(place), [[name] * 20]) for name in names]
    return dict(tables, samples=pa.concat_tables(own))


@pytest.mark.parametrize("name", ["", "..", "модель", "a/"])
def test_a_model_without_an_id_is_refused(small, small_tables, tmp_path, name):
    with pytest.raises(UserError, match="rename its folder"):
        export.write("neuronpedia", small, called(small_tables, name), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_models_are_kept_apart_or_refused(small, small_tables, tmp_path):
    two = called(small_tables, "one", "two")
    assert export.write("neuronpedia", small, two, tmp_path / "out") == 2
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"one", "two"}
    with pytest.raises(UserError, match="neuron-record holds one model, and the tables hold one and two"):
        export.write("neuron-record", small, two, tmp_path / "other")
    with pytest.raises(UserError, match="'a/one' and 'b/One' would both be 'one'"):
        export.write("neuronpedia", small, called(small_tables, "a/one", "b/One"), tmp_path / "third")


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
    model = json.loads((tmp_path / "neuronpedia/demo/1-feature-neurons/model.jsonl").read_text())
    highest = max(small_tables["samples"]["neuron"].to_pylist())
    assert (model["layers"], model["neuronsPerLayer"]) == (2, highest + 1)
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
