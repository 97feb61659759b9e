"""How likely likeness is by chance, held against slow versions and against things that are drawn."""

import math
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.identification import chance
from pipeline.language.hypernyms import hypernyms
from pipeline.language.word_vectors import Vectors
from pipeline.resources import resource

KNOWN = """
    dog cat horse cow sheep wolf lion tiger bear mouse eagle sparrow apple pear orange plum grape lemon
    table chair desk lamp hammer wrench saw drill king queen prince duke doctor nurse lawyer teacher city
    town village river lake ocean mountain valley run walk jump swim eat drink sleep think say tell speak
    red blue green physics biology chemistry war peace love hate music song dance whisky wine beer
"""
ENGLISH = KNOWN.split()


def unknown_words(count, rng):
    """Different words without a vowel, that WordNet lacks and no two of which begin alike."""
    letters = np.array(list("bcdfghjklmnpqrstvwxz"))
    return ["".join(rng.choice(letters, 7)) for _ in range(count)]


def wordnet_words():
    """Words that WordNet's tables name, in a mixed order."""
    names = pq.read_table(resource("data/wordnet") / "words.parquet", columns=["word"])["word"].to_pylist()
    plain = sorted(name for name in names if name.isalpha() and len(name) > 3)
    return np.random.default_rng(0).permutation(plain)[:2000].tolist()


def vectors(count, *, seed=0, dimensions=30, related=0, words=None):
    """Words by falling frequency with vectors drawn at random: the rarer, the more they have in common with
    others as rare, as published ones do. The `related` last but 50 are alike for another reason."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(count, dimensions))
    band = np.searchsorted([30, 100, 300, 1000], np.arange(count), side="right")
    matrix += 0.2 * band[:, None] * rng.normal(size=(5, dimensions))[band]
    matrix[count - 50 - related : count - 50] += 2 * rng.normal(size=dimensions)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    names = words or unknown_words(count, rng)
    return Vectors(names, np.full(count, 1 / count), matrix.astype(np.float32))


def words_of(own, seed=1):
    """The scores of a layer that has all words."""
    return chance.Words(list(range(len(own.words))), own, hypernyms(), np.random.default_rng(seed))


def null_of(scores, count=2000, seed=3, even=False):
    return chance.MeanScore(scores, count, np.random.default_rng(seed), "chance", even=even)


VECTORS = vectors(1500, related=12)
RELATED = VECTORS.words[1438:1450]


@pytest.fixture(scope="module")
def layer():
    return words_of(VECTORS)


@pytest.fixture(scope="module")
def null(layer):
    return null_of(layer)


@pytest.fixture(scope="module")
def even_null(layer):
    """The null of words that are as frequent as each other."""
    return null_of(layer, even=True)


@pytest.fixture(scope="module")
def english():
    rng = np.random.default_rng(7)
    names = [*ENGLISH, *unknown_words(200 - len(ENGLISH), rng)]
    rng.shuffle(names)
    return words_of(vectors(200, words=names))


def test_the_null_of_k_words_is_their_mean_score_pair_by_pair(english):
    count = 15
    points = english.points(count, np.random.default_rng(3))
    found = null_of(english, count, seed=3).means
    for k in (2, 3, 7, 20):
        slow = [
            np.mean([english.drawn_scores(own[None, [i, j]])[0, 0] for i in range(k) for j in range(i)])
            for own in points
        ]
        assert found[k - 2] == pytest.approx(sorted(slow), abs=1e-5)


def test_drawn_words_are_scored_as_the_words_of_a_neuron(english):
    alike = np.flatnonzero(english.likeness.strata[english.drawn] == 1)  # as frequent as each other
    points = np.random.default_rng(0).permutation(alike)[:20]
    names = list(english.places)
    own = [names[english.drawn[point]] for point in points]
    pairs = np.triu_indices(20, 1)
    [drawn] = english.drawn_scores(points[None])
    assert drawn == pytest.approx(english.scores(own)[pairs], abs=1e-5)
    [matrix] = chance.as_matrices(drawn[None], 20)
    assert matrix[pairs] == pytest.approx(drawn)
    assert (matrix == matrix.T).all()


def test_the_mean_score_is_that_over_pairs():
    scores = np.array([[0, 1, 2], [1, 0, 6], [2, 6, 0]])
    assert chance.mean_score(scores) == pytest.approx(3)


def test_p_counts_the_draws_that_are_at_least_as_alike_and_is_never_0(null):
    for k in (2, 9, 20):
        draws = null.means[k - 2]
        for mean in (-9.0, 0.0, 0.3, float(draws[-1]), float(draws[100])):
            b = sum(value >= mean - 1e-6 for value in draws.tolist())
            assert null.p(k, mean) == pytest.approx((1 + b) / (1 + len(draws)))
        assert null.p(k, 99.0) == pytest.approx(1 / 2001)
        assert null.p(k, -99.0) == 1


@pytest.mark.parametrize("k", [2, 5, 12])
def test_p_of_words_that_are_as_frequent_as_each_other_is_uniform(layer, even_null, k):
    """2000 neurons."""
    rng = np.random.default_rng(11)
    strata = layer.likeness.strata
    members = [np.flatnonzero(strata == stratum) for stratum in range(strata.max() + 1)]
    own = [rng.choice(members[strata[rng.integers(len(strata))]], k, replace=False) for _ in range(2000)]
    scores = layer.likeness.scores(np.array(own))
    p = np.array([even_null.p(k, chance.mean_score(each)) for each in scores])
    assert np.mean(p <= 0.05) <= 0.065
    assert 0.4 <= np.mean(p <= 0.5) <= 0.6


@pytest.mark.parametrize("k", [2, 5, 12])
def test_p_of_words_of_any_frequency_is_not_too_small(layer, null, k):
    rng = np.random.default_rng(12)
    own = np.array([rng.choice(len(VECTORS.words), k, replace=False) for _ in range(2000)])
    p = np.array([null.p(k, chance.mean_score(each)) for each in layer.likeness.scores(own)])
    assert np.mean(p <= 0.05) <= 0.065
    assert 0.4 <= np.mean(p <= 0.5) <= 0.6


def test_evenness_is_the_share_of_pairs_of_one_stratum(layer):
    names = list(layer.places)
    strata = layer.likeness.strata
    own = [names[0], names[1], names[-1]]
    assert strata[0] == strata[1] != strata[-1]
    assert layer.evenness(own) == pytest.approx(1 / 3)
    assert layer.evenness(own[:2]) == 1


def test_rare_words_are_not_alike_merely_for_being_rare(layer):
    rare = np.random.default_rng(2).choice(np.arange(1000, 1400), (300, 8))
    assert abs(np.mean([chance.mean_score(each) for each in layer.likeness.scores(rare)])) < 0.15


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(chance._FEW, 5000), min_size=1, max_size=5), st.integers(0, 99))
def test_of_each_stratum_there_are_words_enough_to_draw_from(sizes, seed):
    strata = np.repeat(np.arange(len(sizes)), sizes)
    drawn = chance._some(strata, np.random.default_rng(seed))
    assert np.all(np.diff(drawn) > 0)
    assert min(np.bincount(strata[drawn])) >= chance._FEW >= chance.MOST_UNITS
    if len(strata) <= chance._DRAWN_WORDS:
        assert len(drawn) == len(strata)
    assert len(drawn) <= chance._DRAWN_WORDS + chance._FEW * len(sizes)


def test_a_layer_of_many_words_with_few_rare_ones_has_a_null_of_words_that_are_as_frequent():
    places = [*range(12_000), *range(150_000, 150_000 + chance._FEW)]
    own = vectors(len(places), seed=5)
    everything = SimpleNamespace(
        matrix=np.zeros((places[-1] + 1, own.matrix.shape[1]), np.float32),
        words=[""] * (places[-1] + 1),
    )
    everything.matrix[places] = own.matrix
    for place, word in zip(places, own.words, strict=True):
        everything.words[place] = word
    layer = chance.Words(places, everything, hypernyms(), np.random.default_rng(0))
    null = null_of(layer, count=600, even=True)
    assert 0 < null.p(3, 0.0) < 1


def test_p_of_words_that_wordnet_knows_is_not_too_small():
    known = [word for word in wordnet_words() if hypernyms().synsets(word)][:600]
    layer = words_of(vectors(len(known), words=known))
    null = null_of(layer, even=True)
    rng = np.random.default_rng(13)
    strata = layer.likeness.strata
    for k in (2, 6):
        p = []
        for _ in range(600):
            members = np.flatnonzero(strata == strata[rng.integers(len(strata))])
            own = [known[place] for place in rng.choice(members, k, replace=False)]
            p.append(null.p(k, chance.mean_score(layer.scores(own))))
        assert np.mean(np.array(p) <= 0.05) <= 0.065


def test_related_words_have_a_small_p(layer, null):
    for k in (3, 6, 12):
        assert null.p(k, chance.mean_score(layer.scores(RELATED[:k]))) <= 0.002


def test_scores_are_of_random_pairs_in_standard_deviations(layer):
    rng = np.random.default_rng(4)
    scores = layer.likeness.scores(rng.integers(0, len(VECTORS.words), (4000, 2)))[:, 0, 1]
    assert np.mean(scores) == pytest.approx(0, abs=0.06)
    assert np.std(scores) == pytest.approx(1, abs=0.06)
    assert np.mean(scores >= 1.645) == pytest.approx(0.05, abs=0.012)


def test_scores_are_symmetric_with_0_on_the_diagonal(english):
    scores = english.scores(ENGLISH)
    assert scores == pytest.approx(scores.T, abs=1e-5)
    assert not np.diagonal(scores).any()


def test_a_layer_is_drawn_again_alike_by_the_same_seed_only():
    own = vectors(150)
    one, other, third = (null_of(words_of(own, seed), 50, seed).means for seed in (1, 1, 2))
    assert np.array_equal(one, other)
    assert not np.array_equal(one, third)


def test_a_hundred_words_are_enough():
    own = vectors(100, related=10)
    layer = words_of(own)
    null = null_of(layer, 500)
    assert null.means.shape == (19, 500)
    assert np.isfinite(null.means).all()
    assert null.p(10, chance.mean_score(layer.scores(own.words[40:50]))) <= 0.01


@pytest.mark.parametrize("equal", [120, 119])
def test_vectors_that_are_equal_make_no_word_stand_out(equal):
    """All MAPs are of one kind, or all but one word: no number is lost."""
    own = vectors(120)
    matrix = own.matrix.copy()
    matrix[:equal] = matrix[0]
    layer = words_of(Vectors(own.words, own.frequencies, matrix))
    null = null_of(layer, 100)
    assert np.isfinite(null.means).all()
    assert null.p(5, chance.mean_score(layer.scores(own.words[:5]))) > 0.5


def strata_sizes(places):
    return np.bincount(chance.strata(places)).tolist()


def test_a_stratum_holds_words_that_are_as_frequent():
    found = chance.strata(list(range(4000)))
    assert np.flatnonzero(np.diff(found)).tolist() == [99, 299, 999, 2999]
    assert found[0] == 0 and found[-1] == 4  # the first 30 are too few


def test_a_stratum_of_few_words_is_joined_to_that_before_it():
    assert strata_sizes([*range(100, 200), *range(300, 359)]) == [159]
    assert strata_sizes([*range(100, 200), *range(300, 360)]) == [100, 60]
    assert strata_sizes([*range(100, 200), *range(3000, 3010), *range(10_000, 10_055)]) == [100, 65]


def test_a_first_stratum_of_few_words_is_joined_to_that_after_it():
    assert strata_sizes([*range(10), *range(300, 400), *range(1000, 1100)]) == [110, 100]
    assert strata_sizes([5, 200, 2000]) == [3]


@given(st.sets(st.integers(0, 200_000), min_size=60, max_size=400).map(sorted))
@settings(deadline=None, max_examples=50)
def test_strata_are_numbered_by_frequency_and_none_has_few_words(places):
    found = chance.strata(places)
    assert (np.diff(found) >= 0).all()
    assert set(found.tolist()) == set(range(found.max() + 1))
    assert min(np.bincount(found)) >= 60


def test_words_that_are_drawn_together_are_of_one_stratum_where_that_is_asked(layer):
    drawn = layer.drawn[layer.points(300, np.random.default_rng(0), even=True)]
    found = layer.likeness.strata[drawn]
    assert (found == found[:, :1]).all()
    assert drawn.shape == (300, 20)


def narrowest(one, other):
    """The information content of the narrowest synset above two words, by trying all."""
    common = hypernyms().synsets(one) & hypernyms().synsets(other)
    return max((-math.log(hypernyms().rarity(synset)) for synset in common), default=0.0)


def test_content_is_that_of_the_narrowest_synset_above_both():
    found, _ = chance.Names(ENGLISH, hypernyms()).content(ENGLISH)
    for i, one in enumerate(ENGLISH):
        for j, other in enumerate(ENGLISH[:i]):
            assert found[i, j] == found[j, i] == pytest.approx(narrowest(one, other), abs=1e-5)


def test_words_of_one_kind_score_by_name_and_unknown_ones_not_at_all():
    names = chance.Names([*ENGLISH, "xqzzt"], hypernyms())
    scores, known = names.scores(["dog", "wolf", "physics", "xqzzt"])
    assert scores[0, 1] > 1.5 > scores[0, 2]
    assert known.tolist() == [[True] * 3 + [False]] * 3 + [[False] * 4]
    assert not scores[3].any() and not scores[:, 3].any()


def test_names_of_words_that_wordnet_lacks_have_no_scores():
    names = chance.Names(["xqzzt", "bcdfg"], hypernyms())
    assert not names.scores(["xqzzt", "bcdfg"])[0].any()


def test_what_wordnet_says_counts_beside_the_vectors(english):
    own = ["dog", "wolf", "physics"]
    [[_, alike, apart], *_] = english.scores(own)
    [[_, by_vector, other], *_] = english.likeness.scores(np.array([english.places[word] for word in own]))
    assert alike > by_vector + 0.3
    assert apart < other + 0.3


def test_phrases_are_compared_in_one_stratum():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(300, 10)) + 5
    matrix[:8] += 3 * rng.normal(size=10)
    phrases = chance.Phrases(matrix, np.random.default_rng(1))
    null = null_of(phrases, 500)
    assert null.p(8, chance.mean_score(phrases.scores(np.arange(8)))) <= 0.01
    assert null.p(8, chance.mean_score(phrases.scores(np.arange(100, 108)))) > 0.05
