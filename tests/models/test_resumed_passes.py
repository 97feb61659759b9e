"""Variants that resume where they differ equal whole passes, in every form of model."""

import contextlib
import logging
from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

from pipeline.models import resumed_passes
from pipeline.models.blocks import forms
from pipeline.models.blocks.block import NoBlocksError
from pipeline.models.language_model import LanguageModel
from pipeline.models.phrases import Batch, Phrase, Text

N_CTX, N_TOKENS, N_NEURONS, N_LAYERS = 24, 30, 32, 3
NATIVE = {
    "solu with LayerNorm": dict(act_fn="solu_ln"),
    "solu": dict(act_fn="solu"),
    "gelu": dict(act_fn="gelu"),
    "gelu, rotary": dict(act_fn="gelu_new", positional_embedding_type="rotary"),
    "gated": dict(act_fn="silu", gated_mlp=True),
    "gated solu": dict(act_fn="solu", gated_mlp=True),
    "fewer keys, rotary, RMS": dict(
        act_fn="silu", n_key_value_heads=2, positional_embedding_type="rotary", normalization_type="RMS"
    ),
    "capped scores": dict(act_fn="relu", attn_scores_soft_cap=3.0),
}
GPT2 = {"GPT-2": dict(), "GPT-2, scaled by layer": dict(scale_attn_by_inverse_layer_idx=True)}
NEOX = {
    "Pythia": dict(rotary_pct=0.5),
    "GPT-NeoX, one after the other": dict(rotary_pct=1.0, use_parallel_residual=False),
}


def native(form):
    shape = dict(n_layers=N_LAYERS, d_model=16, d_mlp=N_NEURONS, n_heads=4, d_head=4, n_ctx=N_CTX)
    kind = dict(normalization_type="LN", positional_embedding_type="standard", d_vocab=N_TOKENS, seed=0)
    settings_ = {**shape, **kind, "architecture": "TransformerLensNative", **form}
    return TransformerBridge.boot_native(TransformerBridgeConfig.from_dict(settings_))


def shaken(model):
    """The model with noise on every parameter, since some begin as zeros or ones."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def hugging_face(form, folder):
    from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

    if "rotary_pct" in form:
        shape = dict(num_hidden_layers=N_LAYERS, hidden_size=16, num_attention_heads=4)
        shape |= dict(intermediate_size=N_NEURONS, vocab_size=N_TOKENS, max_position_embeddings=N_CTX)
        own = GPTNeoXForCausalLM(GPTNeoXConfig(**shape, **form))
    else:
        shape = dict(n_layer=N_LAYERS, n_embd=16, n_head=4, n_inner=N_NEURONS, n_positions=N_CTX)
        own = GPT2LMHeadModel(GPT2Config(**shape, vocab_size=N_TOKENS, **form))
    shaken(own).save_pretrained(folder)
    return TransformerBridge.boot_transformers(str(folder), tokenizer=None)


@pytest.fixture(scope="module", params=NATIVE | GPT2 | NEOX)
def model(request, tmp_path_factory):
    """A random model of each form, in double precision so that only real differences show."""
    logging.disable(logging.WARNING)
    if request.param in NATIVE:
        bridge = native(NATIVE[request.param])
        shaken(bridge.original_model)
    else:
        bridge = hugging_face((GPT2 | NEOX)[request.param], tmp_path_factory.mktemp("model"))
    bridge.original_model.double().eval()
    logging.disable(logging.NOTSET)
    return LanguageModel("random", bridge, None)


def whole_passes(model, layer, asked):
    """The obviously right way: each whole text through the model, hooked. `asked` are (ids, neuron, start);
    texts are padded on the right, where a causal model does not look."""
    ids = torch.tensor([(ids + [0] * N_CTX)[:N_CTX] for ids, _, _ in asked], device=model.device)
    seen = []
    hooks = [(model.hook(layer), lambda value, hook: seen.append(value))]
    with torch.no_grad():
        model.bridge.run_with_hooks(ids, fwd_hooks=hooks, return_type=None)
    return [
        acts[start : len(own), neuron].max().item()
        for acts, (own, neuron, start) in zip(seen[0], asked, strict=True)
    ]


token = st.integers(0, N_TOKENS - 1)


@st.composite
def phrases(draw, ids):
    """A phrase of a text, with variants shorter and longer than what they replace."""
    start = draw(st.integers(0, len(ids) - 1))
    end = draw(st.integers(start + 1, len(ids)))
    variants = []
    for _ in range(draw(st.integers(0, 4))):
        first = draw(st.integers(0, end - 1))
        rest = ids[draw(st.integers(first + 1, end)) : end]
        new = draw(st.lists(token, min_size=1, max_size=4)) + rest
        variants += [(first, new)] if start < first + len(new) <= N_CTX else []
    return Phrase(draw(st.integers(0, N_NEURONS - 1)), start, end, variants)


@st.composite
def texts(draw):
    """Texts of any length that fits, each with phrases of several neurons."""
    ids = draw(st.lists(token, min_size=2, max_size=N_CTX))
    return Text(ids, draw(st.lists(phrases(ids), min_size=1, max_size=3)))


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_every_variant_equals_a_whole_pass_whatever_the_batches(model, data):
    given_texts = data.draw(st.lists(texts(), min_size=1, max_size=3))
    layer = data.draw(st.integers(0, N_LAYERS - 1))
    sizes = data.draw(st.sampled_from([(1, 10**9), (10**6, 1), (60, 30_000), (10**6, 10**9)]))
    tower = forms.tower(model.bridge.original_model, layer)
    for block in tower.blocks:
        block.rows = 10  # fewer than a text has, as are the queries
    found = resumed_passes.peaks(tower, given_texts, Batch(*sizes, queries=7))
    asked = [
        (ids, phrase.neuron, phrase.start)
        for text in given_texts
        for phrase in text.phrases
        for ids in (text.ids[: phrase.end], *(text.ids[:first] + new for first, new in phrase.variants))
    ]
    flat = list(chain.from_iterable(chain.from_iterable(found)))
    assert flat == pytest.approx(whole_passes(model, layer, asked), rel=1e-9, abs=1e-12)
    assert [[len(peaks) for peaks in by_phrase] for by_phrase in found] == [
        [1 + len(phrase.variants) for phrase in text.phrases] for text in given_texts
    ]


@pytest.mark.parametrize(
    ("direction", "attn_only", "known"),
    [("causal", False, True), ("bidirectional", False, False), ("causal", True, False)],
)
def test_only_causal_models_with_neurons_resume(direction, attn_only, known):
    bridge = native(dict(act_fn="gelu", attention_dir=direction, attn_only=attn_only))
    with contextlib.nullcontext() if known else pytest.raises(NoBlocksError, match="looks ahead"):
        assert len(forms.tower(bridge.original_model, 1).blocks) == 2


def test_a_form_that_is_not_known_does_not_resume():
    with pytest.raises(NoBlocksError, match="its form has no blocks here"):
        forms.tower(type("NewForCausalLM", (), {})(), 0)
