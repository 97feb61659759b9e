"""Memory and seconds of loading a model for one layer, against loading it whole.

A folder in the shape of Llama-3.2-1B (1.24 billion numbers in bfloat16, random, in several files), each way
in a process of its own: the most memory that it takes, without and with what it sees of the files, which
the machine may take back, and its processor time from the first import to the activations of a text.
To print it alone:

    .venv/bin/python tests/bench/bench_loading.py
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent.parent)]  # of a program that is run as a file
LAYER = 8
SHAPE = dict(
    num_hidden_layers=16,
    hidden_size=2048,
    num_attention_heads=32,
    num_key_value_heads=8,
    head_dim=64,
    intermediate_size=8192,
    vocab_size=128_256,
    tie_word_embeddings=True,
)


def save(folder: Path, shape: dict[str, Any] = SHAPE) -> int:
    """Write a model of Llama's form with random weights, two blocks to a file; returns how many."""
    import tiny_models
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**shape, architectures=["LlamaForCausalLM"])
    config.save_pretrained(folder)
    tiny_models.tokenizer(folder)
    with torch.device("meta"):
        built = LlamaForCausalLM(config)
    drawn = torch.randn(2**20, generator=torch.Generator().manual_seed(0)).mul_(0.02).bfloat16()
    index = {}
    for name, _ in built.named_parameters():
        block = re.search(r"\.(\d+)\.", name)
        index[name] = f"model-{'rest' if block is None else int(block[1]) // 2}.safetensors"
    sizes = {name: weight.shape for name, weight in built.named_parameters()}
    for file in set(index.values()):
        own = {name: sizes[name] for name, place in index.items() if place == file}
        weights = {
            name: drawn.repeat(-(-size.numel() // len(drawn)))[: size.numel()].view(size)
            for name, size in own.items()
        }
        save_file(weights, folder / file, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps(dict(metadata={}, weight_map=index)))
    return sum(size.numel() for size in sizes.values())


def measured(way: str, precision: str, folder: Path, layer: int) -> dict[str, float]:
    """Megabytes that this process takes at most of its own, and with what it sees of the files; and its
    processor seconds, while it loads."""
    most, done = [_own_mb()], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most.append(_own_mb())

    watching = threading.Thread(target=watch)
    watching.start()
    (_whole if way == "whole" else _part)(precision, folder, layer)
    done.set()
    watching.join()
    seen_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return dict(mb=max(most), seen_mb=seen_mb, s=time.process_time())


def _own_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"RssAnon:\s+(\d+)", status)[0]) / 1024


def _part(precision: str, folder: Path, layer: int) -> None:
    from pipeline.config import Config
    from pipeline.models import language_model

    language_model.load(Config(model=str(folder), layer=layer, device="cpu"), precision)


def _whole(precision: str, folder: Path, layer: int) -> None:
    """All of it in float32, and then in the precision asked for."""
    import torch
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(str(folder), device="cpu")
    bridge.to(dtype=getattr(torch, precision), print_details=False)
    with torch.no_grad():
        bridge(torch.arange(12)[None], stop_at_layer=layer + 1)


def rows(shape: dict[str, Any] = SHAPE, layer: int = LAYER) -> list[dict[str, Any]]:
    """Both precisions, the whole model and a part of it."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        numbers = save(Path(folder), shape)
        for precision in ("float32", "bfloat16"):
            row: dict[str, Any] = dict(
                what=f"loading {numbers / 1e9:.2f} billion numbers for layer {layer} of "
                f"{shape['num_hidden_layers']}, {precision}"
            )
            for way in ("whole", "part"):
                told = subprocess.run(
                    [sys.executable, __file__, way, precision, folder, str(layer)],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
                row |= {f"{way}_{name}": value for name, value in json.loads(told.splitlines()[-1]).items()}
            found.append(row)
    return found


def told(row: dict[str, Any]) -> str:
    """A row as it is printed."""
    return (
        f"{row['what']}: {row['whole_mb']:,.0f} MB -> {row['part_mb']:,.0f} MB (with what is mapped of "
        f"files {row['whole_seen_mb']:,.0f} -> {row['part_seen_mb']:,.0f}), {row['whole_s']:.1f} s -> "
        f"{row['part_s']:.1f} s of a processor"
    )


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(measured(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))))
    else:
        for each in rows():
            print(told(each), flush=True)
