"""Speed of verification in models of Llama's form: blocks without hooks, and the model's own cache.

Random weights in the shapes of SmolLM2-135M and Llama-3.2-1B, few tokens, a layer in the middle; phrases
and variants of bench_verification.py. What cannot be avoided is what it is there; of a gated layer's own
MLP only two columns are needed, which count as nothing. To print it alone:

    .venv/bin/python tests/bench/bench_llama.py
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))  # of a program that is run as a file
import bench_verification
import tiny_models
from allocated import allocated
from bench import best_of
from bench_verification import (
    BATCH,
    EACH,
    PHRASE,
    SHAPE,
    batches_of_64,
    matmul_rate,
    one_by_one,
    phrase,
    with_ratios,
)

from pipeline.models import cached_passes, resumed_passes
from pipeline.models.language_model import LanguageModel


@dataclass(frozen=True)
class Shape:
    """A model's shape, the layer that is measured, and which share of a large product's rate is asked."""

    name: str
    layer: int
    n_layers: int
    width: int
    n_heads: int
    n_kv: int
    n_neurons: int
    goal_share: float

    def operations(self, prefix: int) -> float:
        """Floating-point operations of one text that cannot be avoided."""
        d_head = self.width // self.n_heads
        seen = prefix + PHRASE - 1
        tokens = PHRASE + EACH * PHRASE * (PHRASE + 1) // 2 - PHRASE
        keys = 2 * self.width * self.n_kv * d_head  # and values
        attention = 2 * self.width**2 + keys
        scores = 4 * tokens * seen * self.width
        mlp = 3 * self.width * self.n_neurons
        below = 2 * (seen + tokens) * (attention + mlp) + 2 * seen**2 * self.width + scores
        return self.layer * below + 2 * seen * keys + 2 * tokens * attention + scores


GOALS = {60: (10, 5), 500: (40, 15), 1_013: (80, 25)}  # times one pass: blocks of our own, own cache
SHAPES = (
    Shape("SmolLM2-135M", 15, 30, 576, 9, 3, 1536, 0.6),
    Shape("Llama-3.2-1B", 8, 16, 2048, 32, 8, 8192, 0.7),
)


def model_of(shape: Shape, *, whole: bool = False) -> LanguageModel:
    """Random weights in a shape, with few tokens and, unless `whole`, without layers above the one that is
    measured."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        num_hidden_layers=shape.n_layers if whole else shape.layer + 1,  # a pass ends at its layer
        hidden_size=shape.width,
        num_attention_heads=shape.n_heads,
        num_key_value_heads=shape.n_kv,
        intermediate_size=shape.n_neurons,
        vocab_size=SHAPE["d_vocab"],
        max_position_embeddings=2048,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    own = LlamaForCausalLM(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = tiny_models.tokenizer(folder)
        bridge = TransformerBridge.boot_transformers(shape.name, hf_model=own, tokenizer=tokenizer)
    return LanguageModel(shape.name, bridge, None)


def measured(model: LanguageModel, shape: Shape, prefix: int) -> dict[str, object]:
    """One phrase of 55 variants after a prefix, both ways, against one pass per variant."""
    text = phrase(prefix)
    all_ids = [text.ids[:first] + ids for first, ids in text.phrases[0].variants]
    tower = model.tower(shape.layer)
    assert tower is not None

    def ours() -> object:
        return resumed_passes.peaks(tower, [text], BATCH)

    def cached() -> object:
        return cached_passes.peaks(model, shape.layer, [text], BATCH)

    # the machine's speed changes from minute to minute: everything in turn, the best of each counts
    turns = [(matmul_rate(torch.float32), best_of(3, ours), best_of(2, cached)) for _ in range(3)]
    rates, own, by_cache = zip(*turns, strict=True)
    one_s = one_by_one(model, shape.layer, all_ids, 3)
    return with_ratios(
        dict(
            what=f"55 variants after {prefix:,} tokens, shape of {shape.name}, layer {shape.layer}",
            ours_s=min(own),
            cache_s=min(by_cache),
            cache_against_one_by_one=one_s / min(by_cache),
            batches_s=batches_of_64(model, shape.layer, all_ids, 1),
            one_by_one_s=one_s,
            peak_mb=allocated(ours) / 2**20,
            cache_peak_mb=allocated(cached) / 2**20,
            gflop=shape.operations(prefix) / 1e9,
            gflop_per_s=shape.operations(prefix) / min(own) / 1e9,
            matmul_gflop_per_s=max(rates) / 1e9,
        )
    )


def rows() -> Iterator[dict[str, object]]:
    """Both shapes after each prefix."""
    for shape in SHAPES:
        model = model_of(shape)
        for prefix, (blocks, cache) in GOALS.items():
            yield measured(model, shape, prefix) | dict(
                goal=blocks, cache_goal=cache, goal_share=shape.goal_share
            )


def told(row: dict[str, object]) -> str:
    """A row as it is printed."""
    return (
        f"{bench_verification.told(row)}\n    own cache: {row['cache_s']:.2f} s, "
        f"{row['cache_against_one_by_one']:.1f} x one pass per variant, at most "
        f"{row['cache_peak_mb']:.0f} MB\n    goals: {row['goal']} x and {row['goal_share']:.0%}; own cache "
        f"{row['cache_goal']} x"
    )


if __name__ == "__main__":
    for each in rows():
        print(told(each), flush=True)
