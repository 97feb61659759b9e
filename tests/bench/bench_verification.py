"""Speed of verification, as ratios of one run: resumed variants, batches of 64, one pass per variant.

On the embedded model's own variants, and on random weights in the shape of solu-8l-pile, layer 6: 55
variants of a phrase of 11 tokens after prefixes of several lengths. What cannot be avoided is each text
once up to the last replaced word, each variant from its replaced word on, and only keys and values in the
last block of a text: two operations per weight and token, two per score and value.
"""

from __future__ import annotations

import copy
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))  # of a program that is run as a file
from allocated import allocated
from bench import best_of

from pipeline.config import Config
from pipeline.models import batches, language_model, resumed_passes
from pipeline.models.blocks import forms
from pipeline.models.language_model import LanguageModel
from pipeline.models.phrases import Batch, Phrase, Text
from pipeline.plan import plan
from pipeline.run import run, store_of
from pipeline.verification import measurement

LAYER, PHRASE, EACH = 6, 11, 5
SHAPE = dict(n_layers=8, d_model=1024, d_mlp=4096, n_heads=16, d_head=64, n_ctx=1024, d_vocab=5000)
BATCH = Batch(2048, Config().memory_mb * 2**20)


def large() -> LanguageModel:
    """Random weights in the shape of solu-8l-pile, with few tokens."""
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    kind = dict(act_fn="solu_ln", normalization_type="LN", positional_embedding_type="standard", seed=0)
    cfg = TransformerBridgeConfig.from_dict({**SHAPE, **kind, "architecture": "TransformerLensNative"})
    return LanguageModel("large", TransformerBridge.boot_native(cfg), None)


def phrase(prefix: int) -> Text:
    """A random text that ends with a phrase, with replacements of each of its tokens."""
    draw = np.random.default_rng(0)
    ids = draw.integers(1, SHAPE["d_vocab"], prefix + PHRASE).tolist()
    places = [prefix + place for place in range(PHRASE) for _ in range(EACH)]
    changed = [(p, [int(draw.integers(1, SHAPE["d_vocab"])), *ids[p + 1 :]]) for p in places]
    return Text(ids, [Phrase(0, prefix, prefix + PHRASE, changed)])


def unavoidable(prefix: int) -> float:
    """Floating-point operations of one such text, without embedding, norms and activations."""
    width, heads = SHAPE["d_model"], SHAPE["n_heads"] * SHAPE["d_head"]
    seen = prefix + PHRASE - 1
    tokens = PHRASE + EACH * PHRASE * (PHRASE + 1) // 2 - PHRASE  # the phrase as it is is part of the text
    attention, mlp = 4 * width * heads, 2 * width * SHAPE["d_mlp"]
    below = 2 * (seen + tokens) * (attention + mlp) + 2 * seen**2 * heads + 4 * tokens * seen * heads
    last = 2 * seen * attention / 2 + 2 * tokens * (attention + mlp / 2) + 4 * tokens * seen * heads
    return LAYER * below + last


def one_by_one(model: LanguageModel, layer: int, all_ids: list[list[int]], most: int) -> float:
    """Seconds that one hooked pass per variant would take, from some of them spread evenly."""
    some = all_ids[:: max(1, len(all_ids) // most)]

    def work() -> None:
        for ids in some:
            with torch.no_grad():
                hooks = [(model.hook(layer), lambda value, hook: None)]
                model.bridge.run_with_hooks(torch.tensor([ids]), fwd_hooks=hooks)

    return best_of(2, work) * len(all_ids) / len(some)


def batches_of_64(model: LanguageModel, layer: int, all_ids: list[list[int]], most: int) -> float:
    """The same of plain passes over 64 variants of like length."""
    ordered = sorted(all_ids, key=len)
    groups = [ordered[start : start + 64] for start in range(0, len(ordered), 64)]
    some = groups[:: max(1, len(groups) // most)]

    def work() -> None:
        for group in some:
            model.activations(batches.padded(group), layer)

    return best_of(1, work) * len(all_ids) / sum(map(len, some))


def matmul_rate(dtype: torch.dtype) -> float:
    """Operations per second of one large matrix product."""
    a, b = (torch.randn(4096, 4096, dtype=dtype) for _ in range(2))
    return 2 * 4096**3 / best_of(5, lambda: a @ b)


def embedded() -> dict[str, object]:
    """All variants of a default run: measured as the stage does, tables read and written included."""
    config = Config()
    with tempfile.TemporaryDirectory() as folder:
        there = Config(data=folder)
        run(there, until="encodings")
        encodings = store_of(there).read("encodings", plan(there)["encodings"].key)
    model = language_model.load(config)
    wanted = pa.array([True] * len(encodings))

    def ours() -> None:
        for shard in measurement.by_text(encodings, wanted, 4096):
            measurement.measure(shard, model, config)

    texts: dict[tuple[int, int], list[int]] = {}
    all_ids = []
    for row in encodings.select(["neuron", "rank", "variant", "first_token", "token_ids"]).to_pylist():
        name = (row["neuron"], row["rank"])
        texts.setdefault(name, row["token_ids"])
        all_ids.append(texts[name][: row["first_token"]] + row["token_ids"])
    return dict(
        what=f"{len(encodings):,} variants of the embedded model",
        ours_s=best_of(4, ours),
        batches_s=batches_of_64(model, 1, all_ids, 40),
        one_by_one_s=one_by_one(model, 1, all_ids, 400),
        peak_mb=allocated(ours) / 2**20,
    )


def shaped(model: LanguageModel, low: LanguageModel, prefix: int) -> dict[str, object]:
    """One phrase of 55 variants after a prefix, in float32 and bfloat16."""
    text = phrase(prefix)
    all_ids = [text.ids[:first] + ids for first, ids in text.phrases[0].variants]
    towers = [forms.tower(each.bridge.original_model, LAYER) for each in (model, low)]
    work = [lambda tower=tower: resumed_passes.peaks(tower, [text], BATCH) for tower in towers]
    # the machine's speed changes from minute to minute: everything in turn, the best of each counts
    kinds = torch.float32, torch.bfloat16
    turns = [[matmul_rate(kind) for kind in kinds] + [best_of(3, each) for each in work] for _ in range(3)]
    rates = [max(rate) for rate in list(zip(*turns, strict=True))[:2]]
    ours, halved = (min(seconds) for seconds in list(zip(*turns, strict=True))[2:])
    exact, rough = (np.array(each()[0][0]) for each in work)
    return dict(
        what=f"55 variants after {prefix:,} tokens, shape of solu-8l-pile, layer 6",
        ours_s=ours,
        batches_s=batches_of_64(model, LAYER, all_ids, 1),
        one_by_one_s=one_by_one(model, LAYER, all_ids, 3),
        peak_mb=allocated(work[0]) / 2**20,
        gflop=unavoidable(prefix) / 1e9,
        gflop_per_s=unavoidable(prefix) / ours / 1e9,
        matmul_gflop_per_s=rates[0] / 1e9,
        bfloat16_s=halved,
        bfloat16_gflop_per_s=unavoidable(prefix) / halved / 1e9,
        bfloat16_matmul_gflop_per_s=rates[1] / 1e9,
        bfloat16_deviation=float(np.median(np.abs(rough - exact) / np.abs(exact))),
    )


def rows() -> Iterator[dict[str, object]]:
    """All of it, with its ratios."""
    model = large()
    low = LanguageModel("large", copy.deepcopy(model.bridge), None)
    low.bridge.original_model.to(torch.bfloat16)
    yield with_ratios(embedded())
    for prefix in (60, 500, 1_013):
        yield with_ratios(shaped(model, low, prefix))


def with_ratios(row: dict[str, object]) -> dict[str, object]:
    """How many times as fast ours is, and which share of a matrix product's rate it reaches."""
    row |= dict(
        against_batches=row["batches_s"] / row["ours_s"],
        against_one_by_one=row["one_by_one_s"] / row["ours_s"],
    )
    if "gflop" in row:
        row["share_of_matmul"] = row["gflop_per_s"] / row["matmul_gflop_per_s"]
    if "bfloat16_s" in row:
        row["bfloat16_share_of_matmul"] = row["bfloat16_gflop_per_s"] / row["bfloat16_matmul_gflop_per_s"]
        row["bfloat16_against_float32"] = row["ours_s"] / row["bfloat16_s"]
    return row


def told(row: dict[str, object]) -> str:
    """A row as it is printed."""
    lines = [
        f"{row['what']}: {row['ours_s']:.2f} s, at most {row['peak_mb']:.0f} MB",
        f"    {row['against_batches']:.1f} x batches of 64 ({row['batches_s']:.1f} s), "
        f"{row['against_one_by_one']:.1f} x one hooked pass per variant ({row['one_by_one_s']:.1f} s)",
    ]
    if "gflop" in row:
        lines += [
            f"    {row['gflop']:.0f} GFLOP that cannot be avoided at {row['gflop_per_s']:.0f} GFLOP/s, "
            f"{row['share_of_matmul']:.0%} of a large product's {row['matmul_gflop_per_s']:.0f}",
        ]
    if "bfloat16_s" in row:
        lines += [
            f"    bfloat16: {row['bfloat16_s']:.2f} s, {row['bfloat16_against_float32']:.1f} x float32, "
            f"{row['bfloat16_share_of_matmul']:.0%} of {row['bfloat16_matmul_gflop_per_s']:.0f} GFLOP/s, "
            f"{row['bfloat16_deviation']:.2%} off in the median",
        ]
    return "\n".join(lines)
