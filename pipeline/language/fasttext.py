"""Word vectors trained with gensim's FastText, or read from a published file.

The only module that imports gensim. It returns vectors as plain arrays: gensim's own files are
pickles, and with gensim `word in vectors` is true for every word.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.language import vector_files, word
from pipeline.language.word_vectors import Vectors
from pipeline.progress import progress
from pipeline.tables import fingerprint

# Sub-words of 5 and 6 letters: with gensim's 3 to 6, spelling drowns meaning in a small text.
TRAINING: dict[str, Any] = dict(
    sg=1, vector_size=100, window=5, min_count=5, min_n=5, max_n=6, bucket=100_000, epochs=5,
    sample=1e-3, workers=1,
)  # fmt: skip
LIMIT = 200_000
_TOGETHER, _JOINED = 0.5, 3
_GLANCE = 100  # words from which it is clear whether a file is of a known form


def train(texts: Iterable[str], seed: int) -> Vectors:
    """Train FastText on texts, each line a sentence; the same texts and seed give the same vectors.

    Of what is written without blanks the words are those of `_found`.

    One worker only: with more, gensim's threads race. The mean of all vectors is subtracted from each
    (Mu and Viswanath 2018): on a few million words it is most of every vector, so that two words drawn
    at random had a cosine of 0.72. Raises UserError where no word is frequent enough.
    """
    from gensim.models import FastText

    with _temporary() as runs, _temporary() as divided:
        corpus, is_unspaced = runs, False
        for text in texts:
            is_unspaced = is_unspaced or word.unspaced(text)
            for line in text.splitlines():
                if words := word.runs(line):
                    print(*words, file=runs)
        runs.flush()
        if is_unspaced:
            corpus, known = divided, _found(runs.name)
            with open(runs.name, encoding="utf-8") as lines:
                divided.writelines(" ".join(word.words(line, known)) + "\n" for line in lines)
            divided.flush()
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


def _temporary() -> Any:
    return tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt")


def _found(corpus: str) -> word.Known:
    """The words of what a file has without blanks between words: what stands together more often than by
    chance.

    Characters that follow each other become one (Mikolov et al. 2013) where their normalised pointwise
    mutual information (Bouma 2009) is above `_TOGETHER`; again with what has become one, so that a word has
    at most 2 ** `_JOINED` characters.
    """
    from gensim.models.phrases import Phrases

    def runs(known: word.Known) -> Iterator[list[str]]:
        with open(corpus, encoding="utf-8") as lines:
            for line in lines:
                yield from (word.words(run, known) for run in line.split() if word.unspaced(run))

    known = word.Known()
    how = dict(min_count=TRAINING["min_count"], threshold=_TOGETHER, scoring="npmi", delimiter="\n")
    for _ in range(_JOINED):
        joined = Phrases(runs(known), **how).export_phrases()
        known = word.Known({*known.words, *(pair.replace("\n", "") for pair in joined)})
    return known


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


def load(path: Path, limit: int = LIMIT) -> Vectors:
    """Read the first `limit` words of published vectors; words are turned into lower case.

    Forms: those of vector_files.py. Frequencies come from the file where it has them, else from Zipf's law
    over its order, which is by frequency. Of a word that is there twice the first vector counts.
    Raises UserError for any other form, and where no vector is left.
    """
    kind = vector_files.form(path).kind
    keyed = _read(path, kind, limit)
    words = [word for word in keyed.index_to_key[:limit] if word is not None]  # None at the end: doubles
    if kind == "facebook":
        counts = np.array([keyed.get_vecattr(w, "count") for w in words], float)
        frequencies = counts / max(counts.sum(), 1)
    else:
        zipf = 1 / (np.arange(len(words)) + 2.7)
        frequencies = zipf / zipf.sum()
    found = _vectors(words, frequencies, keyed.vectors[: len(words)])
    if not found.words:
        raise UserError(f"FASTTEXT: {path} holds no word with a vector other than zero")
    return found


def left_out(path: Path, limit: int = LIMIT) -> str:
    """That words of published vectors beyond the limit are not read; empty where all are."""
    there = vector_files.n_words(path)
    return f"the first {limit:,} of {there:,} words are read" if there > limit else ""


def contents(config: Config) -> dict[str, str]:
    """What a published FASTTEXT stands for in a key: the fingerprint of its file."""
    return {"file": fingerprint.of_file(Path(config.fasttext))}


def ready(config: Config) -> None:
    """Raise UserError for a file of another form; of a large one only the beginning is read."""
    vector_files.form(Path(config.fasttext))


def _read(path: Path, kind: str, limit: int) -> Any:
    """Gensim's vectors of a file; one in Facebook's form is always read as a whole."""
    from gensim.models import KeyedVectors
    from gensim.models.fasttext import load_facebook_vectors

    with vector_files.refused(path), vector_files.readable(path, kind, limit) as file:
        if kind == "facebook":
            vector_files.check_facebook(file)
            return load_facebook_vectors(str(file))
        how = dict(binary=kind == "binary", no_header=kind == "glove", limit=limit)
        return KeyedVectors.load_word2vec_format(str(file), unicode_errors="replace", **how)


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
