import random

import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors
from gensim.models.fasttext import save_facebook_model
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.language import fasttext
from pipeline.language.word_vectors import SMALL, nearest

TEXTS = ["the red fox sees the green fox\nthe blue fox sleeps", "the green dog runs"] * 20


@pytest.fixture(scope="module")
def trained():
    return fasttext.train(TEXTS, seed=3)


def test_training_is_deterministic(trained):
    again = fasttext.train(iter(TEXTS), seed=3)
    assert again.words == trained.words
    assert np.array_equal(again.matrix, trained.matrix)


def test_words_come_by_falling_frequency_with_unit_vectors(trained):
    assert trained.words[0] == "the"
    assert np.all(np.diff(trained.frequencies) <= 0)
    assert trained.frequencies.sum() == pytest.approx(1)
    assert np.allclose(np.linalg.norm(trained.matrix, axis=1), 1, atol=1e-6)


def test_too_little_text_is_refused_with_the_way_out():
    with pytest.raises(UserError, match="too little text"):
        fasttext.train(["one two"], seed=0)


@given(st.integers(2, 1500), st.integers(1, 8), st.integers(0, 2**32), st.booleans())
@settings(max_examples=60, deadline=None)
def test_nearest_equals_a_full_sort_ties_included(count, wanted, seed, large):
    draw = np.random.default_rng(seed)
    matrix = draw.integers(-9, 10, (count, 3)).astype(np.float32)  # exact, with some ties
    queries = draw.integers(0, count, 5)
    near, cosines = nearest(matrix, queries, wanted, small=0 if large else SMALL)
    for query, row, scores in zip(queries, near, cosines, strict=True):
        exact = matrix @ matrix[query]
        by_score = np.lexsort((np.arange(count), -exact))  # ties by number
        assert list(row) == list(by_score[by_score != query][:wanted])
        assert np.allclose(scores, exact[row])


def test_nearest_equals_gensims_most_similar(trained):
    keyed = KeyedVectors(trained.matrix.shape[1])
    keyed.add_vectors(trained.words, trained.matrix)
    near, _ = nearest(trained.matrix, np.arange(len(trained.words)), 3)
    for word, row in zip(trained.words, near, strict=True):
        expected = [name for name, _ in keyed.most_similar(word, topn=3)]
        assert [trained.words[i] for i in row] == expected


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    sentences = [line.split() for text in TEXTS for line in text.splitlines()]
    sentences += [["Red", "The"]] * 30
    model = FastText(sentences, vector_size=8, min_count=1, workers=1, bucket=100, epochs=1)
    model.wv.save_word2vec_format(str(folder / "words.vec"))
    model.wv.save_word2vec_format(str(folder / "words.bin"), binary=True)
    save_facebook_model(model, str(folder / "facebook.bin"))
    return folder, model.wv


@pytest.mark.parametrize("file", ["words.vec", "words.bin", "facebook.bin"])
def test_published_vectors_are_read_in_every_form(published, file):
    folder, keyed = published
    found = fasttext.load(folder / file)
    assert set(found.words) == {word.lower() for word in keyed.index_to_key}
    own = keyed["fox"] / np.linalg.norm(keyed["fox"])
    assert np.allclose(found.matrix[found.words.index("fox")], own, atol=1e-5)
    assert np.all(np.diff(found.frequencies) <= 0)
    assert found.frequencies.sum() == pytest.approx(1)


def test_counts_of_a_facebook_file_give_the_frequencies(published):
    folder, keyed = published
    found = fasttext.load(folder / "facebook.bin")
    total = sum(keyed.get_vecattr(word, "count") for word in keyed.index_to_key)
    fox = keyed.get_vecattr("fox", "count") / total
    assert found.frequencies[found.words.index("fox")] == pytest.approx(fox)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("prose.vec", b"this is not a vectors file\n" * 5),
        ("prose.txt", b""),
        ("noise.bin", bytes(range(256)) * 40),
        ("cut.bin", b"3 8\nfox abc"),
        ("cut2.bin", b"\xba\x16\x4f\x2f\x0c\x00"),
        ("empty.vec", b"0 8\n"),
        ("vectors.pkl", b"\x80\x04\x95"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="FASTTEXT"):
        fasttext.load(tmp_path / name)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("dog", "dogs", True),
        ("green", "greenish", True),
        ("runs", "running", True),
        ("function", "myfunction", True),
        ("dog", "poodle", False),
        ("three", "two", False),
    ],
)
def test_inflections_contain_the_word_or_share_its_stem(one, other, expected):
    assert fasttext.inflection(one, other) is expected


def test_words_of_what_is_written_without_blanks_are_found_by_how_often_they_stand_together():
    """Two words of two characters each, two of Thai and one of Katakana, in any order."""
    draw = random.Random(0)
    names = ["中国", "老师", "ประเทศ", "สวัสดี", "コーヒー", "我", "去"]
    texts = ["".join(draw.sample(names, 7)) + "。red fox" for _ in range(400)]
    found = fasttext.train(texts, 0)
    assert set(found.words) == {*names, "red", "fox"}
    again = fasttext.train(texts, 0)
    assert again.words == found.words and np.array_equal(again.matrix, found.matrix)
