"""Word vectors trained with gensim's FastText, or read from a published file.

The only module that imports gensim. It returns vectors as plain arrays: gensim's own files are
pickles, and with gensim `word in vectors` is true for every word.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.language import word
from pipeline.language.word_vectors import Vectors
from pipeline.progress import progress
from pipeline.tables import fingerprint

# Sub-words of 5 and 6 letters: with gensim's 3 to 6, spelling drowns meaning in a small text.
TRAINING: dict[str, Any] = dict(
    sg=1, vector_size=100, window=5, min_count=5, min_n=5, max_n=6, bucket=100_000, epochs=5,
    sample=1e-3, workers=1,
)  # fmt: skip
LIMIT = 200_000
_GLANCE = 100  # words from which it is clear whether a file is of a known form
_TEXT = (".vec", ".txt")
# what gensim's readers raise over bytes that are not vectors
_FORM_ERRORS = (
    ValueError, EOFError, OSError, NotImplementedError, MemoryError, LookupError, AssertionError,
    struct.error,
)  # fmt: skip


def train(texts: Iterable[str], seed: int) -> Vectors:
    """Train FastText on texts, each line a sentence; the same texts and seed give the same vectors.

    One worker only: with more, gensim's threads race. The mean of all vectors is subtracted from each
    (Mu and Viswanath 2018): on a few million words it is most of every vector, so that two words drawn
    at random had a cosine of 0.72. Raises UserError where no word is frequent enough.
    """
    from gensim.models import FastText

    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as corpus:
        for text in texts:
            for line in text.splitlines():
                if words := word.words(line):
                    print(*words, file=corpus)
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
    """Read the first 200,000 words of published vectors; words are turned into lower case.

    Forms: word2vec text (.vec, .txt) or binary (.bin, .w2v), Facebook's .bin. Frequencies come from
    the file where it has them, else from Zipf's law over its order, which is by frequency.
    Raises UserError for any other form.
    """
    keyed, facebook = _read(path, LIMIT)
    words = keyed.index_to_key[:LIMIT]
    if not words:
        raise UserError(f"FASTTEXT: {path} holds no words")
    if facebook:
        counts = np.array([keyed.get_vecattr(w, "count") for w in words], float)
        frequencies = counts / counts.sum()
    else:
        zipf = 1 / (np.arange(len(words)) + 2.7)
        frequencies = zipf / zipf.sum()
    return _vectors(words, frequencies, keyed.vectors[: len(words)])


def contents(config: Config) -> dict[str, str]:
    """What a published FASTTEXT stands for in a key: the fingerprint of its file."""
    return {"file": fingerprint.of_file(Path(config.fasttext))}


def ready(config: Config) -> None:
    """Raise UserError for a file of another form; of a large one only the beginning is read."""
    path = Path(config.fasttext)
    if not _is_facebook(path):
        _read(path, _GLANCE)


def _is_facebook(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix not in _TEXT and file.read(4) == b"\xba\x16\x4f\x2f"


def _read(path: Path, limit: int) -> tuple[Any, bool]:
    """Gensim's vectors of a file, and whether it is in Facebook's form, which is always read as a whole."""
    from gensim.models import KeyedVectors
    from gensim.models.fasttext import load_facebook_vectors

    facebook = _is_facebook(path)
    try:
        if facebook:
            return load_facebook_vectors(str(path)), True
        binary = path.suffix not in _TEXT
        keyed = KeyedVectors.load_word2vec_format(
            str(path), binary=binary, limit=limit, unicode_errors="replace"
        )
        return keyed, False
    except _FORM_ERRORS as exc:
        reason = " ".join(str(exc).split())[:160]
        raise UserError(
            f"FASTTEXT: {path} is not read ({reason}); "
            "give word2vec text (.vec, .txt) or binary, or Facebook's .bin"
        ) from exc


def _vectors(words: list[str], frequencies: np.ndarray, matrix: np.ndarray) -> Vectors:
    """Turn words into lower case (the most frequent form's vector stays), sort them, scale to length 1."""
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
