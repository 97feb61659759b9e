"""Which token, word or spelling stands out among what a neuron responds to."""

import numpy as np
import pyarrow as pa
import pytest
from conftest import rows
from given import Given

from pipeline import tables
from pipeline.config import Config
from pipeline.identification import dominance
from pipeline.identification.mats import Mat

N_TYPES, N_TEXTS, LENGTH = 200, 8, 60


def tail_ps(draw_responses, count=1000, n=500):
    """The p of the highest of `n` responses beside the others, `count` times."""
    found = []
    for seed in range(count):
        responses = np.sort(draw_responses(np.random.default_rng(seed), n))
        others = responses[:-1]
        shape = dominance.tail_shape(draw_responses(np.random.default_rng([seed, 1]), 20_000))
        found.append(dominance.tail_p(responses[-1], others, n, shape))
    return np.array(found)


@pytest.mark.parametrize(
    ("draw", "shape"),
    [
        (lambda rng, n: rng.exponential(2.0, n) + 5, 1.0),
        (lambda rng, n: 3 * rng.normal(size=n) - 2, 1.23),
        (lambda rng, n: rng.exponential(1.0, n) ** 2, 0.74),
    ],
    ids=["exponential", "normal", "heavy"],
)
def test_the_shape_is_that_of_the_tail(draw, shape):
    assert dominance.tail_shape(draw(np.random.default_rng(0), 200_000)) == pytest.approx(shape, abs=0.05)


def test_a_tail_whose_quantiles_are_equal_has_no_shape_and_no_token_stands_out():
    flat = np.zeros(100)
    assert dominance.tail_shape(flat) is None
    assert dominance.tail_p(5.0, flat, 100, 1.0) == 1


@pytest.mark.parametrize(
    "draw",
    [lambda rng, n: rng.exponential(2.0, n) + 5, lambda rng, n: rng.normal(size=n)],
    ids=["exponential", "normal"],
)
def test_p_of_the_highest_of_many_draws_is_uniform(draw):
    p = tail_ps(draw, count=300)
    assert np.mean(p <= 0.05) <= 0.1
    assert 0.38 <= np.mean(p <= 0.5) <= 0.62


def test_p_falls_with_the_response_and_rises_with_the_number_of_types():
    others = np.random.default_rng(0).exponential(size=1000)
    responses = [0.0, 3.0, 6.0, 9.0, 12.0, 30.0]
    p = [dominance.tail_p(value, others, 1000, 1.0) for value in responses]
    assert p == sorted(p, reverse=True)
    assert p[0] == 1 and 0 < p[-1] < 1e-6
    assert dominance.tail_p(9.0, others, 10_000, 1.0) > p[3]


def texts_of(*given):
    """Texts of (tokens, activations, text_start)."""
    return pa.table(
        {
            "tokens": pa.array([tokens for tokens, _, _ in given], pa.list_(pa.string())),
            "activations": pa.array([values for _, values, _ in given], pa.list_(pa.float32())),
            "text_start": pa.array([start for _, _, start in given], pa.int32()),
        }
    )


def means(*given):
    responses = dominance.Responses(texts_of(*given))
    return dict(zip(responses.names, responses.means.tolist(), strict=True))


def test_responses_are_means_over_all_places_of_a_token_in_any_case():
    found = means(([" Fig", "a", "fig"], [3.0, 1.0, 1.0], 0), ([" fig", "b"], [2.0, -1.0], 0))
    assert found == pytest.approx({"fig": 2.0, "a": 1.0, "b": -1.0})


def test_a_bos_and_what_is_no_number_do_not_count():
    found = means(
        (["bos", "a", "b"], [99.0, 1.0, float("nan")], 1),
        (["a", "b", "c"], [3.0, 4.0, None], 0),
        (["bos", "bos"], [50.0, 2.0], 1),
    )
    assert found == pytest.approx({"a": 2.0, "b": 4.0, "bos": 2.0, "c": -np.inf})


def test_what_comes_after_a_token_responds_for_it():
    texts = texts_of((["bos", " Of", "a", "of", "b"], [9.0, 8.0, 1.0, 2.0, 3.0], 1), (["of"], [5.0], 0))
    responses = dominance.Responses(texts, after=True)
    found = dict(zip(responses.names, responses.means.tolist(), strict=True))
    assert found == pytest.approx({"a": 2.0, "b": -np.inf, "bos": -np.inf, "of": 2.0})


def test_a_token_of_blanks_is_itself():
    assert means(([" ", "\n", "a"], [1.0, 2.0, 3.0], 0)) == {" ": 1.0, "\n": 2.0, "a": 3.0}


def test_the_response_to_a_token_stands_beside_those_to_all_others():
    tokens = [f"t{n}" for n in range(140)]
    responses = dominance.Responses(texts_of((tokens, list(range(140)), 0), (["t5", "x"], [7.0, None], 0)))
    response, others = responses.apart("t5")
    assert response == 6
    assert sorted(others) == [float(n) for n in range(140) if n != 5]
    assert responses.apart("unknown") is None


def test_texts_of_few_tokens_tell_nothing():
    tokens = [f"t{n}" for n in range(100)]
    assert dominance.Responses(texts_of((tokens, [1.0] * 100, 0))).apart("t5") is None
    assert dominance.Responses(texts_of(([*tokens, "u"], [1.0] * 101, 0))).apart("t5") is not None


def neuron(number, respond, words=lambda token: token.strip(), layer=0):
    """The rows of `mat_words` and `samples` of a neuron: `respond` gives the activation at a token by its
    text, its place and a source of random numbers. Tokens are t000 to t199; one in five is " fig"."""
    rng = np.random.default_rng([layer, number])
    key = dict(layer=layer, neuron=number)
    samples = []
    for _ in range(N_TEXTS):
        tokens = [f" t{n:03}" for n in rng.integers(0, N_TYPES, LENGTH)]
        for place in rng.choice(LENGTH, LENGTH // 5, replace=False):
            tokens[place] = " fig"
        values = [float(respond(token, place, rng)) for place, token in enumerate(tokens)]
        mat = int(np.argmax(values))
        samples.append((max(values), tokens, values, mat))
    mats, texts = [], []
    for rank, (peak, tokens, values, mat) in enumerate(sorted(samples, reverse=True)):
        token = tokens[mat].strip()
        own = key | dict(rank=rank)
        word = words(token)
        mats.append(
            own | dict(duplicate=False, token=token, word=word, whole_word=word, activation=max(peak, 0))
        )
        texts.append(
            own
            | dict(tokens=tokens, activations=values, text_start=0, mat_index=mat, max_activation=peak)
            | dict(source="scan")
        )
    return mats, texts


def noise(token, place, rng):
    return rng.exponential()


def dominant(*neurons):
    neurons = sorted(neurons, key=lambda own: (own[0][0]["layer"], own[0][0]["neuron"]))
    inputs = Given(
        dict(
            mat_words=rows("mat_words", *(row for mats, _ in neurons for row in mats)),
            words=rows("words"),
            samples=rows("samples", *(row for _, texts in neurons for row in texts)),
        )
    )
    stage = dominance.STAGE
    work = stage.worker(inputs, Config())
    parts = [work(shard) for shard in stage.shards(inputs, Config())]
    whole = pa.concat_tables([tables.empty("dominance"), *parts])
    assert list(tables.TABLES["dominance"].in_order([whole])) == [whole]
    return {(row["layer"], row["neuron"], row["test"]): row for row in whole.to_pylist()}


NOISE = [neuron(n, noise) for n in range(30)]
STANDS_OUT = neuron(50, lambda token, place, rng: noise(token, place, rng) + 12 * (token == " fig"))


def test_a_token_that_stands_out_has_a_small_p_as_token_and_as_word():
    found = dominant(*NOISE, STANDS_OUT)
    for test in ("token", "word"):
        row = found[0, 50, test]
        assert (row["thing"], row["coverage"], row["ranks"]) == (
            "fig",
            pytest.approx(1),
            list(range(N_TEXTS)),
        )
        assert row["p"] < 1e-3


def test_a_position_at_which_one_token_is_most_frequent_is_no_token():
    def at_the_end(token, place, rng):
        return noise(token, place, rng) + 20 * (place == 30) + 0.1 * (token == " fig")

    mats, texts = neuron(51, at_the_end)
    for row in texts:
        row["tokens"][30] = " fig"
    mats = [row | dict(token="fig", word="fig") for row in mats]
    row = dominant(*NOISE, (mats, texts))[0, 51, "token"]
    assert (row["thing"], row["coverage"]) == ("fig", pytest.approx(1))
    assert row["p"] > 0.5


def test_a_neuron_that_is_always_on_has_no_token():
    mats, texts = neuron(52, lambda token, place, rng: 50 + noise(token, place, rng))
    mats = [row | dict(token="fig", word="fig") for row in mats]
    assert dominant(*NOISE, (mats, texts))[0, 52, "token"]["p"] > 0.5


def test_what_neurons_of_no_meaning_respond_to_does_not_stand_out():
    many = [neuron(n, noise) for n in range(60)]
    p = [row["p"] for (_, _, test), row in dominant(*many).items() if test == "token"]
    assert len(p) > 20
    assert np.mean(np.array(p) <= 0.05) <= 0.15


def test_what_has_less_than_a_fifth_of_the_activation_has_no_row():
    mats, texts = STANDS_OUT
    mats = [row | dict(token=f"t{n}", word=f"t{n}") for n, row in enumerate(mats)]
    texts = [row | dict(mat_index=0) for row in texts]  # after no token
    assert not [key for key in dominant(*NOISE, (mats, texts)) if key[1] == 50]


PIECES = ["figment", "figwort", "configure", "effigy", "figaro", "prefigure", "figleaf", "disfigure"]


def with_words(words):
    mats, texts = STANDS_OUT
    return [row | dict(word=name, whole_word=name) for row, name in zip(mats, words, strict=True)], texts


def test_a_piece_of_several_words_is_a_spelling_with_the_p_of_its_token():
    found = dominant(*NOISE, with_words(PIECES))
    row = found[0, 50, "spelling"]
    assert (row["thing"], row["coverage"]) == ("fig", pytest.approx(1))
    assert row["p"] == pytest.approx(dominant(*NOISE, STANDS_OUT)[0, 50, "token"]["p"])
    assert (0, 50, "token") not in found


def test_a_token_that_is_a_word_by_itself_is_no_piece():
    found = dominant(*NOISE, with_words(["fig", *PIECES[1:]]))
    assert found[0, 50, "token"]["thing"] == found[0, 50, "word"]["thing"] == "fig"
    assert (0, 50, "spelling") not in found


def test_punctuation_is_a_token_and_no_word():
    mats, texts = STANDS_OUT
    for_mats = [row | dict(token=",", word=None, whole_word=None) for row in mats]
    swapped = [
        row | dict(tokens=["," if token == " fig" else token for token in row["tokens"]]) for row in texts
    ]
    found = dominant(*NOISE, (for_mats, swapped))
    assert {test for _, n, test in found if n == 50} - {"before"} == {"token"}
    assert (found[0, 50, "token"]["thing"], found[0, 50, "token"]["p"] < 1e-3) == (",", True)


def test_a_neuron_that_responds_to_whatever_comes_after_a_token_shows_it():
    mats, texts = neuron(60, noise)
    texts = [
        row
        | dict(zip(("activations", "mat_index"), after_fig(row["tokens"], row["activations"]), strict=True))
        for row in texts
    ]
    mats = [
        row | dict(token=text["tokens"][text["mat_index"]].strip())
        for row, text in zip(mats, texts, strict=True)
    ]
    found = dominant(*NOISE, (mats, texts))
    row = found[0, 60, "before"]
    assert (row["thing"], row["coverage"], len(row["ranks"])) == ("fig", 1.0, N_TEXTS)
    assert row["p"] < 1e-3
    least = min(row["p"] for (_, n, test), row in found.items() if n != 60 and test == "before")
    assert least > 1e-3


def after_fig(tokens, values):
    """Activations that are 20 higher after " fig", and the place of the highest."""
    values = [v + 20 * (i > 0 and tokens[i - 1] == " fig") for i, v in enumerate(values)]
    return values, int(np.argmax(values))


def test_layers_are_told_apart():
    other = [neuron(n, noise, layer=1) for n in range(5)]
    found = dominant(STANDS_OUT, *other)
    assert {key: row for key, row in found.items() if key[0] == 1} == dominant(*other)


def test_nothing_gives_nothing():
    assert dominant() == {}


def mat(rank, word, token=None):
    return Mat(rank, token or word, word, (), 1.0)


WORDS = [
    "table run green lamp house walk river stone cloud bread glass music paper horse plant chair",
    "winter garden silver yellow bridge castle doctor farmer hunter island jungle kitten ladder market",
]
LAYER = [[mat(0, word)] for word in " ".join(WORDS).split()]
ENDING = ["running", "singing", "jumping", "walking", "reading"]


def test_an_ending_that_words_of_different_tokens_share_is_a_spelling():
    own = [mat(rank, word) for rank, word in enumerate([*ENDING, "table"])]
    affix, p, part = dominance.Spellings([*LAYER, own]).best(own)
    assert (affix, [m.rank for m in part]) == ("-ing", [0, 1, 2, 3, 4])
    assert p < 0.05


def test_a_beginning_that_words_of_different_tokens_share_is_a_spelling():
    own = [mat(rank, word) for rank, word in enumerate(["undo", "unda", "undress", "undone"])]
    affix, p, _ = dominance.Spellings([*LAYER, own]).best(own)
    assert (affix, p < 0.05) == ("und-", True)


def test_words_of_one_token_count_once_for_a_spelling():
    own = [mat(rank, word, token="ing") for rank, word in enumerate(ENDING)]
    assert dominance.Spellings([*LAYER, own]).best(own) is None


def test_two_words_share_no_spelling():
    own = [mat(rank, word) for rank, word in enumerate([*ENDING[:2], "table", "lamp"])]
    assert dominance.Spellings([*LAYER, own]).best(own) is None


def test_an_ending_that_all_words_of_a_layer_have_is_none_of_a_neuron():
    everywhere = [[mat(0, word + "ing")] for word in " ".join(WORDS).split()]
    own = [mat(rank, word) for rank, word in enumerate(ENDING)]
    assert dominance.Spellings([*everywhere, own]).best(own)[1] == 1


def test_words_drawn_from_the_layer_seldom_share_a_spelling_beyond_chance():
    rng = np.random.default_rng(0)
    stems = ["".join(rng.choice(list("bcdfglmnprst"), 4)) for _ in range(300)]
    layer = [mat(0, stem + rng.choice(["ing", "ness", "able", "tion", "ive"])) for stem in stems]
    spellings = dominance.Spellings([[own] for own in layer])
    drawn = [rng.choice(len(layer), 10, replace=False) for _ in range(500)]
    best = [spellings.best([layer[place] for place in own]) for own in drawn]
    assert np.mean([found is not None and found[1] <= 0.05 for found in best]) <= 0.05


def test_a_spelling_of_more_maps_than_the_token_is_named_instead():
    mats, texts = STANDS_OUT
    words = [*ENDING, "dancing", "hunting", "burning"]
    given = [
        row | dict(token=token, word=word, whole_word=word)
        for row, token, word in zip(mats, ["ing"] * 3 + words[3:], words, strict=True)
    ]
    row = dominant(*NOISE, (given, texts))[0, 50, "spelling"]
    assert (row["thing"], row["ranks"]) == ("-ing", list(range(N_TEXTS)))
