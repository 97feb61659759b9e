"""Word vectors trained with gensim's FastText, or read from a published file.

The only module that imports gensim. Vectors leave it as plain arrays: gensim's own files are
pickles, and `word in vectors` is true there for every word.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline import word
from pipeline.errors import UserError
from pipeline.progress import progress
from pipeline.word_vectors import Vectors

# Sub-words of 5 and 6 letters: with gensim's 3 to 6, spelling drowns meaning in a small text.
TRAINING = dict(
    sg=1, vector_size=100, window=5, min_count=5, min_n=5, max_n=6, bucket=100_000, epochs=5,
    sample=1e-3, workers=1,
)  # fmt: skip
LIMIT = 200_000
# what gensim's readers raise over bytes that are not vectors
_FORM_ERRORS = (
    ValueError, EOFError, OSError, NotImplementedError, MemoryError, LookupError, AssertionError,
    struct.error,
)  # fmt: skip


def train(texts: Iterable[str], seed: int) -> Vectors:
    """Train FastText on texts, a line a sentence; the same texts and seed give the same vectors.

    One worker only: with more, gensim's threads race. The mean of all vectors is taken off each
    (Mu and Viswanath 2018): on a few million words it is most of every vector, so that two words drawn
    at random had a cosine of 0.72. Raises UserError where no word is frequent enough.
    """
    from gensim.models import FastText

    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as corpus:
        for text in texts:
            for line in text.splitlines():
                if found := word.words(line):
                    print(*found, file=corpus)
        corpus.flush()
        try:
            model = FastText(corpus_file=corpus.name, seed=seed, callbacks=[_epochs()], **TRAINING)
        except RuntimeError as exc:
            raise UserError(
                f"TEXT: too little text to train word vectors on ({exc}); "
                "give more, or published vectors with FASTTEXT"
            ) from exc
    counts = [model.wv.get_vecattr(w, "count") for w in model.wv.index_to_key]
    centred = model.wv.vectors - model.wv.vectors.mean(0)
    return _vectors(model.wv.index_to_key, np.array(counts) / model.corpus_total_words, centred)


def _epochs() -> object:
    """A callback of gensim that shows how many epochs are done."""
    from gensim.models.callbacks import CallbackAny2Vec

    class Epochs(CallbackAny2Vec):
        def __init__(self) -> None:
            self.shown = iter(progress(range(TRAINING["epochs"]), "word vectors", unit="epoch"))

        def on_epoch_begin(self, model: object) -> None:
            next(self.shown)

        def on_train_end(self, model: object) -> None:
            next(self.shown, None)

    return Epochs()


def load(path: Path) -> Vectors:
    """Read the first 200,000 words of published vectors; cased words fold into lower case.

    Forms: word2vec text (.vec, .txt) or binary (.bin, .w2v), Facebook's .bin. Frequencies come from
    the file where it has them, else from Zipf's law over its order, which is by frequency.
    Raises UserError for any other form.
    """
    from gensim.models import KeyedVectors
    from gensim.models.fasttext import load_facebook_vectors

    binary = path.suffix not in (".vec", ".txt")
    facebook = binary and path.open("rb").read(4) == b"\xba\x16\x4f\x2f"
    try:
        if facebook:
            found = load_facebook_vectors(str(path))
        else:
            found = KeyedVectors.load_word2vec_format(
                str(path), binary=binary, limit=LIMIT, unicode_errors="replace"
            )
    except _FORM_ERRORS as exc:
        reason = " ".join(str(exc).split())[:160]
        raise UserError(
            f"FASTTEXT: {path} is not read ({reason}); "
            "give word2vec text (.vec, .txt) or binary, or Facebook's .bin"
        ) from exc
    words = found.index_to_key[:LIMIT]
    if not words:
        raise UserError(f"FASTTEXT: {path} holds no words")
    if facebook:
        counts = np.array([found.get_vecattr(w, "count") for w in words], float)
        frequencies = counts / counts.sum()
    else:
        zipf = 1 / (np.arange(len(words)) + 2.7)
        frequencies = zipf / zipf.sum()
    return _vectors(words, frequencies, found.vectors[: len(words)])


def _vectors(words: list[str], frequencies: np.ndarray, matrix: np.ndarray) -> Vectors:
    """Fold case (the most frequent form's vector stands), order totally, scale to length 1."""
    first: dict[str, int] = {}
    total: dict[str, float] = {}
    lengths = np.linalg.norm(matrix, axis=1)
    for index, name in enumerate(words):
        lower = name.lower()
        if np.isfinite(lengths[index]) and lengths[index] > 0:
            first.setdefault(lower, index)
            total[lower] = total.get(lower, 0.0) + float(frequencies[index])
    ordered = sorted(first, key=lambda name: (-total[name], name))
    rows = [first[name] for name in ordered]
    unit = (matrix[rows] / lengths[rows, None]).astype(np.float32)
    return Vectors(ordered, np.array([total[name] for name in ordered]), unit)


def inflection(one: str, other: str) -> bool:
    """Whether one word contains the other or both have one stem (Porter's)."""
    from gensim.parsing.porter import PorterStemmer

    stem = PorterStemmer().stem
    return one in other or other in one or stem(one) == stem(other)
