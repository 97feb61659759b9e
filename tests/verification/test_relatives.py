"""The relatives of a word, on a vocabulary written by hand."""

import numpy as np

from pipeline.language.hypernyms import hypernyms
from pipeline.language.word_vectors import Vectors
from pipeline.verification.relatives import Relatives

NAMES = ["gun", "beard", "idea", "rifle", "rifles", "cannon", "guns", "tea"]
COSINES = [1.0, 0.6, 0.55, 0.5, 0.5, 0.4, 0.95, 0.3]
MATRIX = np.array([[c, np.sqrt(1 - c * c)] for c in COSINES], np.float32)
VECTORS = Vectors(NAMES, np.full(len(NAMES), 1 / len(NAMES)), MATRIX)


def relatives_of(word, wanted):
    found = Relatives(VECTORS, hypernyms()).of(word, wanted)
    return [NAMES[place] for place, _ in found], [cosine for _, cosine in found]


def test_what_wordnet_says_counts_beside_the_vectors():
    words, cosines = relatives_of("gun", 2)
    assert "rifle" in words  # beard and idea have higher cosines
    np.testing.assert_allclose(cosines, [COSINES[NAMES.index(word)] for word in words], rtol=1e-6)


def test_forms_of_the_word_are_no_relatives():
    words, _ = relatives_of("gun", 8)
    assert set(words) == {"beard", "idea", "rifle", "rifles", "cannon", "tea"}  # not gun, guns


def test_of_a_word_that_wordnet_lacks_the_vectors_decide():
    unknown = Vectors(["qq", "zz", "xx"], np.full(3, 1 / 3), MATRIX[[0, 1, 2]])
    assert [place for place, _ in Relatives(unknown, hypernyms()).of("qq", 1)] == [1]
