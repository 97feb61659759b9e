"""A model is the one that its files hold: every weight from the file, and none left over."""

import shutil

import model_folders
import pytest
import torch

from pipeline.config import Config
from pipeline.errors import PipelineError
from pipeline.models import language_model


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of models, by form."""
    folder = tmp_path_factory.mktemp("models")
    return {form: model_folders.save(folder / form, form) for form in ("gpt2", "llama", "gpt_neo", "neox")}


@pytest.fixture
def copied(made, tmp_path):
    """A function that copies a model's folder and changes its weights."""

    def copied(form, change=dict):
        path = shutil.copytree(made[form], tmp_path / "copy")
        model_folders.change_weights(path, change)
        return path

    return copied


def load(path, layer=1):
    return language_model.load(Config(model=str(path), layer=layer))


def without(part):
    return lambda weights: {name: t for name, t in weights.items() if part not in name}


def renamed(old, new, within=""):
    return lambda weights: {n.replace(old, new) if within in n else n: t for n, t in weights.items()}


def of_type(kind, within=""):
    return lambda weights: {n: t.to(kind) if within in n else t for n, t in weights.items()}


def plus(**more):
    return lambda weights: weights | {name.replace("__", "."): t for name, t in more.items()}


MASK = torch.ones(1, 1, 64, 64)
WRONG = {
    "a layer is missing": ("gpt2", without(".h.1."), "h.1.attn.c_attn.bias.* and 9 more not in the file"),
    "one weight is missing": (
        "llama",
        without("layers.0.self_attn.q_proj"),
        "q_proj.weight not in the file",
    ),
    "an untied head is missing": ("llama", without("lm_head"), "lm_head.weight not in the file"),
    "one layer is converted": ("gpt2", renamed("c_fc", "fc_in", ".h.1."), "not in the file; .* left over"),
    "all are renamed": ("llama", renamed("model.", "base.model."), "not in the file; .* left over"),
    "a head of another task": ("gpt2", plus(score__weight=torch.zeros(2, 32)), "score.weight left over"),
    "turned round": (
        "gpt2",
        lambda weights: {n: t.T if "c_fc.weight" in n else t for n, t in weights.items()},
        "c_fc.weight.* of another shape",
    ),
    "a number for a row": ("gpt2", plus(transformer__ln_f__bias=torch.tensor(1.0)), "of another shape"),
    "whole numbers": (
        "gpt2",
        of_type(torch.int8),
        "28 of 28 weights, .* are of type I8; give them in float",
    ),
    "one of whole numbers": ("llama", of_type(torch.int32, "layers.0.mlp.up"), "1 of 21 .* of type I32"),
    "tiny numbers": ("llama", of_type(torch.float8_e4m3fn), "of type F8_E4M3"),
}


@pytest.mark.parametrize("case", WRONG)
def test_weights_that_are_not_those_of_the_form_are_refused(copied, case):
    form, change, message = WRONG[case]
    with pytest.raises(PipelineError, match=message) as caught:
        load(copied(form, change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("form", "changes", "message"),
    [
        ("llama", dict(num_hidden_layers=1), "layers.1.* and 6 more left over"),
        ("llama", dict(num_hidden_layers=3), "layers.2.* and 6 more not in the file"),
        ("gpt2", dict(n_positions=128), "wpe.weight of another shape"),
        ("llama", dict(intermediate_size=64), "of another shape"),
    ],
)
def test_a_config_that_the_weights_do_not_fit_is_refused(copied, form, changes, message):
    path = copied(form)
    model_folders.change_config(path, **changes)
    with pytest.raises(PipelineError, match=message):
        load(path, layer=0)


def test_weights_of_another_model_are_refused(made, copied):
    path = copied("gpt2")
    shutil.copy(made["llama"] / "model.safetensors", path)
    with pytest.raises(PipelineError, match="weights and config.json disagree about transformer.h.0"):
        load(path)


@pytest.mark.parametrize("form", ["gpt2", "native"])
@pytest.mark.parametrize("kept", [0, 7, 100, 0.5, -1])
def test_a_file_that_is_cut_off_is_refused(copied, tmp_path, form, kept):
    path = shutil.copytree(Config().model_folder, tmp_path / "m") if form == "native" else copied(form)
    whole = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(whole[: int(kept * len(whole)) if kept == 0.5 else kept])
    with pytest.raises(
        PipelineError, match="model.safetensors is damaged or cut off: .*; fetch or convert"
    ):
        load(path)


def test_whole_numbers_of_the_native_form_are_refused(tmp_path):
    path = shutil.copytree(Config().model_folder, tmp_path / "m")
    model_folders.change_weights(path, of_type(torch.int64))
    with pytest.raises(PipelineError, match="are of type I64"):
        load(path)


RIGHT = {
    "masks as GPT-2's": ("gpt2", plus(transformer__h__0__attn__bias=MASK)),
    "masks as GPT-Neo's": (
        "gpt_neo",
        plus(
            transformer__h__0__attn__attention__bias=MASK.to(torch.uint8),
            transformer__h__1__attn__attention__masked_bias=torch.tensor(-1e9),
        ),
    ),
    "masks and frequencies as Pythia's": (
        "neox",
        plus(
            gpt_neox__layers__0__attention__bias=MASK.bool(),
            gpt_neox__layers__0__attention__masked_bias=torch.tensor(-1e9),
            gpt_neox__layers__1__attention__rotary_emb__inv_freq=torch.ones(4),
        ),
    ),
    "frequencies as Llama's": (
        "llama",
        plus(model__layers__0__self_attn__rotary_emb__inv_freq=torch.ones(4)),
    ),
    "without a prefix, as GPT-2's are published": ("gpt2", renamed("transformer.", "")),
    "a tied head, written too": (
        "gpt2",
        lambda weights: weights | {"lm_head.weight": weights["transformer.wte.weight"].clone()},
    ),
}


@pytest.mark.parametrize("case", RIGHT)
def test_buffers_and_tied_weights_are_no_difference(made, copied, case):
    form, change = RIGHT[case]
    ids = torch.tensor([[0, 5, 99]])
    activations = load(made[form]).activations(ids, 1)
    assert torch.equal(load(copied(form, change)).activations(ids, 1), activations)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_any_floating_point_are_read(copied, kind):
    model = load(copied("llama", of_type(kind)))
    assert {each.dtype for each in model.bridge.original_model.parameters()} == {torch.float32}


def test_weights_that_are_not_finite_are_refused(copied):
    with pytest.raises(PipelineError, match="not all activations of copy are finite numbers"):
        load(copied("llama", lambda weights: {n: t * float("nan") for n, t in weights.items()}))


@pytest.mark.parametrize(
    "way", [None, {}, [], {"bits": 4}, {"quant_method": "nobody's"}, {"load_in_8bit": False}]
)
def test_whole_numbers_are_refused_unless_transformers_knows_how_they_were_quantised(copied, way):
    path = copied("llama", of_type(torch.int8, "mlp.up"))
    model_folders.change_config(path, quantization_config=way)
    with pytest.raises(PipelineError, match="2 of 21 weights, .* are of type I8"):
        load(path)


@pytest.mark.parametrize("form", ["gpt2", "llama"])
def test_weights_that_are_all_zero_are_refused(copied, form):
    path = copied(form, lambda weights: {name: torch.zeros_like(t) for name, t in weights.items()})
    with pytest.raises(PipelineError, match="all activations of copy in layer 1 are zero"):
        load(path)
