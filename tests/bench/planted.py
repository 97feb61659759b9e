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
from pathlib import Path

import numpy as np

from tests.bench.word_sets import SETS

N_TOKENS, N_CONTEXT = 16_384, 128
TOKEN, PLACE, BEFORE = 256, 64, 256  # dimensions: the token, its position, the token before
WIDTH = TOKEN + PLACE + BEFORE
FEW = 5  # times that a word has to be in the text to be planted
FAMILIES = dict(
    set=90,
    noisy=30,
    after=20,
    unrelated=40,
    position=10,
    always=10,
    random=50,
    two=40,
    word=30,
    punctuation=10,
)
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
    ids, counts = _known_words(tokenizer, texts)
    planted = _chosen(draw, families, ids, counts)
    weights = _Weights(draw, tokenizer.get_vocab_size())
    for each in planted:
        weights.add(each, ids, tokenizer)
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    weights.save(folder, len(planted))
    return planted


def _tokenizer(texts: list[str]):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=N_TOKENS,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer


def _known_words(tokenizer, texts: list[str]) -> tuple[dict[str, list[int]], Counter[str]]:
    """The words that are one token each, with their ids (small and capital), and how often they are there."""
    counts: Counter[int] = Counter()
    for encoded in tokenizer.encode_batch(texts):
        counts.update(encoded.ids)
    ids: dict[str, list[int]] = {}
    found: Counter[str] = Counter()
    for piece, i in tokenizer.get_vocab().items():
        word = piece[1:].lower()
        if piece.startswith("Ġ") and word.isascii() and word.isalpha() and len(word) > 1:
            ids.setdefault(word, []).append(i)
            found[word] += counts[i]
    return {word: sorted(own) for word, own in ids.items() if found[word] >= FEW}, found


def _chosen(
    draw: np.random.Generator, families: dict[str, int], ids: dict[str, list[int]], counts: Counter[str]
) -> list[Planted]:
    sets = [tuple(word for word in words if word in ids) for words in SETS.values()]
    sets = [words for words in sets if len(words) >= 5]
    by_count = sorted((w for w in ids if len(w) > 2), key=lambda word: (-counts[word], word))
    common = by_count[:60]

    def one_set() -> tuple[str, ...]:
        words = sets[draw.integers(len(sets))]
        size = min(len(words), int(draw.integers(5, 11)))
        return tuple(sorted(draw.choice(words, size, replace=False).tolist()))

    def unrelated() -> tuple[str, ...]:
        """Words of the frequencies of a set's, drawn from all."""
        own = set()
        for word in one_set():
            place = by_count.index(word) if word in by_count else int(draw.integers(len(by_count)))
            near = by_count[max(0, place - 150) : place + 150]
            own.add(str(draw.choice(near)))
        return tuple(sorted(own))

    planted: list[Planted] = []
    for family, number in families.items():
        for _ in range(number):
            parts: tuple[tuple[str, ...], ...] = ()
            after = None
            if family in TRUE:
                parts = (one_set(),)
            if family == "after":
                after = str(draw.choice(common))
            if family == "two":
                one = one_set()
                other = next(o for o in iter(one_set, None) if not set(o) & set(one))
                parts = (one, other)
            if family == "unrelated":
                parts = (unrelated(),)
            if family == "word":
                parts = ((str(draw.choice(by_count[:3000])),),)
            if family == "punctuation":
                parts = ((str(draw.choice([",", ".", ";", ":", "(", ")", "-", '"', "'", "/"])),),)
            planted.append(Planted(len(planted), family, parts, after))
    order = draw.permutation(len(planted))
    return [
        Planted(number, planted[i].family, planted[i].parts, planted[i].after)
        for number, i in enumerate(order)
    ]


class _Weights:
    """The parameters of a model, its neurons added one by one."""

    def __init__(self, draw: np.random.Generator, n_tokens: int) -> None:
        self.draw = draw
        self.tokens = _unit(draw.normal(size=(n_tokens, TOKEN)))
        turn = np.arange(N_CONTEXT)[:, None] * 0.9 ** np.arange(PLACE // 2)
        self.places = np.concatenate([np.cos(turn), np.sin(turn)], 1) / np.sqrt(PLACE / 2)
        self.neurons: list[np.ndarray] = []
        self.biases: list[float] = []

    def add(self, planted: Planted, ids: dict[str, list[int]], tokenizer) -> None:
        """Add the weights of one neuron."""
        own = np.zeros(WIDTH)
        bias = 0.0
        if planted.parts and planted.family == "punctuation":
            own[:TOKEN] = self._towards(tokenizer.encode(planted.parts[0][0]).ids)
        elif planted.parts:
            own[:TOKEN] = self._towards([i for word in sorted(planted.words) for i in ids[word]])
        if planted.family == "noisy":
            own[:TOKEN] += self.draw.normal(size=TOKEN) * 0.5 * np.linalg.norm(own[:TOKEN]) / np.sqrt(TOKEN)
        if planted.family == "after":
            own[TOKEN + PLACE :] = self._towards(ids[planted.after])
            bias = -0.5
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
            model_type="gpt2", architectures=["GPT2LMHeadModel"], vocab_size=len(wte), n_positions=N_CONTEXT,
            n_ctx=N_CONTEXT, n_embd=WIDTH, n_layer=1, n_head=2, n_inner=n_neurons, activation_function="gelu_new",
            bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        tokens = dict(
            tokenizer_class="PreTrainedTokenizerFast", bos_token="<|endoftext|>", eos_token="<|endoftext|>"
        )
        (folder / "tokenizer_config.json").write_text(json.dumps(tokens) + "\n")


def _unit(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.linalg.norm(matrix, axis=-1, keepdims=True)
