"""Tiny models of every form, their weights random, and what whole passes give."""

from __future__ import annotations

import copy
import logging

import torch
import transformers
from tokenizers import Tokenizer, models
from transformer_lens.model_bridge import TransformerBridge

from pipeline.models.language_model import LanguageModel
from pipeline.models.phrases import Phrase, Text

N_CTX, N_TOKENS, N_NEURONS, N_LAYERS, WIDTH = 40, 50, 24, 3, 32
WINDOW = 6  # of forms whose tokens see only the last ones
SHAPE = dict(
    num_hidden_layers=N_LAYERS,
    hidden_size=WIDTH,
    num_attention_heads=4,
    intermediate_size=N_NEURONS,
    vocab_size=N_TOKENS,
    max_position_embeddings=N_CTX,
    pad_token_id=None,
)
SHARED = dict(num_key_value_heads=2)
PART = dict(rope_type="default", rope_theta=100.0, partial_rotary_factor=0.5)
GPT = dict(n_layer=N_LAYERS, n_embd=WIDTH, n_head=4, n_inner=N_NEURONS, n_positions=N_CTX)


def rope(kind, **more):
    """Settings of rotary positions of a kind."""
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=100.0, **more))


# by name: the class of its configuration, and what is special about it
FORMS = {
    "Llama": ("Llama", dict()),
    "Llama, shared keys": ("Llama", SHARED),
    "Llama, one key": ("Llama", dict(num_key_value_heads=1)),
    "Llama, biases": ("Llama", SHARED | dict(attention_bias=True, mlp_bias=True)),
    "Llama, another width of heads": ("Llama", SHARED | dict(head_dim=6)),
    "Llama, linear positions": ("Llama", rope("linear", factor=4.0)),
    "Llama, dynamic positions": ("Llama", rope("dynamic", factor=4.0)),
    "Llama, YaRN": ("Llama", rope("yarn", factor=4.0, original_max_position_embeddings=10)),
    "Llama 3's positions": (
        "Llama",
        rope(
            "llama3",
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=10,
        ),
    ),
    "Mistral": ("Mistral", SHARED | dict(sliding_window=WINDOW)),
    "Mistral, no window": ("Mistral", SHARED | dict(sliding_window=None)),
    "Mistral, one token": ("Mistral", SHARED | dict(sliding_window=1)),
    "Qwen 2": ("Qwen2", SHARED),
    "Qwen 2, windows": (
        "Qwen2",
        SHARED | dict(use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1),
    ),
    "Qwen 3": ("Qwen3", SHARED | dict(head_dim=6, attention_bias=True)),
    "Gemma": ("Gemma", dict(head_dim=8, num_key_value_heads=1)),
    "Gemma 2": (
        "Gemma2",
        SHARED
        | dict(head_dim=8, sliding_window=WINDOW, attn_logit_softcapping=2.0, query_pre_attn_scalar=5),
    ),
    "Gemma 3": (
        "Gemma3Text",
        SHARED
        | dict(
            head_dim=8,
            sliding_window=WINDOW,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
            rope_parameters=dict(
                full_attention=dict(rope_type="linear", rope_theta=1000.0, factor=8.0),
                sliding_attention=dict(rope_type="default", rope_theta=100.0),
            ),
        ),
    ),
    "Phi": ("Phi", dict(rope_parameters=PART)),
    "Phi 3": ("Phi3", SHARED | dict(sliding_window=WINDOW, rope_parameters=PART)),
    "OLMo": ("Olmo", SHARED),
    "OLMo, clipped": ("Olmo", dict(clip_qkv=0.5)),
    "OLMo 2": ("Olmo2", SHARED),
    "OLMo 3": (
        "Olmo3",
        dict(sliding_window=WINDOW, layer_types=["sliding_attention"] * 2 + ["full_attention"]),
    ),
    "SmolLM 3": ("SmolLM3", SHARED | dict(no_rope_layers=[1, 0, 1])),
    "StableLM": ("StableLm", SHARED | dict(use_qkv_bias=True, rope_parameters=PART)),
    "StableLM, parallel, norms": (
        "StableLm",
        SHARED | dict(use_parallel_residual=True, qk_layernorm=True, rope_parameters=PART),
    ),
    "Falcon": ("Falcon", dict(bias=False)),
    "Falcon, one after the other": ("Falcon", dict(multi_query=False, parallel_attn=False, bias=True)),
    "GPT-J": ("GPTJ", GPT | dict(rotary_dim=4)),
    "GPT-NeoX": ("GPTNeoX", dict(rope_parameters=PART)),
    "GPT-2": ("GPT2", GPT),
    "OPT": ("OPT", dict(ffn_dim=N_NEURONS, word_embed_proj_dim=WIDTH)),
    "BLOOM": ("Bloom", dict(n_layer=N_LAYERS, n_head=4)),
    "BLOOM, six heads": ("Bloom", dict(n_layer=N_LAYERS, n_head=6, hidden_size=36)),
}
# causal, with keys and values, but without blocks of our own
OTHERS = {
    "GPT-Neo": (
        "GPTNeo",
        dict(
            num_layers=N_LAYERS,
            num_heads=4,
            attention_types=[[["global", "local"], 1], [["global"], 1]],
            window_size=WINDOW,
        ),
    ),
    "OPT, norms after": (
        "OPT",
        dict(ffn_dim=N_NEURONS, do_layer_norm_before=False, word_embed_proj_dim=16),
    ),
    "Falcon, ALiBi": ("Falcon", dict(alibi=True, multi_query=False, parallel_attn=False, bias=True)),
    "StarCoder 2": ("Starcoder2", SHARED | dict(sliding_window=WINDOW)),
    "Cohere": ("Cohere", SHARED),
    "Granite": ("Granite", SHARED | dict(residual_multiplier=0.5, attention_multiplier=0.3)),
    "Nemotron": ("Nemotron", SHARED),
}


def tiny(form, folder, **how):
    """A model of a form, saved in a folder and loaded."""
    return of(*(FORMS | OTHERS)[form], folder, **how)


def of(kind, special, folder, **how):
    """A model of a class of configuration, with noise on every parameter: some begin as zeros."""
    # a configuration writes into the dicts that it is given
    config = getattr(transformers, f"{kind}Config")(**copy.deepcopy({**SHAPE, **special}))
    torch.manual_seed(0)
    own = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    own.save_pretrained(folder, **how)
    words = tokenizer(folder)
    logging.disable(logging.WARNING)
    bridge = TransformerBridge.boot_transformers(str(folder), tokenizer=words)
    logging.disable(logging.NOTSET)
    bridge.original_model.eval()
    return LanguageModel(kind, bridge, words, N_NEURONS)


def tokenizer(folder):
    """A tokenizer of made-up words, saved in a folder and loaded."""
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(N_TOKENS)}, "w0"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, bos_token="w0").save_pretrained(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


def texts(lengths, seed=0):
    """Random texts of these lengths, each with phrases near its end, in its middle and at its beginning;
    their variants replace one token by one to four, and some begin before the phrase."""
    draw = torch.Generator().manual_seed(seed)

    def number(low, high):
        return int(torch.randint(low, high, (1,), generator=draw))

    made = []
    for length in lengths:
        ids = [number(0, N_TOKENS) for _ in range(length)]
        phrases = []
        for start in sorted({max(0, length - 9), length // 2, 0}):
            end = min(length, start + 7)
            variants = []
            for first in [*range(start, end), max(0, start - 2)]:
                new = [number(0, N_TOKENS) for _ in range(number(1, 5))] + ids[first + 1 : end]
                variants += [(first, new)] if start < first + len(new) <= N_CTX else []
            phrases.append(Phrase(number(0, N_NEURONS), start, end, variants))
        made.append(Text(ids, phrases))
    return made


def asked(given):
    """What texts ask for, in the order of the answers: (ids, neuron, start of the phrase)."""
    return [
        (ids, phrase.neuron, phrase.start)
        for text in given
        for phrase in text.phrases
        for ids in (text.ids[: phrase.end], *(text.ids[:first] + new for first, new in phrase.variants))
    ]


def whole_passes(model, layer, given):
    """The obviously right way: each whole text through the model, hooked; those of one length together, so
    that none is padded."""
    found = [0.0] * len(given)
    for length in {len(ids) for ids, _, _ in given}:
        places = [place for place, (ids, _, _) in enumerate(given) if len(ids) == length]
        seen = []
        hooks = [(model.hook(layer), lambda value, hook, seen=seen: seen.append(value))]
        with torch.no_grad():
            ids = torch.tensor([given[place][0] for place in places], device=model.device)
            model.bridge.run_with_hooks(ids, fwd_hooks=hooks, return_type=None)
        for acts, place in zip(seen[0], places, strict=True):
            _, neuron, start = given[place]
            found[place] = acts[start:, neuron].max().item()
    return found
