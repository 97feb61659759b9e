"""Groups of a neuron's MAPs: two meanings are two groups."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_likeness import ANOTHER_KIND, ONE_KIND, OTHERS, inputs_of, made, neuron, noise

from pipeline.identification import groups


def symmetric(count, seed, spread=2.0):
    scores = spread * np.random.default_rng(seed).normal(size=(count, count))
    scores = np.triu(scores, 1)
    return scores + scores.T


def mean_between(scores, one, other):
    return float(np.mean([scores[i, j] for i in one for j in other]))


def mean_within(scores, own):
    return float(np.mean([scores[i, j] for i in own for j in own if i < j]))


def slow_nodes(scores):
    """Join the two parts of the highest mean score until one is left: each node with the mean score of its
    two parts."""
    parts, nodes = [[i] for i in range(len(scores))], []
    while len(parts) > 1:
        mean, a, b = max(
            (mean_between(scores, one, other), i, j)
            for i, one in enumerate(parts)
            for j, other in enumerate(parts[:i])
        )
        parts[b] = sorted(parts[b] + parts.pop(a))
        nodes.append((tuple(parts[b]), mean))
    return nodes


SCORES = st.builds(symmetric, st.integers(2, 12), st.integers(0, 10**6), st.sampled_from([0.1, 1.0, 5.0]))


@given(SCORES)
@settings(deadline=None, max_examples=60)
def test_a_tree_joins_what_is_most_alike_on_the_mean_over_pairs(scores):
    tree = groups.Tree(scores)
    nodes = slow_nodes(scores)
    assert [tuple(np.flatnonzero(own).tolist()) for own in tree.members] == [own for own, _ in nodes]
    assert tree.between == pytest.approx([mean for _, mean in nodes], abs=1e-6)
    assert tree.within == pytest.approx([mean_within(scores, own) for own, _ in nodes], abs=1e-6)
    assert tree.sizes.tolist() == [len(own) for own, _ in nodes]


@given(SCORES)
@settings(deadline=None, max_examples=60)
def test_contrasts_are_those_of_pairs_within_and_between(scores):
    tree = groups.Tree(scores)
    k = len(scores)
    found = groups.contrasts(tree, scores, np.full(k, 1 / k))
    nodes = [np.flatnonzero(own).tolist() for own in tree.members]
    for i, one in enumerate(nodes):
        for j, other in enumerate(nodes):
            if found[i, j] == -np.inf:
                continue
            assert not set(one) & set(other)
            own = [scores[a, b] for part in (one, other) for a in part for b in part if a < b]
            between = [scores[a, b] for a in one for b in other]
            error = np.sqrt(1 / len(own) + 1 / len(between))
            assert found[i, j] == pytest.approx((np.mean(own) - np.mean(between)) / error, abs=1e-5)


@given(SCORES)
@settings(deadline=None, max_examples=60)
def test_groups_have_no_unit_in_common(scores):
    tree = groups.Tree(scores)
    contrast = groups.contrasts(tree, scores, np.full(len(scores), 1 / len(scores)))
    for chosen in (groups.together(tree), groups.separate(contrast)):
        assert (tree.members[chosen].sum(0) <= 1).all()


def blocks(*sizes, within=3.0, between=0.0):
    """Scores of units of several things."""
    label = np.repeat(np.arange(len(sizes)), sizes)
    scores = np.where(label[:, None] == label, within, between)
    np.fill_diagonal(scores, 0)
    return scores


def separated(scores, weights=None):
    k = len(scores)
    tree = groups.Tree(scores)
    weights = np.full(k, 1 / k) if weights is None else np.array(weights)
    chosen = groups.separate(groups.contrasts(tree, scores, weights))
    return sorted(np.flatnonzero(tree.members[node]).tolist() for node in chosen)


def test_things_that_are_alike_only_within_are_apart():
    assert separated(blocks(4, 4)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert separated(blocks(3, 4, 5)) == [[0, 1, 2], [3, 4, 5, 6], [7, 8, 9, 10, 11]]


def test_one_thing_is_not_apart_from_itself():
    assert separated(blocks(8)) == []
    assert separated(blocks(8, within=0.1)) == []


def test_things_that_are_alike_to_each_other_too_are_not_apart():
    assert separated(blocks(4, 4, between=2.1)) == []


def test_a_unit_that_was_joined_early_goes_to_the_group_it_is_most_alike_to():
    parts = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1]], bool)  # the third is with the others
    settled = groups.settled(parts, blocks(3, 3))
    assert [np.flatnonzero(part).tolist() for part in settled] == [[0, 1, 2], [3, 4, 5]]


def test_a_unit_that_is_alike_to_no_group_is_in_none():
    parts = np.array([[1, 1, 0, 0, 1], [0, 0, 1, 1, 0]], bool)
    settled = groups.settled(parts, blocks(2, 2, 1))
    assert [np.flatnonzero(part).tolist() for part in settled] == [[0, 1], [2, 3]]


def between_two(one, other):
    """Scores of two groups of three and two, and one more unit, that is so alike to either."""
    scores = blocks(3, 2, 1)
    scores[5, :3] = scores[:3, 5] = one
    scores[5, 3:5] = scores[3:5, 5] = other
    return scores


@pytest.mark.parametrize(
    ("one", "other", "goes"),  # of three and two units: a standard error is the root of 1/3 + 1/2, 0.91
    [
        (2.0, 1.0, 0),
        (2.0, 1.2, None),
        (1.2, 2.0, None),
        (1.2, 2.2, 1),
        (2.0, 2.0, None),
        (0.9, -0.5, "none"),
    ],
)
@pytest.mark.parametrize("was", [0, 1, "none"])
def test_a_unit_moves_only_to_a_group_that_is_clearly_better(one, other, goes, was):
    parts = np.zeros((2, 6), bool)
    parts[0, :3] = parts[1, 3:5] = True
    if was != "none":
        parts[was, 5] = True
    settled = groups.settled(parts, between_two(one, other))
    goes = was if goes is None else goes
    assert settled[:, 5].tolist() == [goes == 0, goes == 1]
    assert (settled[:, :5] == parts[:, :5]).all()


@given(SCORES, st.integers(0, 10**6))
@settings(deadline=None, max_examples=60)
def test_one_round_of_settling_is_that_of_units_one_by_one(scores, seed):
    k = len(scores)
    label = np.random.default_rng(seed).integers(-1, 2, k)  # -1 is none
    parts = label == np.arange(2)[:, None]
    expected = parts.copy()
    for unit in range(k):
        own = [[j for j in range(k) if label[j] == group and j != unit] for group in range(2)]
        alike = [mean_between(scores, [unit], part) if part else 0.0 for part in own]
        error = np.sqrt(sum(1 / max(1, len(part)) for part in own))
        if abs(alike[0] - alike[1]) >= error:
            expected[:, unit] = np.arange(2) == np.argmax(alike)
        expected[:, unit] &= np.array(alike) >= 1.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "_ROUNDS", 1)
        found = groups.settled(parts, scores)
    assert (found == (expected if (expected.sum(1) >= 2).all() else parts)).all()


def test_groups_stay_as_they_were_where_one_would_lose_all_but_one():
    parts = np.array([[1, 1, 0, 0], [0, 0, 1, 1]], bool)
    assert (groups.settled(parts, blocks(3, 1)) == parts).all()
    assert groups.settled(np.zeros((0, 4), bool), blocks(2, 2)).shape == (0, 4)


def test_units_that_are_alike_on_the_whole_be_it_hardly_are_what_shows_a_set():
    tree = groups.Tree(blocks(4, 1, within=1.1))
    [node] = groups.hardly(tree)
    assert np.flatnonzero(tree.members[node]).tolist() == [0, 1, 2, 3]
    assert groups.hardly(groups.Tree(blocks(4, within=0.9))) == []
    many = groups.Tree(blocks(8, within=1.1))
    assert many.sizes[groups.hardly(many)].tolist() <= [5]


def test_what_has_little_of_the_activation_is_no_thing_of_its_own():
    assert separated(blocks(4, 4), [0.24] * 4 + [0.01] * 4) == []


def test_what_is_alike_down_to_the_least_score_is_together():
    tree = groups.Tree(blocks(3, 2, between=0.8))
    found = [np.flatnonzero(tree.members[node]).tolist() for node in groups.together(tree)]
    assert sorted(found) == [[0, 1, 2], [3, 4]]
    assert len(groups.together(groups.Tree(blocks(3, 2, between=1.1)))) == 1
    assert groups.together(groups.Tree(blocks(1, 1, 1))) == []


class Independent:
    """Scores of pairs that are drawn one by one."""

    def points(self, count, draw, *, even=False):
        return draw.integers(0, 2**31, count)

    def drawn_scores(self, points):
        return np.array([symmetric(20, int(point), 1.0)[np.triu_indices(20, 1)] for point in points])


@pytest.fixture(scope="module")
def null():
    return groups.GroupNull(Independent(), np.random.default_rng(0), "chance")


def best_of(scores, size):
    tree = groups.Tree(scores)
    return max(within for within, own in zip(tree.within, tree.sizes, strict=True) if own >= size)


@pytest.mark.parametrize(("k", "size"), [(2, 2), (6, 3), (12, 5), (20, 2)])
def test_p_of_the_best_group_of_what_is_drawn_is_uniform(null, k, size):
    drawn = [symmetric(k, seed, 1.0) for seed in range(300)]
    p = np.array([null.p(k, size, best_of(scores, size)) for scores in drawn])
    assert ((p > 0) & (p <= 1)).all()
    assert np.mean(p <= 0.05) <= 0.1
    assert 0.4 <= np.mean(p <= 0.5) <= 0.6


def test_p_falls_with_likeness_and_with_size_and_is_above_0(null):
    p = [null.p(10, 4, within) for within in (-9.0, 0.5, 1.0, 2.0, 99.0)]
    assert p == sorted(p, reverse=True)
    assert (p[0], p[-1]) == (1, pytest.approx(1 / 1001))
    sizes = [null.p(10, size, 1.0) for size in range(2, 11)]
    assert sizes == sorted(sizes, reverse=True)


TWO, ONE, AMONG, BY_PHRASES, BOTH, COPIED, REPEATED = range(100, 107)


@pytest.fixture(scope="module")
def found():
    """Groups of a layer, by neuron: of random words all but these."""
    given = [
        neuron(TWO, [name for pair in zip(ONE_KIND[:4], ANOTHER_KIND[:4], strict=True) for name in pair]),
        neuron(ONE, ONE_KIND[:8]),
        neuron(AMONG, [*ONE_KIND[:4], *OTHERS[:4]], activations=[3.0] * 4 + [1.0] * 4),
        neuron(BY_PHRASES, OTHERS[10:18], around=ANOTHER_KIND),
        neuron(BOTH, ONE_KIND[8:16], around=ANOTHER_KIND),
        neuron(COPIED, ONE_KIND[4:12], duplicates=(1, 6)),
        neuron(REPEATED, [ONE_KIND[0]] * 8),
    ]
    rows = made(groups.STAGE, inputs_of([*noise(range(25)), *given]))
    own = {row["neuron"]: [] for row in rows}
    for row in rows:
        own[row["neuron"]].append(row)
    return own


def test_two_sets_of_words_are_two_clean_groups_the_strongest_first(found):
    first, second = found[TWO]
    assert (first["number"], first["ranks"]) == (0, [0, 2, 4, 6])
    assert (second["number"], second["ranks"]) == (1, [1, 3, 5, 7])
    assert (first["n_maps"], first["n_units"], first["by"]) == (4, 4, "words")
    assert first["mats"] == ONE_KIND[:4]
    assert first["clean"] and second["clean"]
    assert first["coverage"] + second["coverage"] == pytest.approx(1)


def test_one_set_of_words_is_one_clean_group(found):
    [row] = found[ONE]
    assert (row["ranks"], row["clean"], row["by"]) == (list(range(8)), True, "words")
    assert (row["coverage"], row["p"]) == (pytest.approx(1), pytest.approx(1 / 1001))


def test_a_set_among_other_words_is_a_clean_group_with_its_share_of_the_activation(found):
    row = found[AMONG][0]
    assert set(row["ranks"]) >= {0, 1, 2, 3}
    assert row["n_maps"] <= 5
    assert row["clean"] and row["p"] <= 0.05
    assert row["coverage"] == pytest.approx(0.75 if row["n_maps"] == 4 else 13 / 16)


def test_groups_are_of_phrases_only_where_words_give_no_clean_one(found):
    row = found[BY_PHRASES][0]
    assert (row["by"], row["clean"]) == ("phrases", True)
    assert {row["by"] for row in found[BOTH]} == {"words"}


def test_near_duplicates_are_in_no_group(found):
    [row] = found[COPIED]
    assert row["ranks"] == [0, 2, 3, 4, 5, 7]
    assert row["coverage"] == pytest.approx(1)


def test_a_word_that_is_repeated_is_no_group(found):
    assert not any(row["by"] == "words" for row in found.get(REPEATED, []))


def test_random_words_seldom_have_a_clean_group(found):
    clean = [any(row["clean"] for row in found.get(number, [])) for number in range(25)]
    assert np.mean(clean) <= 0.3


def test_groups_are_numbered_by_coverage_and_have_no_map_in_common(found):
    for own in found.values():
        assert [row["number"] for row in own] == list(range(len(own)))
        coverage = [row["coverage"] for row in own]
        assert coverage == sorted(coverage, reverse=True)
        ranks = [rank for row in own for rank in row["ranks"]]
        assert len(ranks) == len(set(ranks))
        assert all(0 < row["p"] <= 1 and row["n_units"] >= 2 for row in own)


def test_a_layer_of_few_neurons_has_no_groups():
    assert made(groups.STAGE, inputs_of(noise(range(19)))) == []


def test_nothing_gives_nothing():
    assert made(groups.STAGE, inputs_of([])) == []
