"""Variants that resume where they differ equal whole passes, in every native form of model."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

from pipeline import resume
from pipeline.language_model import LanguageModel
from pipeline.resume import Resuming, Text

N_CTX, N_TOKENS, N_NEURONS, N_LAYERS = 24, 30, 32, 3
FORMS = {
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


@pytest.fixture(scope="module", params=FORMS)
def model(request):
    """A random model of each form, in double precision so that only real differences show."""
    shape = dict(n_layers=N_LAYERS, d_model=16, d_mlp=N_NEURONS, n_heads=4, d_head=4, n_ctx=N_CTX)
    kind = dict(normalization_type="LN", positional_embedding_type="standard", d_vocab=N_TOKENS, seed=0)
    settings_ = {**shape, **kind, "architecture": "TransformerLensNative", **FORMS[request.param]}
    bridge = TransformerBridge.boot_native(TransformerBridgeConfig.from_dict(settings_))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in bridge.original_model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    bridge.original_model.double()
    return LanguageModel("random", bridge, None)


def whole_pass(model, ids, layer, neuron, start):
    """The obviously right way: the whole text through the model, hooked."""
    seen = []
    hooks = [(model.hook(layer), lambda value, hook: seen.append(value))]
    with torch.no_grad():
        model.bridge.run_with_hooks(torch.tensor([ids]), fwd_hooks=hooks, return_type=None)
    return seen[0][0, start:, neuron].max().item()


token = st.integers(0, N_TOKENS - 1)


@st.composite
def texts(draw):
    """Texts of any length that fits, with variants shorter and longer than what they replace."""
    ids = draw(st.lists(token, min_size=2, max_size=N_CTX))
    start = draw(st.integers(0, len(ids) - 1))
    variants = []
    for _ in range(draw(st.integers(0, 4))):
        first = draw(st.integers(max(1, start), len(ids) - 1)) if len(ids) > max(1, start) else len(ids) - 1
        end = draw(st.integers(first + 1, len(ids)))
        new = draw(st.lists(token, min_size=1, max_size=4)) + ids[end:]
        variants += [(first, new)] if first + len(new) <= N_CTX else []
    return Text(ids, start, variants)


@settings(max_examples=40)
@given(data=st.data())
def test_every_variant_equals_a_whole_pass_whatever_the_batches(model, data):
    given_texts = data.draw(st.lists(texts(), min_size=1, max_size=4))
    layer = data.draw(st.integers(0, N_LAYERS - 1))
    neuron = data.draw(st.integers(0, N_NEURONS - 1))
    batch_bytes = data.draw(st.sampled_from([1, 30_000, 10**9]))
    assert resume.supports(model.bridge.original_model)
    found = Resuming(model.bridge.original_model, layer, neuron).peaks(given_texts, batch_bytes)
    for text, (base, changed) in zip(given_texts, found, strict=True):
        start = text.phrase_start
        assert base == pytest.approx(whole_pass(model, text.ids, layer, neuron, start), rel=1e-9, abs=1e-12)
        expected = [whole_pass(model, text.ids[:p] + new, layer, neuron, start) for p, new in text.variants]
        assert changed == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("direction", "attn_only", "supported"),
    [("causal", False, True), ("bidirectional", False, False), ("causal", True, False)],
)
def test_only_causal_models_with_neurons_resume(direction, attn_only, supported):
    cfg = type("Cfg", (), {"attention_dir": direction, "attn_only": attn_only})
    assert resume.supports(type("NativeModel", (), {"cfg": cfg})()) is supported
    assert not resume.supports(type("GPT2LMHeadModel", (), {"cfg": cfg})())
