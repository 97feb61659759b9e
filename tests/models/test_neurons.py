"""Only causal MLP neurons are measured, and as many as a layer has; the rest is refused in one line."""

import dataclasses

import model_folders
import pytest
import torch

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.models import language_model
from pipeline.run import run, store_of

DENSE = {"gpt2": 128, "gpt_neo": 128, "llama": 96, "gemma2": 96, "phi3": 96}
# whose number of neurons TransformerLens reads as four times the width of the model
OTHER_WIDTH = {"opt": 96, "falcon": 96, "xglm": 96}
MIXTURES = ("mixtral", "olmoe", "gpt_oss", "qwen2_moe", "deepseek")
ENCODERS = ("bert", "bert_head", "roberta")
NO_NEURONS = ("t5", "bart", "mamba", "rwkv")


def load(path, form, layer=1, **more):
    return language_model.load(Config(model=str(model_folders.save(path, form, **more)), layer=layer))


@pytest.mark.parametrize(("form", "expected"), (DENSE | OTHER_WIDTH).items())
def test_a_layer_has_as_many_neurons_as_its_output_matrix_reads(tmp_path, form, expected):
    model = load(tmp_path, form)
    assert model.n_neurons == expected
    assert model.activations(torch.tensor([[0, 5, 7]]), 1).shape == (1, 3, expected)


@pytest.mark.parametrize("form", OTHER_WIDTH)
def test_the_activations_are_what_the_output_matrix_reads(tmp_path, form):
    model = load(tmp_path, form)
    plain = model_folders.own(form)
    names = ("fc2", "mlp.dense_4h_to_h")
    [matrix] = [m for name, m in plain.named_modules() if name.endswith(names) and ".1." in name]
    read = []
    matrix.register_forward_pre_hook(lambda module, given: read.append(given[0]))
    ids = torch.tensor([[0, 5, 7, 300]])
    with torch.no_grad():
        plain(ids)
    assert torch.allclose(model.activations(ids, 1)[0], read[0].reshape(4, -1), atol=1e-5)


@pytest.mark.parametrize("form", MIXTURES)
def test_a_mixture_of_experts_is_refused(tmp_path, form):
    with pytest.raises(UserError, match="layer 1 of .* has no neurons of its own") as caught:
        load(tmp_path, form)
    assert "\n" not in str(caught.value)


def test_a_dense_layer_before_mixtures_is_measured(tmp_path):
    assert load(tmp_path, "deepseek", layer=0).n_neurons == 96


@pytest.mark.parametrize("form", ENCODERS)
@pytest.mark.parametrize("layer", [0, 1])
def test_a_model_that_reads_in_both_directions_is_refused(tmp_path, form, layer):
    with pytest.raises(UserError, match="is not causal: what stands after or beside a text changes"):
        load(tmp_path, form, layer=layer)


def test_an_encoders_form_that_reads_one_way_is_not_refused_by_its_name(tmp_path):
    assert load(tmp_path, "bert_head", is_decoder=True).n_neurons == 96


@pytest.mark.parametrize("form", NO_NEURONS)
def test_a_model_without_mlp_neurons_is_refused(tmp_path, form):
    with pytest.raises(UserError, match="layer 1 of .* has no MLP neurons"):
        load(tmp_path, form)


def test_a_model_that_cannot_be_run_is_refused_in_one_line(tmp_path):
    with pytest.raises(UserError, match="MODEL: .* cannot be run on a text: .*; give a causal") as caught:
        load(tmp_path, "jamba")
    assert "\n" not in str(caught.value)


def test_it_is_refused_before_anything_is_scanned(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the red fox runs near the green fox\n" * 9)
    moe = model_folders.save(tmp_path / "moe", "mixtral")
    config = Config(model=str(moe), source="scan", text=str(text), data=str(tmp_path / "data"))
    with pytest.raises(UserError, match="has no neurons of its own"):
        run(config)
    assert not list(store_of(config).folder.rglob("samples/*"))
    dense = model_folders.save(tmp_path / "dense", "opt")
    with pytest.raises(UserError, match="NEURONS is 97; layer 1 of dense has 96 neurons"):
        run(dataclasses.replace(config, model=str(dense), neurons="97"))
