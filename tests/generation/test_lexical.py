import numpy as np
import pytest

from pipeline.generation.evidence import Evidence
from pipeline.generation.lexical import describe as describe_evidence
from pipeline.language.word_vectors import Vectors

NAMES = ["the", "green", "yellow", "blue", "purple", "table", "perhaps", "family"]
COLOURS = [[1, 0.1 * i, 0] for i in range(4)]
MATRIX = np.array([[0, 1, 0], *COLOURS, [0, 0, 1], [0, -1, 0], [0, 0, -1]], np.float32)
MATRIX /= np.linalg.norm(MATRIX, axis=1, keepdims=True)
VECTORS = Vectors(NAMES, np.array([0.2, *[1e-4] * 7]), MATRIX)


def describe(words, phrases=(), mats=None):
    return describe_evidence(Evidence(mats or words, words, list(phrases), [], []), VECTORS)


@pytest.mark.parametrize(
    ("mats", "expected"),
    [
        (["of"] * 9 + ["to"], 'the word "of"'),
        (["1853", "1809", "1853"], 'numbers: "1853", "1809"'),
        ([","] * 5, 'the token ","'),
        (["south", "southern", "south"], 'words that begin with "south": "south", "southern"'),
        (["rosaceae", "fagaceae"], 'words that end in "aceae": "fagaceae", "rosaceae"'),
        (["green", "yellow", "green"], 'words like "blue": "green", "yellow"'),
        (["table", "green", "the"], '"green", "table", "the"'),
    ],
)
def test_a_description_names_what_the_mats_share(mats, expected):
    assert describe(mats) == expected


def test_a_beginning_speaks_for_words_only_if_most_of_them_have_it():
    """However often the few that have it are the MAT."""
    found = describe(["physicist"] * 6 + ["physician", "mathematician", "philologist"])
    assert "begin" not in found


def test_rare_words_beside_the_mat_in_half_of_the_phrases_are_named():
    phrases = ["the of family", "type of the family", "of a table", "of the family"]
    assert describe(["of"] * 4, phrases) == 'the word "of", beside "family"'


def test_at_most_five_words_are_listed():
    mats = ["green", "table", "the", "perhaps", "family", "unknown", "other"]
    found = describe(mats)
    assert found.endswith("and 2 more")


def test_a_description_does_not_depend_on_the_order_of_equals():
    assert describe(["a", "b"]) == describe(["b", "a"])


def test_one_piece_of_several_words_is_named_as_the_token_it_is():
    words, mats = ["beak", "bee", "beard"], [" be", " be", "be"]
    assert describe(words, mats=mats) == 'the token "be" in "beak", "beard", "bee"'
    assert describe(["of", "off"], mats=["of", "f"]) == '"of", "off"'
