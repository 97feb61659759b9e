"""Activations of fixed variants in fixed models are those that are stored for this version of the method.

`python tests/verification/test_stored_values.py` writes them anew, once MEASURED_AS is raised.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
from conftest import rows
from stored import Stored

from pipeline.config import Config
from pipeline.models import language_model
from pipeline.verification import activations, measurement

TEST = "tests/verification/test_stored_values.py"
STORED = Stored(
    Path(__file__).with_name("stored_activations.json"), TEST, "pipeline/verification/activations.py"
)
VERSIONS = {"MEASURED_AS": activations.MEASURED_AS}
N_CTX, N_TOKENS, N_NEURONS, N_LAYERS = 24, 30, 32, 2
FORMS = ("SoLU", "gelu, rotary", "GPT-2", "Pythia")
TOLD = dict(
    SoLU=dict(act_fn="solu_ln", positional_embedding_type="standard"),
    **{"gelu, rotary": dict(act_fn="gelu_new", positional_embedding_type="rotary")},
)


def fill(model):
    """Set every parameter to numbers of its own: of NumPy's frozen generator, which no version changes."""
    import torch

    with torch.no_grad():
        for name, parameter in sorted(parameters(model).items()):
            draw = np.random.RandomState(sum(name.encode()))
            numbers = 0.4 * draw.standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(numbers + (parameter.dim() == 1 and name.endswith("weight"))))
    return model


def parameters(model):
    """The parameters of a model by name, without what TransformerLens wraps them in."""
    return {name.replace("._original_component", ""): p for name, p in model.named_parameters()}


def native(form, folder):
    """A model of TransformerLens' own form in a folder."""
    from safetensors.torch import save_file
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    shape = dict(n_layers=N_LAYERS, d_model=16, d_mlp=N_NEURONS, n_heads=4, d_head=4, n_ctx=N_CTX)
    shape |= dict(d_vocab=N_TOKENS, normalization_type="LN", architecture="TransformerLensNative")
    settings = shape | TOLD[form]
    (folder / "config.json").write_text(json.dumps(settings))
    bridge = TransformerBridge.boot_native(TransformerBridgeConfig.from_dict(settings))
    weights = parameters(fill(bridge.original_model))
    save_file({name: p.detach().contiguous() for name, p in weights.items()}, folder / "model.safetensors")


def hugging_face(form, folder):
    """A model of GPT-2's or Pythia's form in a folder."""
    from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

    if form == "GPT-2":
        shape = dict(n_layer=N_LAYERS, n_embd=16, n_head=4, n_inner=N_NEURONS, n_positions=N_CTX)
        model = GPT2LMHeadModel(GPT2Config(**shape, vocab_size=N_TOKENS))
    else:
        shape = dict(num_hidden_layers=N_LAYERS, hidden_size=16, num_attention_heads=4, rotary_pct=0.5)
        shape |= dict(intermediate_size=N_NEURONS, vocab_size=N_TOKENS, max_position_embeddings=N_CTX)
        model = GPTNeoXForCausalLM(GPTNeoXConfig(**shape))
    fill(model).save_pretrained(folder)
    kind = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "t0", "eos_token": "t0"}
    (folder / "tokenizer_config.json").write_text(json.dumps(kind))


def made(form, folder):
    """A model's folder, with a tokenizer of as many tokens as it knows."""
    from tokenizers import Tokenizer, models

    names = {f"t{i}": i for i in range(N_TOKENS)}
    folder.mkdir()
    (native if form in TOLD else hugging_face)(form, folder)
    Tokenizer(models.WordLevel(names, unk_token="t0")).save(str(folder / "tokenizer.json"))
    return folder


def encodings():
    """Variants of two texts in both layers: shorter, longer, and where the phrase itself begins or ends."""
    draw = np.random.RandomState(0)
    given = []
    for layer in range(N_LAYERS):
        for text, (neuron, start, end) in enumerate([(3, 4, 12), (7, 9, 18), (7, 1, 6)]):
            ids = [0, *draw.randint(1, N_TOKENS, 20).tolist()]
            phrase = dict(model="m", layer=layer, neuron=neuron, rank=text, text=f"{layer} {text}")
            phrase |= dict(phrase_start=start, tokens="exact", status="ok")
            changed = [(0, ids[:end])]
            for first, last, n_new in ((start, start + 1, 1), (start + 2, start + 3, 3), (end - 2, end, 1)):
                changed.append((first, [*draw.randint(1, N_TOKENS, n_new).tolist(), *ids[last:end]]))
            given += [
                phrase
                | dict(variant=variant, first_token=first, token_ids=new, key=f"{layer} {text} {variant}")
                for variant, (first, new) in enumerate(changed)
            ]
    return rows("encodings", *given)


class Plain:
    """A model as if its form were not known, so that it takes plain passes."""

    def __init__(self, model):
        self.n_neurons, self.activations, self.batch_tokens = model.n_neurons, model.activations, 200
        self.turns_at, self.refusals = None, dict.fromkeys(range(N_LAYERS), "no cache")

    def tower(self, layer):
        return "its form is not known"


def measured(form, folder):
    """Activations by key as the stage measures them, and by plain passes."""
    config = Config(model=str(made(form, folder / form)), device="cpu", layer=N_LAYERS - 1)
    table = encodings()
    [shard] = activations.STAGE.keep.shards(table, pa.array([True] * len(table)))
    found = activations.STAGE.worker({}, config)(shard)
    assert set(found["status"].to_pylist()) == {"ok"}
    plain = measurement.measure(shard, Plain(language_model.load(config)), config)["activation"]
    keys = found["key"].to_pylist()
    return [
        {key: float(f"{value:.7g}") for key, value in sorted(zip(keys, column.to_pylist(), strict=True))}
        for column in (found["activation"], plain)
    ]


@pytest.mark.parametrize("form", FORMS)
def test_activations_are_those_stored_for_this_version_of_the_method(form, tmp_path):
    for values in measured(form, tmp_path):
        assert values.keys() == set(encodings()["key"].to_pylist())
        if problem := STORED.problem(VERSIONS, {form: values}):
            pytest.fail(problem)


def test_the_stored_activations_tell_layers_and_variants_apart():
    stored = STORED.read()["values"]
    assert stored.keys() == set(FORMS)
    for values in stored.values():
        assert len({round(value, 6) for value in values.values()}) > 0.6 * len(values)
        assert max(map(abs, values.values())) > 0.1


def test_a_value_that_has_changed_asks_for_another_version_and_says_how_to_store_it(tmp_path):
    stored = Stored(tmp_path / "values.json", "tests/a.py", "pipeline/b.py")
    stored.write({"AS": 1}, {"form": {"x": 1.0, "y": None}})
    assert stored.problem({"AS": 1}, {"form": {"x": 1.00001, "y": None}}) is None
    told = stored.problem({"AS": 1}, {"form": {"x": 1.001, "y": None}})
    assert told.startswith("form: not what is stored for AS 1; if it is meant, raise it in pipeline/b.py")
    assert told.endswith("write the stored values anew with: python tests/a.py")
    with pytest.raises(SystemExit, match="form changed under AS 1: raise it in pipeline/b.py first"):
        stored.write({"AS": 1}, {"form": {"x": 1.001, "y": None}})
    assert "stored are values of AS 1, the code has AS 2" in stored.problem(
        {"AS": 2}, stored.read()["values"]
    )
    stored.write({"AS": 2}, {"form": {"x": 1.001, "y": None}})
    assert stored.problem({"AS": 2}, {"form": {"x": 1.001, "y": None}}) is None


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        STORED.write(VERSIONS, {form: measured(form, Path(folder))[0] for form in FORMS})
