"""Build the embedded model: its text, its tokenizer, its weights.

Text comes from two Debian packages with permissive licences (README.md beside this file):
`wordnet-base` (WordNet glosses) and `python3.11-doc` (the Python documentation). The model is a
2-layer SoLU transformer in TransformerLens' native form, trained from scratch on this text.

Out, all in this folder: `config.json`, `model.safetensors` (float16), `tokenizer.json`,
`text/*.parquet` (a sample of the glosses, one column, `text`) and `build.json` (loss, counts, seconds).

    apt-get install wordnet-base python3.11-doc
    python data/demo/build.py
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from bs4 import BeautifulSoup
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tqdm import tqdm
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge.sources.native import NativeModel, initialize_native_model

HERE = Path(__file__).parent
WORDNET = Path("/usr/share/wordnet")
PYTHON_DOC = Path("/usr/share/doc/python3.11/html")
DOC_PARTS = ("tutorial", "howto", "faq", "reference", "library")
BOS = "<|endoftext|>"

CONFIG = dict(
    architecture="TransformerLensNative",
    d_model=128,
    d_head=32,
    n_heads=4,
    n_layers=2,
    d_mlp=512,
    n_ctx=128,
    d_vocab=8192,
    act_fn="solu_ln",
    normalization_type="LN",
    positional_embedding_type="standard",
    seed=0,
)


def passages(lines: Iterator[str], *, max_chars: int = 480) -> Iterator[str]:
    """Join consecutive lines into texts of at most `max_chars` characters, order kept."""
    held: list[str] = []
    for line in lines:
        if held and sum(map(len, held)) + len(held) + len(line) > max_chars:
            yield "\n".join(held)
            held = []
        held.append(line)
    if held:
        yield "\n".join(held)


def glosses(part: str) -> Iterator[str]:
    """One line per synset of WordNet, in the file's order: `word, word: gloss`."""
    for line in (WORDNET / f"data.{part}").read_text().splitlines():
        if line.startswith("  "):  # the licence at the head of the file
            continue
        fields, gloss = line.split(" | ", 1)
        fields = fields.split()
        words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        words = [re.sub(r"\(\w+\)$", "", word).replace("_", " ") for word in words]
        yield f"{', '.join(words)}: {gloss.strip()}"


def documentation(page: Path) -> Iterator[str]:
    """The paragraphs of one page of the documentation, white space folded."""
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "lxml")
    body = soup.find("div", class_="body")
    for paragraph in body.find_all("p") if body else ():
        text = " ".join(paragraph.get_text().split())
        if len(text) > 40:
            yield text


def texts() -> list[str]:
    """Every text of the corpus, distinct, in a fixed shuffled order."""
    found = [text for part in ("noun", "verb", "adj", "adv") for text in passages(glosses(part))]
    for folder in DOC_PARTS:
        for page in sorted((PYTHON_DOC / folder).rglob("*.html")):
            found += passages(documentation(page))
    found = list(dict.fromkeys(found))
    random.Random(0).shuffle(found)
    return found


def sample(max_chars: int) -> list[str]:
    """Short texts of glosses in a fixed shuffled order, up to `max_chars` characters in all.

    Of one kind only, so that what phrases have in common is not merely the book they come from.
    """
    parts = ("noun", "verb", "adj", "adv")
    found = [text for part in parts for text in passages(glosses(part), max_chars=240)]
    random.Random(0).shuffle(found)
    lengths = np.cumsum([len(text) for text in found])
    return found[: int(np.searchsorted(lengths, max_chars))]


def held_out(text: str) -> bool:
    """Whether a text is kept from training: one in fifty, by its own hash."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % 50 == 0


def train_tokenizer(corpus: list[str]) -> Tokenizer:
    """Byte-level BPE; `<|endoftext|>` is token 0, the BOS, and nothing is added to a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=CONFIG["d_vocab"],
        special_tokens=[BOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def stream(tokenizer: Tokenizer, corpus: list[str]) -> torch.Tensor:
    """All texts as one row of ids, BOS before each."""
    ids = [np.array([0, *e.ids], np.int32) for e in tokenizer.encode_batch(corpus)]
    return torch.from_numpy(np.concatenate(ids)).long()


def loss_of(model: NativeModel, batch: torch.Tensor) -> torch.Tensor:
    """Mean nats per token of the next-token prediction; batch (rows, n_ctx + 1)."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(batch[:, :-1])  # (rows, n_ctx, d_vocab)
    return F.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())


def train(model: NativeModel, ids: torch.Tensor, *, steps: int, rows: int = 32) -> float:
    """Train on random windows that start at any token; returns the seconds it took.

    AdamW, 2e-3 with 100 steps of warm-up, then cosine to a tenth; weight decay on matrices only.
    """
    context = CONFIG["n_ctx"]
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
        lr=2e-3,
        betas=(0.9, 0.98),
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda s: min((s + 1) / 100, 0.1 + 0.9 * (1 + math.cos(math.pi * s / steps)) / 2),
    )
    generator = torch.Generator().manual_seed(0)
    step_loss = torch.compile(loss_of)
    start = time.time()
    bar = tqdm(range(steps), unit="step")
    for step in bar:
        first = torch.randint(len(ids) - context - 1, (rows,), generator=generator)
        batch = ids[first[:, None] + torch.arange(context + 1)]
        loss = step_loss(model, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
    return time.time() - start


@torch.no_grad()
def evaluate(model: NativeModel, ids: torch.Tensor) -> float:
    """Mean loss in nats per token over consecutive windows of `ids`, in float32."""
    context = CONFIG["n_ctx"]
    rows = (len(ids) - 1) // context
    batch = torch.stack([ids[i * context : (i + 1) * context + 1] for i in range(rows)])
    total = 0.0
    for part in batch.split(32):
        logits = model(part[:, :-1])
        total += F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten()).item() * len(part)
    return total / rows


def judge(folder: Path, kept: list[str], test: list[str]) -> dict[str, float]:
    """Loss of a folder's weights on held-out texts and on as many of the texts trained on."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = NativeModel(TransformerBridgeConfig.from_dict(CONFIG))
    model.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()})
    found = {}
    for name, part in (("held_out", test), ("trained_on", kept[: len(test)])):
        ids = stream(tokenizer, part)
        loss = evaluate(model.eval(), ids)
        n_bytes = sum(len(text.encode()) + 1 for text in part)  # one for the BOS
        found[f"{name}_tokens"] = len(ids)
        found[f"{name}_loss_nats_per_token"] = round(loss, 3)
        found[f"{name}_loss_nats_per_byte"] = round(loss * len(ids) / n_bytes, 4)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=9000, help="training steps of 32 x 128 tokens")
    parser.add_argument("--sample", type=int, default=2_700_000, help="characters of text/")
    parser.add_argument("--judge", action="store_true", help="only print the loss of the weights here")
    parser.add_argument("--vocabulary", type=int, default=CONFIG["d_vocab"], help="tokens")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the model")
    args = parser.parse_args()
    CONFIG["d_vocab"], out = args.vocabulary, args.out

    corpus = texts()
    kept, test = [t for t in corpus if not held_out(t)], [t for t in corpus if held_out(t)]
    if args.judge:
        print(json.dumps(judge(out, kept, test), indent=2))
        return
    tokenizer = train_tokenizer(kept)
    (out / "text").mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    (out / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    table = pa.table({"text": sample(args.sample)})
    pq.write_table(table, out / "text" / "part-0.parquet", compression="zstd", compression_level=19)

    ids = stream(tokenizer, kept)
    cfg = TransformerBridgeConfig.from_dict(CONFIG)
    torch.manual_seed(0)
    model = NativeModel(cfg)
    initialize_native_model(model, cfg)
    seconds = train(model, ids, steps=args.steps)
    weights = {k: v.half().contiguous() for k, v in model.state_dict().items()}
    save_file(weights, out / "model.safetensors")
    facts = dict(steps=args.steps, seconds=round(seconds), train_texts=len(kept), train_tokens=len(ids))
    report = {**facts, **judge(out, kept, test), "sample_texts": len(table)}
    (out / "build.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
