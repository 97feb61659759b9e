import numpy as np
import pytest

from pipeline.fasttext import Vectors
from pipeline.lexical import describe

NAMES = ["the", "green", "yellow", "blue", "purple", "table", "perhaps", "family"]
COLOURS = [[1, 0.1 * i, 0] for i in range(4)]
MATRIX = np.array([[0, 1, 0], *COLOURS, [0, 0, 1], [0, -1, 0], [0, 0, -1]], np.float32)
MATRIX /= np.linalg.norm(MATRIX, axis=1, keepdims=True)
VECTORS = Vectors(NAMES, np.array([0.2, *[1e-4] * 7]), MATRIX)


@pytest.mark.parametrize(
    ("mats", "expected"),
    [
        (["of"] * 9 + ["to"], 'the word "of"'),
        ([","] * 5, 'the token ","'),
        (["south", "southern", "south"], 'words that begin with "south": "south", "southern"'),
        (["rosaceae", "fagaceae"], 'words that end in "aceae": "fagaceae", "rosaceae"'),
        (["green", "yellow", "green"], 'words like "blue": "green", "yellow"'),
        (["table", "green", "the"], '"green", "table", "the"'),
    ],
)
def test_a_description_names_what_the_mats_share(mats, expected):
    assert describe(mats, [], VECTORS) == expected


def test_rare_words_beside_the_mat_in_half_of_the_phrases_are_named():
    phrases = ["the of family", "type of the family", "of a table", "of the family"]
    assert describe(["of"] * 4, phrases, VECTORS) == 'the word "of", beside "family"'


def test_at_most_five_words_are_listed():
    mats = ["green", "table", "the", "perhaps", "family", "unknown", "other"]
    found = describe(mats, [], VECTORS)
    assert found.endswith("and 2 more")


def test_a_description_does_not_depend_on_the_order_of_equals():
    assert describe(["a", "b"], [], VECTORS) == describe(["b", "a"], [], VECTORS)
