"""A folder gives the values of its whole model, though only what they need is loaded from it."""

import functools
import json
import re
import shutil

import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file
from tiny_models import FORMS, N_LAYERS, N_TOKENS, OTHERS

from pipeline.config import Config
from pipeline.errors import PipelineError, UserError
from pipeline.models import folder, language_model, logit_effects, memory

IDS = torch.arange(24).reshape(2, 12)
LAYER = 1


def config_of(path, layer=LAYER, **settings):
    return Config(model=str(path), layer=layer, device="cpu", **settings)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A form's folder of config.json, tokenizer.json and weights in many files; and the model whole."""

    def made(form):
        path = tmp_path_factory.mktemp("model")
        whole = tiny_models.tiny(form, path, max_shard_size="9KB")
        for name in ("tokenizer_config.json", "generation_config.json"):
            (path / name).unlink(missing_ok=True)
        return path, whole

    return functools.cache(made)


def blocks_of(model):
    """The numbers of the blocks whose weights are there."""
    names = [name for name, _ in model.bridge.original_model.named_parameters()]
    return {int(found[1]) for name in names if (found := re.match(r"\D*\.(\d+)\.", name))}


@pytest.mark.parametrize("form", [*FORMS, *OTHERS])
def test_blocks_up_to_the_layer_give_what_the_whole_model_does(form, made):
    path, whole = made(form)
    assert {file.name for file in folder.files(path)} == {file.name for file in path.iterdir()}
    assert len(folder.weight_files(path)) > 1
    model = language_model.load(config_of(path))
    expected = whole.activations(IDS, LAYER)
    assert (model.n_layers, model.n_neurons) == (N_LAYERS, expected.shape[-1])
    assert torch.equal(model.activations(IDS, LAYER), expected)
    assert (blocks_of(model), blocks_of(whole)) == ({0, 1}, {0, 1, 2})
    heads = [name for name, p in model.bridge.original_model.named_parameters() if len(p) == N_TOKENS]
    assert len(heads) == 1  # the embeddings


@pytest.mark.parametrize("form", [*FORMS, *OTHERS])
def test_short_numbers_are_loaded_as_they_are_and_places_stay_exact(form, made):
    path, whole = made(form)
    model = language_model.load(config_of(path), "bfloat16")
    own = model.bridge.original_model
    assert {weight.dtype for weight in own.parameters()} == {torch.bfloat16}
    assert {b.dtype for name, b in own.named_buffers() if "inv_freq" in name} <= {torch.float32}
    exact = whole.activations(IDS, LAYER)
    off = (model.activations(IDS, LAYER) - exact).norm() / exact.norm()
    assert 0 < off < 0.1


def test_a_model_is_loaded_once_for_layers_up_to_the_highest(made):
    path, _ = made("Llama")
    low = language_model.load(config_of(path, 0))
    assert blocks_of(low) == {0}
    high = language_model.load(config_of(path, 2))
    assert blocks_of(high) == {0, 1, 2}
    again = language_model.load(config_of(path, 0))
    assert again.bridge is high.bridge is not low.bridge


@pytest.mark.parametrize("tied", [False, True])
def test_what_neurons_add_to_logits_is_the_whole_models(tied, tmp_path):
    kind, special = FORMS["Llama, shared keys"]
    tiny_models.of(kind, special | dict(tie_word_embeddings=tied), tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    unembed = saved["model.embed_tokens.weight" if tied else "lm_head.weight"]
    expected = saved[f"model.layers.{LAYER}.mlp.down_proj.weight"].T[[3, 5]] @ unembed.T
    assert language_model.load(config_of(tmp_path)).bridge.W_U.shape[1] == (N_TOKENS if tied else 1)
    model = language_model.load(config_of(tmp_path), unembedding=True)
    assert logit_effects.on_logits(model, LAYER, [3, 5]) == pytest.approx(expected.numpy(), abs=1e-5)


def test_the_control_is_the_same_whichever_layers_are_loaded(made):
    path, _ = made("Llama")
    random = dict(weights="random", source="scan")
    first = language_model.load(config_of(path, 0, **random)).activations(IDS, 0)
    up_to_2 = language_model.load(config_of(path, 2, **random))
    assert torch.equal(up_to_2.activations(IDS, 0), first)


@pytest.mark.parametrize(
    ("available", "message"),
    [
        (59, "m takes 150.0 MB of memory up to layer 2, and 59.0 MB are free; close other programs"),
        (60, "60.0 MB are free; it fits up to layer 0: ask for a lower LAYER, or close other programs"),
        (149, "it fits up to layer 1: "),
    ],
)
def test_too_little_memory_is_said_with_what_would_fit(available, message):
    sizes = 40 * 10**6, [20 * 10**6, 40 * 10**6, 50 * 10**6]
    with pytest.raises(UserError, match=message):
        memory.check("m", *sizes, available * 10**6)
    memory.check("m", *sizes, 150 * 10**6)


@pytest.mark.parametrize(("form", "size"), [("Llama", "intermediate_size"), ("GPT-2", "n_inner")])
def test_a_model_that_does_not_fit_is_refused_before_weights_are_read(tmp_path, form, size):
    tiny_models.tiny(form, tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | {size: 10**11}))
    with pytest.raises(
        UserError, match="takes .* GB of memory up to layer 1, and .* are free; close other"
    ):
        language_model.load(config_of(tmp_path))


def test_a_container_leaves_what_its_limit_says(tmp_path):
    (tmp_path / "memory.current").write_text("4000\n")
    for limit, left in (("10000\n", 6000), ("1000\n", 0)):
        (tmp_path / "memory.max").write_text(limit)
        assert memory.free("cpu", tmp_path) == left
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free("cpu", tmp_path) > 10_000_000


@pytest.mark.parametrize("shards", [None, "9KB"])
def test_pickled_weights_are_refused_with_the_command_that_converts_them(tmp_path, shards):
    whole = tiny_models.tiny("GPT-2", tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    names = (
        ["pytorch_model.bin"] if shards is None else [f"pytorch_model-0000{n}-of-00002.bin" for n in (1, 2)]
    )
    for number, name in enumerate(names):
        own = {key: t for i, (key, t) in enumerate(sorted(saved.items())) if i % len(names) == number}
        torch.save(own, tmp_path / name)
    if shards:
        where = {key: names[i % 2] for i, key in enumerate(sorted(saved))}
        (tmp_path / "pytorch_model.bin.index.json").write_text(
            json.dumps(dict(metadata={}, weight_map=where))
        )
    with pytest.raises(UserError, match="pickled weights .*, which are not read; convert them") as caught:
        folder.check(config_of(tmp_path))
    exec(re.search(r'python -c "(.*)"$', str(caught.value))[1], {})  # what it says
    model = language_model.load(config_of(tmp_path))
    assert torch.equal(model.activations(IDS, LAYER), whole.activations(IDS, LAYER))


INDEXES = {
    "no JSON": ("{", "index.json is not JSON"),
    "a list": ("[]", "index.json is not a JSON object"),
    "no map": ("{}", "has no weight_map that names files of the folder"),
    "a map of numbers": ('{"weight_map": {"a": 1}}', "has no weight_map"),
    "files elsewhere": ('{"weight_map": {"a": "../model.safetensors"}}', "has no weight_map"),
    "files that are not there": (
        '{"weight_map": {"a": "x", "b": "y", "c": "x"}}',
        "lacks 2 of the 2 files .* x",
    ),
}


@pytest.mark.parametrize("case", INDEXES)
def test_an_index_that_names_no_files_is_refused(tmp_path, case):
    text, message = INDEXES[case]
    for name, content in (("config.json", "{}"), ("tokenizer.json", "{}"), (folder.INDEX, text)):
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        folder.check(config_of(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_shard_that_lacks_a_weight_is_refused(tmp_path):
    tiny_models.tiny("Llama", tmp_path, max_shard_size="9KB")
    lost = "model.layers.0.mlp.up_proj.weight"
    shard = tmp_path / json.loads((tmp_path / folder.INDEX).read_text())["weight_map"][lost]
    save_file({key: t for key, t in load_file(shard).items() if key != lost}, shard, {"format": "pt"})
    with pytest.raises(PipelineError, match=f"{lost} not in the file"):
        language_model.load(config_of(tmp_path))


def test_a_shard_that_is_cut_off_is_refused(tmp_path):
    tiny_models.tiny("Llama", tmp_path, max_shard_size="9KB")
    shard = folder.weight_files(tmp_path)[1]
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(PipelineError, match=f"{shard.name} is damaged or cut off"):
        language_model.load(config_of(tmp_path))


def test_each_shard_is_part_of_the_models_key(tmp_path):
    tiny_models.tiny("Llama", tmp_path, max_shard_size="9KB")
    before = folder.contents(config_of(tmp_path))
    shard = folder.weight_files(tmp_path)[-1]
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    after = folder.contents(config_of(tmp_path))
    assert {name for name in before if before[name] != after[name]} == {shard.name}


def test_the_native_form_is_loaded_up_to_the_layer_too(demo, tmp_path):
    low = language_model.load(config_of(shutil.copytree(Config().model_folder, tmp_path / "m"), 0))
    assert (blocks_of(low), low.n_layers) == ({0}, 2)
    assert torch.allclose(low.activations(IDS, 0), demo.activations(IDS, 0), atol=1e-6)
