"""Units of a neuron's MATs: what counts once."""

import pytest
from conftest import rows
from hypothesis import given
from hypothesis import strategies as st

from pipeline.identification import mats
from pipeline.identification.mats import Mat

BOILERPLATE = ("all", "rights", "reserved", "by", "owner")


def mat(rank, word, *, token=None, context=(), activation=1.0):
    return Mat(rank, word if token is None else token, word, tuple(context), activation)


def ranks_of(given):
    return [mats.ranks(list(unit.mats)) for unit in mats.units(given)]


def words_of(given):
    return [unit.word for unit in mats.units(given)]


def test_a_word_that_is_repeated_is_one_unit():
    given = [mat(0, "red"), mat(1, "blue"), mat(2, "red"), mat(3, "red")]
    assert ranks_of(given) == [[0, 2, 3], [1]]
    assert words_of(given) == ["red", "blue"]


def test_words_that_are_spelled_alike_are_one_unit():
    given = [mat(0, "hammer"), mat(1, "hammered"), mat(2, "wrench"), mat(3, "sledgehammer")]
    assert ranks_of(given) == [[0, 1, 3], [2]]


def test_what_is_alike_through_a_third_word_is_one_unit_whatever_comes_first():
    chain = [mat(0, "drainage"), mat(1, "trains"), mat(2, "rain")]
    assert ranks_of(chain) == [[0, 1, 2]]
    assert ranks_of(chain[:2]) == [[0], [1]]


def test_one_token_in_several_words_is_one_unit_that_is_called_as_the_token():
    given = [
        mat(0, "figwort", token="fig", activation=3.0),
        mat(1, "figment", token="fig"),
        mat(2, "fig", token="fig"),
    ]
    [unit] = mats.units(given)
    assert (unit.word, unit.activation, len(unit.mats)) == ("fig", pytest.approx(5), 3)


def test_without_a_word_that_its_tokens_spell_a_unit_is_called_as_the_word_that_activates_most():
    given = [
        mat(0, "figwort", token="fig", activation=3.0),
        mat(1, "figment", token="fig", activation=2.0),
        mat(2, "figment", token="fig", activation=2.0),
    ]
    assert words_of(given) == ["figment"]


def test_of_words_that_activate_as_much_the_last_by_name_stands_for_a_unit():
    given = [mat(0, "aback", token="x"), mat(1, "zebra", token="x")]
    assert words_of(given) == words_of(given[::-1]) == ["zebra"]


def test_a_piece_of_several_words_stands_for_none_of_them():
    words = ["figwort", "configure", "effigy"]
    assert words_of([mat(n, word, token="fig") for n, word in enumerate(words)]) == [None]
    assert words_of([mat(n, word, token="paint") for n, word in enumerate(["painter", "painted"])])[0]


def test_a_word_that_is_read_in_a_longer_one_stands_for_no_unit():
    assert words_of([Mat(0, "ar", "ar", (), 1.0, is_whole=False), mat(1, "red")]) == [None, "red"]
    read = [
        dict(rank=0, word="ar", whole_word="arkansas"),
        dict(rank=1, word="physicist", whole_word="physicists"),
        dict(rank=2, word="red", whole_word="red"),
    ]
    table = rows("mat_words", *(dict(duplicate=False, token="a", activation=1.0) | row for row in read))
    [found] = mats.mats_of(table, rows("words")).values()
    assert [each.is_whole for each in found] == [False, True, True]


def test_mats_that_are_part_of_no_word_are_units_without_one():
    given = [mat(0, None, token=","), mat(1, None, token=";"), mat(2, None, token=",")]
    assert ranks_of(given) == [[0, 2], [1]]
    assert words_of(given) == [None, None]


def test_boilerplate_in_which_the_mat_moves_counts_once():
    given = [
        mat(n, word, context=[other for other in BOILERPLATE if other != word])
        for n, word in enumerate(BOILERPLATE)
    ]
    assert ranks_of(given) == [[0, 1, 2, 3, 4]]


def test_contexts_are_of_one_text_from_three_fifths_of_common_words_on():
    common = ["a", "b", "c"]
    assert ranks_of([mat(0, "red", context=[*common, "d"]), mat(1, "blue", context=[*common, "e"])]) == [
        [0, 1]
    ]
    apart = [*common, "d", "f"], [*common, "e"]  # 3 of 6 words
    assert ranks_of([mat(0, "red", context=apart[0]), mat(1, "blue", context=apart[1])]) == [[0], [1]]


def test_equal_contexts_of_fewer_than_four_words_are_not_of_one_text():
    given = [mat(0, "red", context=["a", "b", "c"]), mat(1, "blue", context=["a", "b", "c"])]
    assert ranks_of(given) == [[0], [1]]


def test_the_unit_with_the_strongest_mat_is_first():
    given = [mat(0, "red", activation=5.0), *(mat(rank, "blue", activation=4.0) for rank in (1, 2))]
    assert words_of(given) == ["red", "blue"]


def test_coverage_is_the_share_of_the_activation():
    given = [mat(0, "red", activation=3.0), mat(1, "blue", activation=1.0)]
    assert mats.coverage(given[:1], given) == pytest.approx(0.75)
    assert mats.coverage(given, given) == 1
    assert mats.coverage([], given) == 0


def test_where_nothing_is_active_coverage_is_the_share_of_the_mats():
    given = [mat(rank, "red", activation=0.0) for rank in range(4)]
    assert mats.coverage(given[:1], given) == pytest.approx(0.25)
    assert mats.coverage([], []) == 0


def test_mats_are_those_of_distinct_maps_with_the_other_words_in_order():
    mat_words = rows(
        "mat_words",
        dict(rank=0, duplicate=False, token="fig", word="fig", activation=2.0),
        dict(rank=1, duplicate=True, token="fig", word="fig", activation=1.0),
        dict(neuron=1, rank=0, duplicate=False, token=",", word=None, activation=0.0),
    )
    usual = dict(rank=0, blank=" ", first_token=0, end_token=1, replaceable=True, upto_mat=True)
    words = rows(
        "words",
        *(
            usual | dict(word_index=index, text=text, word=text, is_mat=text == "fig")
            for index, text in ((2, "falls"), (1, "fig"), (0, "the"))
        ),
    )
    assert mats.mats_of(mat_words, words) == {
        ("m", 0, "positive", 0): [Mat(0, "fig", "fig", ("the", "falls"), 2.0)],
        ("m", 0, "positive", 1): [Mat(0, ",", None, (), 0.0)],
    }


def test_layers_come_one_by_one_in_order():
    usual = dict(rank=0, duplicate=False, token="a", word="a", activation=1.0)
    table = rows("mat_words", *(usual | dict(layer=layer, neuron=n) for layer in (3, 1) for n in (0, 1)))
    parts = [
        set(zip(p["layer"].to_pylist(), p["neuron"].to_pylist(), strict=True)) for p in mats.by_layer(table)
    ]
    assert parts == [{(1, 0), (1, 1)}, {(3, 0), (3, 1)}]
    assert list(mats.by_layer(table.slice(0, 0))) == []


NAMES = st.one_of(st.none(), st.text("abé ", max_size=6), st.sampled_from(["hammer", "hammered", "fig"]))
ODD = st.lists(
    st.builds(
        mat,
        st.just(0),
        NAMES,
        token=st.one_of(st.text(max_size=2), st.sampled_from(["fig", ",", "\n", ""])),
        context=st.lists(st.sampled_from("abcdef"), max_size=6),
        activation=st.floats(0, 10),
    ),
    max_size=12,
).map(lambda found: [Mat(n, m.token, m.word, m.context, m.activation) for n, m in enumerate(found)])


@given(ODD)
def test_every_mat_is_in_one_unit_and_those_of_a_unit_are_in_order(given):
    found = ranks_of(given)
    assert sorted(rank for own in found for rank in own) == list(range(len(given)))
    assert [own[0] for own in found] == sorted(own[0] for own in found)
    for unit in mats.units(given):
        assert [m.rank for m in unit.mats] == mats.ranks(list(unit.mats))
        words = {m.word for m in unit.mats} - {None}
        assert unit.word in words | {None}
        assert unit.word is not None or len(words) != 1 or any(m.word is None for m in unit.mats)


@given(ODD, st.randoms())
def test_which_mats_are_a_unit_does_not_depend_on_their_order(given, random):
    shuffled = random.sample(given, len(given))
    assert {frozenset(own) for own in ranks_of(shuffled)} == {frozenset(own) for own in ranks_of(given)}


@given(ODD)
def test_mats_of_two_units_share_no_token_and_no_word(given):
    found = mats.units(given)
    tokens = [{m.token for m in unit.mats} for unit in found]
    words = [{m.word for m in unit.mats} - {None} for unit in found]
    for i in range(len(found)):
        for j in range(i):
            assert not tokens[i] & tokens[j]
            assert not words[i] & words[j]
