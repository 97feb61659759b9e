"""Models of many forms with random weights, and tokenizers, as the folders that people give."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

WORDS = ("the", "The", "fox", "runs", "red", "green", "sits", "near", ".", ",")
VOCABULARY = 512
_SIZES = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
    pad_token_id=None,
)
_LLAMA = dict(_SIZES, num_key_value_heads=2)
_SHORT = dict(n_layer=2, n_embd=32, n_head=4, n_positions=64, vocab_size=VOCABULARY)
_EXPERTS = dict(num_experts=4, num_experts_per_tok=2)
_LATENT = dict(q_lora_rank=16, kv_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=8)
_CODER = dict(encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4)
# by name: the class of transformers and its config
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2LMHeadModel", _SHORT),
    "gpt_neo": (
        "GPTNeoForCausalLM",
        dict(_SIZES, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]]),
    ),
    "neox": ("GPTNeoXForCausalLM", dict(_SIZES, intermediate_size=96)),
    "llama": ("LlamaForCausalLM", dict(_LLAMA, intermediate_size=96)),
    "gemma2": ("Gemma2ForCausalLM", dict(_LLAMA, intermediate_size=96, head_dim=8)),
    "phi3": ("Phi3ForCausalLM", dict(_LLAMA, intermediate_size=96)),
    "opt": ("OPTForCausalLM", dict(_SIZES, ffn_dim=96, word_embed_proj_dim=32)),
    "falcon": ("FalconForCausalLM", dict(_SIZES, ffn_hidden_size=96)),
    "xglm": (
        "XGLMForCausalLM",
        dict(_SIZES, d_model=32, ffn_dim=96, num_layers=2, attention_heads=4),
    ),
    "mixtral": ("MixtralForCausalLM", dict(_LLAMA, intermediate_size=96, num_local_experts=4)),
    "olmoe": ("OlmoeForCausalLM", dict(_LLAMA, intermediate_size=32, **_EXPERTS)),
    "gpt_oss": (
        "GptOssForCausalLM",
        dict(_LLAMA, intermediate_size=32, head_dim=8, num_local_experts=4, num_experts_per_tok=2),
    ),
    "qwen2_moe": (
        "Qwen2MoeForCausalLM",
        dict(_LLAMA, moe_intermediate_size=32, shared_expert_intermediate_size=32, **_EXPERTS),
    ),
    "deepseek": (  # a dense layer before the mixtures
        "DeepseekV3ForCausalLM",
        dict(_SIZES, num_key_value_heads=4, intermediate_size=96, moe_intermediate_size=32)
        | dict(n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1)
        | dict(first_k_dense_replace=1, **_LATENT),
    ),
    "bert": ("BertForMaskedLM", dict(_SIZES, intermediate_size=96)),
    "bert_head": ("BertLMHeadModel", dict(_SIZES, intermediate_size=96)),
    "roberta": ("RobertaForMaskedLM", dict(_SIZES, intermediate_size=96, pad_token_id=1)),
    "t5": (
        "T5ForConditionalGeneration",
        dict(vocab_size=VOCABULARY, d_model=32, d_kv=8, d_ff=96, num_layers=2, num_heads=4),
    ),
    "bart": ("BartForConditionalGeneration", dict(_SIZES, d_model=32, **_CODER)),
    "mamba": ("MambaForCausalLM", dict(_SIZES, state_size=8)),
    "jamba": (  # a state between attention's blocks, which its bridge cannot run alone
        "JambaForCausalLM",
        dict(_LLAMA, intermediate_size=96, use_mamba_kernels=False),
    ),
    "rwkv": ("RwkvForCausalLM", dict(_SIZES, attention_hidden_size=32)),
}


def own(form: str, **more: Any) -> Any:
    """A model of transformers with random weights, always the same."""
    import transformers

    torch.manual_seed(0)
    name, sizes = FORMS[form]
    kind = getattr(transformers, name)
    return kind(kind.config_class(**{**sizes, **more})).eval()


def save(path: Path, form: str, tokenizer: Tokenizer | None = None, **more: Any) -> Path:
    """A model's folder in Hugging Face's form: exactly config.json, model.safetensors, tokenizer.json."""
    own(form, **more).save_pretrained(path)
    (path / "generation_config.json").unlink(missing_ok=True)
    (tokenizer or byte_level()).save(str(path / "tokenizer.json"))
    return path


def change_weights(
    path: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> None:
    """Replace the weights of a model's folder by what `change` makes of them."""
    from safetensors.torch import load_file, save_file

    changed = change(load_file(path / "model.safetensors"))
    save_file({n: t.contiguous() for n, t in changed.items()}, path / "model.safetensors", {"format": "pt"})


def change_config(path: Path, **more: Any) -> None:
    """Change entries of config.json."""
    settings = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(settings | more))


def byte_level() -> Tokenizer:
    """A tokenizer of bytes and some words, as GPT-2's; the id of its only special token is 0."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    found = Tokenizer(models.BPE(*_merged(["<|endoftext|>", *letters], [f"Ġ{word}" for word in WORDS])))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    found.add_special_tokens(["<|endoftext|>"])
    return found


def sentence_pieces(form: str) -> Tokenizer:
    """A tokenizer in SentencePiece's form, which writes blanks as ▁ and has runs of them as tokens.

    `prepend` puts a blank before every text, `metaspace` where there is none, `plain` never.
    """
    letters = sorted({letter for word in WORDS for letter in word} | {"▁", "\n", "x"})
    special, rest = ["<unk>", "<s>", "</s>"], [f"<0x{i:02X}>" for i in range(256)]
    runs = ["▁" * n for n in (2, 4, 3)]
    vocabulary, merges = _merged([*special, *rest, *letters], [*runs, *(f"▁{word}" for word in WORDS)])
    found = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if form == "metaspace":
        found.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        prepended = [normalizers.Prepend("▁")] if form == "prepend" else []
        found.normalizer = normalizers.Sequence([*prepended, normalizers.Replace(" ", "▁")])
    found.decoder = decoders.Sequence(parts if form == "plain" else [*parts, decoders.Strip(" ", 1, 0)])
    found.add_special_tokens(special)
    return found


def _merged(pieces: list[str], words: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary of pieces and words, and the merges that make each word from its letters; a run of one
    letter is made of the longest that are there."""
    found = dict.fromkeys(pieces)
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        if len(set(word)) == 1:
            first = next(
                word[:n] for n in range(len(word) - 1, 0, -1) if word[:n] in found and 2 * n >= len(word)
            )
            merges[first, word[len(first) :]] = None
        else:
            for n in range(1, len(word)):
                merges[word[:n], word[n]] = None
                found[word[: n + 1]] = None
        found[word] = None
    return {piece: i for i, piece in enumerate(found)}, list(merges)
