"""Models whose neurons were planted: for each neuron it is known what it responds to.

A model has one layer, in GPT-2's form. Tokens have random embeddings, so that neurons also respond a little
to what they were not made for, as those of real models do. One head looks at the token before, another one
at all of them, which makes each text a little different. A neuron's weights are chosen so that each token
of its set activates it alike.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.language.word import words
from tests.bench.word_sets import SETS

N_TOKENS, N_CONTEXT = 16_384, 128
TOKEN, PLACE, BEFORE = 256, 64, 256  # dimensions: the token, its position, the token before
WIDTH = TOKEN + PLACE + BEFORE
FEW = 5  # times that a word has to be in the text to be planted
FAMILIES = dict(
    set=90, noisy=30, after=20, unrelated=40, position=10, always=10, random=50, two=40, word=30,
    punctuation=10, spelling=10, context=10,
)  # fmt: skip
ENDINGS = ("tion", "ment", "ness", "able", "ing", "ous", "ity", "ism")
MARKS = (",", ".", ";", ":", "(", ")", "-", '"', "'", "/")
TRUE = ("set", "noisy", "after")
FALSE = ("unrelated", "position", "always", "random")


@dataclass(frozen=True)
class Planted:
    """What a neuron was made to respond to: `parts` are its sets of words, `after` the word before them."""

    neuron: int
    family: str
    parts: tuple[tuple[str, ...], ...] = ()
    after: str | None = None

    @property
    def words(self) -> frozenset[str]:
        """All its words."""
        return frozenset(word for part in self.parts for word in part)


def plant(
    folder: Path, texts: Iterable[str], seed: int, families: dict[str, int] = FAMILIES
) -> list[Planted]:
    """Write a model into `folder` and return what its neurons respond to."""
    draw = np.random.default_rng(seed)
    texts = list(texts)
    tokenizer = _tokenizer(texts)
    known = _Words(tokenizer, texts)
    planted = _chosen(draw, families, known)
    weights = _Weights(draw, tokenizer.get_vocab_size())
    for each in planted:
        weights.add(each, known.ids, tokenizer)
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    weights.save(folder, len(planted))
    return planted


def _tokenizer(texts: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=N_TOKENS,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


class _Words:
    """The words that are one token each and common enough: their ids (small and capital), their order by
    number, and the word that is before some of them most often."""

    def __init__(self, tokenizer: Any, texts: list[str]) -> None:
        runs = [encoded.ids for encoded in tokenizer.encode_batch(texts)]
        counts = Counter(i for run in runs for i in run)
        self._pairs = Counter(pair for run in runs for pair in pairwise(run))
        ids: dict[str, list[int]] = {}
        for piece, i in tokenizer.get_vocab().items():
            word = piece[1:].lower()
            if piece.startswith("Ġ") and word.isascii() and word.isalpha() and len(word) > 1:
                ids.setdefault(word, []).append(i)
        total = {word: sum(counts[i] for i in own) for word, own in ids.items()}
        whole = Counter(name for text in texts for name in words(text))  # " tro" is a token, but no word
        self.ids = {
            word: sorted(own)
            for word, own in ids.items()
            if whole[word] >= FEW and whole[word] >= total[word] / 2
        }
        self.by_count = sorted((w for w in self.ids if len(w) > 2), key=lambda w: (-total[w], w))
        self._word_of = {i: word for word, own in self.ids.items() for i in own}

    def before(self, some: Iterable[str]) -> str:
        """The word that is most often before one of some."""
        own = {i for word in some for i in self.ids[word]}
        found: Counter[str] = Counter()
        for (first, second), n in self._pairs.items():
            if second in own and first in self._word_of:
                found[self._word_of[first]] += n
        return min(found, key=lambda word: (-found[word], word))


def _chosen(draw: np.random.Generator, families: dict[str, int], known: _Words) -> list[Planted]:
    """What the neurons of each family respond to, in random order."""
    sets = [tuple(word for word in own if word in known.ids) for own in SETS.values()]
    sets = [own for own in sets if len(own) >= 5]
    places = {word: place for place, word in enumerate(known.by_count)}

    def some(of: Iterable[str]) -> tuple[str, ...]:
        own = sorted(of)
        size = min(len(own), int(draw.integers(5, 11)))
        return tuple(sorted(draw.choice(own, size, replace=False).tolist()))

    def one_set() -> tuple[str, ...]:
        return some(sets[draw.integers(len(sets))])

    def unrelated() -> tuple[str, ...]:
        """Words of the frequencies of a set's, drawn from all."""
        own = [places.get(word, int(draw.integers(len(places)))) for word in one_set()]
        near = [known.by_count[max(0, place - 150) : place + 150] for place in own]
        return tuple(sorted({str(draw.choice(each)) for each in near}))

    def spelling() -> tuple[str, ...]:
        end = str(draw.choice(ENDINGS))
        return some(word for word in known.by_count if word.endswith(end) and len(word) > len(end) + 1)

    def parts(family: str) -> tuple[tuple[str, ...], ...]:
        if family in TRUE:
            return (one_set(),)
        if family == "two":
            one = one_set()
            return (one, next(other for other in iter(one_set, None) if not set(other) & set(one)))
        if family in ("word", "context"):
            return ((str(draw.choice(known.by_count[100 if family == "context" else 0 : 3000])),),)
        making = dict(
            unrelated=unrelated, spelling=spelling, punctuation=lambda: (str(draw.choice(MARKS)),)
        )
        return (making[family](),) if family in making else ()

    planted = []
    for family, number in families.items():
        for _ in range(number):
            own = parts(family)
            planted.append((family, own, known.before(own[0]) if family == "after" else None))
    order = draw.permutation(len(planted))
    return [Planted(number, *planted[i]) for number, i in enumerate(order)]


class _Weights:
    """The parameters of a model, its neurons added one by one."""

    def __init__(self, draw: np.random.Generator, n_tokens: int) -> None:
        self.draw = draw
        self.tokens = _unit(draw.normal(size=(n_tokens, TOKEN)))
        turn = np.arange(N_CONTEXT)[:, None] * 0.9 ** np.arange(PLACE // 2)
        self.places = np.concatenate([np.cos(turn), np.sin(turn)], 1) / np.sqrt(PLACE / 2)
        self.neurons: list[np.ndarray] = []
        self.biases: list[float] = []

    def add(self, planted: Planted, ids: dict[str, list[int]], tokenizer: Any) -> None:
        """Add the weights of one neuron."""
        own = np.zeros(WIDTH)
        bias = 0.0
        if planted.parts and planted.family == "punctuation":
            own[:TOKEN] = self._towards(tokenizer.encode(planted.parts[0][0]).ids)
        elif planted.family == "context":
            own[TOKEN + PLACE :] = self._towards(ids[planted.parts[0][0]])
        elif planted.parts:
            own[:TOKEN] = self._towards([i for word in sorted(planted.words) for i in ids[word]])
        if planted.family == "noisy":
            own[:TOKEN] += self.draw.normal(size=TOKEN) * 0.5 * np.linalg.norm(own[:TOKEN]) / np.sqrt(TOKEN)
        if planted.family == "after":
            own[TOKEN + PLACE :] = self._towards(ids[planted.after])
            bias = -2.2  # a member or the word before it alone gives 2
        if planted.family == "position":
            own[TOKEN : TOKEN + PLACE] = 2 * self.places[self.draw.integers(1, 100)]
        if planted.family == "random":
            own[:TOKEN] = _unit(self.draw.normal(size=TOKEN)) * 1.5
        if planted.family == "always":
            own = self.draw.normal(size=WIDTH) * 0.002
            bias = 1.0
        self.neurons.append(own)
        self.biases.append(bias)

    def _towards(self, ids: list[int]) -> np.ndarray:
        """The shortest vector whose product with the embedding of each of the tokens is 1."""
        return np.linalg.pinv(self.tokens[ids]) @ np.ones(len(ids))

    def save(self, folder: Path, n_neurons: int) -> None:
        """Write config.json and model.safetensors."""
        import torch
        from safetensors.torch import save_file

        wte, wpe = np.zeros((len(self.tokens), WIDTH)), np.zeros((N_CONTEXT, WIDTH))
        wte[:, :TOKEN] = self.tokens
        wpe[:, TOKEN : TOKEN + PLACE] = self.places
        head = WIDTH // 2
        # one turn back, as the rotation of each frequency
        back = np.zeros((PLACE, PLACE))
        half = PLACE // 2
        for k, angle in enumerate(0.9 ** np.arange(half)):
            c, s = np.cos(angle), np.sin(angle)
            back[k, k], back[k, half + k], back[half + k, k], back[half + k, half + k] = c, -s, s, c
        attend = np.zeros((WIDTH, 3 * WIDTH))
        attend[TOKEN : TOKEN + PLACE, :PLACE] = back * 30
        attend[TOKEN : TOKEN + PLACE, WIDTH : WIDTH + PLACE] = np.eye(PLACE)
        attend[:TOKEN, 2 * WIDTH : 2 * WIDTH + TOKEN] = np.eye(TOKEN)
        attend[:TOKEN, 2 * WIDTH + head : 2 * WIDTH + head + TOKEN] = np.eye(TOKEN)
        write = np.zeros((WIDTH, WIDTH))
        scale = np.sqrt(2 / WIDTH)  # the length that LayerNorm gives is undone
        write[:TOKEN, TOKEN + PLACE :] = np.eye(BEFORE) * scale
        mix = self.draw.normal(size=(TOKEN, TOKEN)) / np.sqrt(TOKEN)
        write[head : head + TOKEN, :TOKEN] = mix * scale * 1.2
        mlp = np.stack(self.neurons, 1) / np.sqrt(WIDTH / 3) * 2
        one, zero = np.ones(WIDTH), np.zeros(WIDTH)
        found = {
            "wte.weight": wte,
            "wpe.weight": wpe,
            "h.0.ln_1.weight": one,
            "h.0.ln_1.bias": zero,
            "h.0.attn.c_attn.weight": attend,
            "h.0.attn.c_attn.bias": np.zeros(3 * WIDTH),
            "h.0.attn.c_proj.weight": write,
            "h.0.attn.c_proj.bias": zero,
            "h.0.ln_2.weight": one,
            "h.0.ln_2.bias": zero,
            "h.0.mlp.c_fc.weight": mlp,
            "h.0.mlp.c_fc.bias": np.array(self.biases),
            "h.0.mlp.c_proj.weight": np.zeros((n_neurons, WIDTH)),
            "h.0.mlp.c_proj.bias": zero,
            "ln_f.weight": one,
            "ln_f.bias": zero,
        }
        arrays = {
            f"transformer.{name}": torch.tensor(value, dtype=torch.float32) for name, value in found.items()
        }
        save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
        config = dict(
            model_type="gpt2", architectures=["GPT2LMHeadModel"], activation_function="gelu_new",
            vocab_size=len(wte), n_positions=N_CONTEXT, n_ctx=N_CONTEXT, n_embd=WIDTH, n_layer=1, n_head=2,
            n_inner=n_neurons, bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        tokens = dict(
            tokenizer_class="PreTrainedTokenizerFast", bos_token="<|endoftext|>", eos_token="<|endoftext|>"
        )
        (folder / "tokenizer_config.json").write_text(json.dumps(tokens) + "\n")


def _unit(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.linalg.norm(matrix, axis=-1, keepdims=True)
