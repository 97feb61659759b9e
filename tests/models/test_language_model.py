"""The right hook, the right tokens, and refusals before anything is loaded."""

import json
import shutil

import pytest
import torch

from pipeline.config import Config
from pipeline.errors import PipelineError, UserError
from pipeline.models import folder, language_model


def config_of(folder, **settings):
    return Config(model=str(folder), **settings)


def test_a_solu_neurons_activation_is_taken_before_the_inner_layernorm(demo):
    ids = torch.tensor([[demo.bos_id, *demo.encode("a red fox and a green dog")]], device=demo.device)
    seen = {}
    names = ["blocks.1.mlp.hook_pre", "blocks.1.mlp.ln.hook_in", "blocks.1.mlp.hook_post"]
    hooks = [(n, lambda value, hook, n=n: seen.update({n: value})) for n in names]
    with torch.no_grad():
        demo.bridge.run_with_hooks(ids, fwd_hooks=hooks)
    pre, _, post = (seen[name] for name in names)
    measured = demo.activations(ids, 1)
    assert demo.hook(1) == names[1]
    assert torch.allclose(measured, (pre * pre.softmax(-1)).cpu(), atol=1e-6)
    assert not torch.allclose(measured, post.cpu(), atol=0.1)


def test_padding_on_the_right_changes_nothing(demo):
    short = [demo.bos_id, *demo.encode("a red fox")]
    padded = torch.tensor([short + [7] * 20, [5] * (len(short) + 20)])
    alone = demo.activations(torch.tensor([short]), 1)[0]
    assert torch.allclose(demo.activations(padded, 1)[0, : len(short)], alone, atol=1e-5)


def test_tokens_joined_are_the_text(demo):
    text = "The caf\u00e9's red fox,\n42 of them."
    ids = demo.encode(text)
    assert demo.tokenizer.decode(ids) == text
    plain = demo.encode("The red fox, 42 of them.")
    assert "".join(demo.token_texts[i] for i in plain) == "The red fox, 42 of them."
    assert demo.token_texts[demo.bos_id] == "<|endoftext|>"


def small_gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = dict(n_layer=2, n_embd=16, n_head=2, n_positions=32, vocab_size=8192)
    return GPT2LMHeadModel(GPT2Config(**shape))


def small_pythia():
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    shape = dict(num_hidden_layers=2, hidden_size=16, num_attention_heads=2, intermediate_size=64)
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(**shape, vocab_size=8192, max_position_embeddings=32, rotary_pct=0.5)
    )


@pytest.mark.parametrize("make", [small_gpt2, small_pythia])
def test_a_folder_in_hugging_faces_form_is_loaded(make, tmp_path):
    torch.manual_seed(0)
    own = make().eval()
    own.save_pretrained(tmp_path)
    for name in ("tokenizer.json",):
        shutil.copy(Config().model_folder / name, tmp_path / name)
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|endoftext|>"})
    )
    model = language_model.load(config_of(tmp_path, layer=1))
    ids = torch.tensor([[0, 5, 99, 1234]])
    seen = {}
    block = own.transformer.h[1].mlp.act if hasattr(own, "transformer") else own.gpt_neox.layers[1].mlp.act
    block.register_forward_hook(lambda module, given, out: seen.setdefault("acts", out))
    with torch.no_grad():
        own(ids)
    assert (model.n_layers, model.n_neurons, model.n_ctx) == (2, 64, 32)
    assert torch.allclose(model.activations(ids, 1), seen["acts"], atol=1e-5)
    with pytest.raises(UserError, match="layers 0 to 1"):
        language_model.load(config_of(tmp_path, layer=2))


def test_a_copy_of_the_embedded_model_activates_as_the_model_does(demo, tmp_path):
    shutil.copytree(Config().model_folder, tmp_path / "copy")
    ids = torch.tensor([[0, 5, 99, 1234]])
    copied = language_model.load(config_of(tmp_path / "copy"))
    assert torch.equal(copied.activations(ids, 1), demo.activations(ids, 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": 2}, "LAYER is 2; demo has the layers 0 to 1"),
        ({"neurons": "0-512"}, "NEURONS is 0-512; layer 1 of demo has 512 neurons, 0 to 511"),
        ({"neurons": "513"}, "NEURONS is 513"),
        ({"model": "./nowhere"}, "MODEL: no such folder: nowhere"),
    ],
)
def test_what_is_outside_the_model_is_refused_before_it_is_loaded(settings, message):
    with pytest.raises(UserError, match=message):
        folder.check(Config(**settings))


def test_every_neuron_of_the_layer_may_be_asked_for():
    folder.check(Config(neurons="512"))
    folder.check(Config(neurons="511,"))


@pytest.mark.parametrize("missing", folder.FILES)
def test_a_model_folder_with_a_file_missing_is_refused(tmp_path, missing):
    shutil.copytree(Config().model_folder, tmp_path / "m")
    (tmp_path / "m" / missing).unlink()
    with pytest.raises(UserError, match=f"lacks {missing}; a model folder holds"):
        folder.check(config_of(tmp_path / "m"))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b'{"architecture": "TransformerLensNative", "n_layers": 2}'),
        ("config.json", b'{"model_type": "nothing known"}'),
        ("model.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00garbage"),
        ("tokenizer.json", b"{}"),
    ],
)
def test_a_damaged_model_folder_is_one_line(tmp_path, file, content):
    shutil.copytree(Config().model_folder, tmp_path / "m")
    (tmp_path / "m" / file).write_bytes(content)
    with pytest.raises(PipelineError, match="MODEL") as caught:
        language_model.load(config_of(tmp_path / "m"))
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_are_refused(tmp_path):
    shutil.copytree(Config().model_folder, tmp_path / "m")
    shape = json.loads((tmp_path / "m/config.json").read_text())
    (tmp_path / "m/config.json").write_text(json.dumps(shape | {"n_layers": 3}))
    with pytest.raises(PipelineError, match="weights and config.json disagree"):
        language_model.load(config_of(tmp_path / "m"))


def test_weights_that_would_be_stretched_to_fit_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(Config().model_folder, tmp_path / "m")
    weights = load_file(tmp_path / "m/model.safetensors")
    weights["layers.0.mlp.fc_in.weight"] = weights["layers.0.mlp.fc_in.weight"][:, :1].contiguous()
    save_file(weights, tmp_path / "m/model.safetensors")
    with pytest.raises(PipelineError, match="disagree about layers.0.mlp.fc_in.weight"):
        language_model.load(config_of(tmp_path / "m"))


@pytest.mark.parametrize("text", ["[]", "5", "[" * 100_000, '{"n_layers": "2"}', '{"d_mlp": -1}'])
def test_odd_settings_of_a_model_are_refused_in_one_line(tmp_path, text):
    shutil.copytree(Config().model_folder, tmp_path / "m")
    (tmp_path / "m/config.json").write_text(text)
    with pytest.raises(UserError, match="config.json") as caught:
        folder.check(config_of(tmp_path / "m", neurons="64"))
    assert "\n" not in str(caught.value)


def test_other_weights_in_the_same_folder_are_another_model(tmp_path):
    import os

    shutil.copytree(Config().model_folder, tmp_path / "m")
    one = language_model.load(config_of(tmp_path / "m"))
    assert language_model.load(config_of(tmp_path / "m")) is one
    os.utime(tmp_path / "m/model.safetensors", (0, 0))
    assert language_model.load(config_of(tmp_path / "m")) is not one


def test_an_unknown_name_is_refused_with_what_is_near():
    with pytest.raises(UserError, match="knows no model 'solu-8l-pil'; did you mean .*solu-8l-pile"):
        language_model.load(Config(model="solu-8l-pil"))


def test_a_name_that_cannot_be_fetched_says_so(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # huggingface_hub's waits between tries: 45 s
    with pytest.raises(PipelineError, match="cannot fetch .* from the Hub"):
        language_model.load(Config(model="nobody/nothing-at-all"))


def test_a_device_that_is_not_there_is_refused_with_what_is():
    missing = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(UserError, match=f"DEVICE is {missing}; PyTorch finds .*cpu on this machine"):
        language_model.load(Config(device=missing))


def test_the_best_device_is_found_and_a_precision_kept():
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert language_model.load(Config()).device.type == best
    model = language_model.load(Config(device="cpu"), "bfloat16")
    assert model.device.type == "cpu"
    assert {p.dtype for p in model.bridge.original_model.parameters()} == {torch.bfloat16}
    assert model.activations(torch.tensor([[0, 5]]), 1).dtype == torch.float32
