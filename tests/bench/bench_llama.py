"""Speed of verification in models of Llama's form: blocks without hooks, and the model's own cache.

Random weights in the shapes of SmolLM2-135M and Llama-3.2-1B, few tokens, a layer in the middle; a phrase
and variants as in bench_verification.py. All times are those of a processor, so that other work on the
machine does not count. One pass per variant is a hooked pass of the whole model, as people write it; beside
it stands one that ends at the layer. What cannot be avoided is what it is there; of a gated layer's own MLP
only two columns are needed, which count as nothing. To print it alone:

    .venv/bin/python tests/bench/bench_llama.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))  # of a program that is run as a file
import tiny_models
from allocated import allocated
from bench_verification import BATCH, EACH, PHRASE, SHAPE, phrase

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


def model_of(shape: Shape) -> LanguageModel:
    """Random weights in a shape, with few tokens."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        num_hidden_layers=shape.n_layers,
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


def processor_s(times: int, work: Callable[[], object]) -> float:
    """Processor seconds of the fastest of some calls."""
    seconds = []
    for _ in range(times):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def measured(model: LanguageModel, shape: Shape, prefix: int) -> dict[str, object]:
    """One phrase of 55 variants after a prefix, both ways, against one pass per variant."""
    text = phrase(prefix)
    variants = text.phrases[0].variants
    first, ids = variants[len(variants) // 2]  # of the usual length
    some = torch.tensor([text.ids[:first] + ids])
    tower = model.tower(shape.layer)
    assert not isinstance(tower, str)
    square = torch.randn(2048, 2048)

    def ours() -> object:
        return resumed_passes.peaks(tower, [text], BATCH)

    def cached() -> object:
        return cached_passes.peaks(model, shape.layer, [text], BATCH)

    def whole() -> None:
        with torch.no_grad():
            model.bridge.run_with_hooks(
                some, fwd_hooks=[(model.hook(shape.layer), lambda value, hook: None)]
            )

    # the machine's speed changes from minute to minute: everything in turn, the best of each counts
    turns = [
        (processor_s(5, lambda: square @ square), processor_s(1, ours), processor_s(1, cached))
        for _ in range(3)
    ]
    product_s, ours_s, cache_s = map(min, zip(*turns, strict=True))
    gflop = shape.operations(prefix) / 1e9
    return dict(
        what=f"55 variants after {prefix:,} tokens, shape of {shape.name}, layer {shape.layer}",
        ours_s=ours_s,
        cache_s=cache_s,
        one_by_one_s=len(variants) * processor_s(1, whole),
        ended_s=len(variants) * processor_s(1, lambda: model.measured(some, shape.layer)),
        peak_mb=allocated(ours) / 2**20,
        cache_peak_mb=allocated(cached) / 2**20,
        gflop=gflop,
        gflop_per_s=gflop / ours_s,
        matmul_gflop_per_s=2 * 2.048**3 / product_s,
    )


def rows() -> Iterator[dict[str, object]]:
    """Both shapes after each prefix."""
    for shape in SHAPES:
        model = model_of(shape)
        for prefix, (blocks, cache) in GOALS.items():
            yield measured(model, shape, prefix) | dict(
                goal=blocks, cache_goal=cache, goal_share=shape.goal_share
            )


def told(row: dict[str, Any]) -> str:
    """A row as it is printed."""
    lines = [f"{row['what']}: {row['gflop']:.0f} GFLOP that cannot be avoided"]
    for name, goal, way in (("ours", row["goal"], "own blocks"), ("cache", row["cache_goal"], "own cache")):
        seconds, memory = row[f"{name}_s"], row["peak_mb" if name == "ours" else "cache_peak_mb"]
        lines.append(
            f"    {way}: {seconds:.2f} s, {row['one_by_one_s'] / seconds:.1f} x one pass per variant (goal "
            f"{goal} x), "
            f"{row['ended_s'] / seconds:.1f} x one that ends at the layer, at most {memory:.0f} MB"
        )
    share = row["gflop_per_s"] / row["matmul_gflop_per_s"]
    lines.append(
        f"    own blocks: {row['gflop_per_s']:.0f} GFLOP/s, {share:.0%} of a large product's "
        f"{row['matmul_gflop_per_s']:.0f} (goal {row['goal_share']:.0%})"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    for each in rows():
        print(told(each), flush=True)
