import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.generation import evidence, lexical
from pipeline.generation.evidence import Evidence
from pipeline.generation.lexical_rules import read, strings
from pipeline.language.closed_classes import CLASSES
from pipeline.language.hypernyms import hypernyms
from pipeline.language.word_vectors import Vectors

NAMES = ["the", "of", "green", "table", "perhaps", "family"]
VECTORS = Vectors(NAMES, np.array([0.2, 0.1, *[1e-4] * 4]), np.eye(6, dtype=np.float32))


def shown(*marked, kind="", words=None, others=(), activations=None):
    """MAPs with marked MATs that are the neuron's own, and `others` that are not."""
    maps = [*marked, *others]
    mats = [each.partition("⟦")[2].partition("⟧")[0] for each in maps]
    names = words or [mat.strip().lower() for mat in mats]
    phrases = [each.replace("⟦", "").replace("⟧", "") for each in maps]
    own = [i < len(marked) for i in range(len(maps))]
    return Evidence(mats, names, phrases, maps, [], kind, own, activations or [1.0] * len(maps))


def of(*mats):
    """A MAP for each MAT, with no word beside it."""
    return [f"-⟦ {mat}⟧ -" for mat in mats]


def describe(*marked, **more):
    return lexical.describe(shown(*marked, **more), VECTORS, hypernyms())


@pytest.mark.parametrize(
    ("mats", "expected"),
    [
        (["of"] * 9 + ["to"], 'the word "of"'),
        (["1853", "1809", "1853"], 'numbers: "1853", "1809"'),
        (["12"] * 4 + ["x"], 'the token "12"'),
        ([","] * 5, 'the token ","'),
        (["south", "southern", "south"], 'words that begin with "south": "south", "southern"'),
        (["rosaceae", "fagaceae"], 'words that end in "aceae": "fagaceae", "rosaceae"'),
        (["oak", "pine", "elm", "oak"], 'kinds of tree: "oak", "elm", "pine"'),
        (["on", "in", "under", "in"], 'prepositions: "in", "on", "under"'),
        (["hot", "cold", "chilly"], 'words for temperature: "chilly", "cold", "hot"'),
        (["quick", "fast", "rapid"], 'words like fast: "fast", "quick", "rapid"'),
        (["true", "false"], 'words like true or false: "false", "true"'),
        (["clever", "smart", "intelligent"], 'words for intelligence: "clever", "intelligent", "smart"'),
        (["good", "bad", "evil"], 'words close to good or bad: "bad", "evil", "good"'),
        (
            ["french", "german", "italian"],
            'words that relate to kinds of European country: "french", "german", "italian"',
        ),
        (["was", "is", "been"], 'forms of be: "been", "is", "was"'),
        (["eat", "drink", "swallow"], 'ways to consume: "drink", "eat", "swallow"'),
        (["table", "green", "the"], '"green", "table", "the"'),
    ],
)
def test_a_description_names_what_the_mats_share(mats, expected):
    assert describe(*of(*mats)) == expected


@pytest.mark.parametrize(
    ("kind", "mats", "expected"),
    [
        ("token", [",", ","], 'the token ","'),
        ("word", ["of", "of"], 'the word "of"'),
        ("spelling", ["unit", "untie", "under"], 'words that begin with "un": "under", "unit", "untie"'),
        ("spelling", ["leaky", "speak", "beaked"], 'words with "eak": "beaked", "leaky", "speak"'),
        ("set", ["hot", "heat", "warm", "warm"], '"warm", "heat", "hot"'),
        ("set", ["12", "7"], 'numbers: "12", "7"'),
        (
            "set",
            ["physicist", "mathematician", "astronomer"],
            'kinds of scientist: "astronomer", "mathematician", "physicist"',
        ),
        ("set", ["france", "spain", "italy"], 'kinds of European country: "france", "italy", "spain"'),
        ("set", ["not", "never", "don't"], 'words that negate: "don\'t", "never", "not"'),
        ("set", ["twenty", "three", "million"], 'number words: "million", "three", "twenty"'),
        ("set", ["hot", "hot"], 'the word "hot"'),
        ("several", ["table", "green"], '"green", "table"'),
    ],
)
def test_a_description_says_what_the_neuron_was_found_to_stand_for(kind, mats, expected):
    assert describe(*of(*mats), kind=kind, others=of("never", "nowhere")) == expected


def test_a_token_of_blanks_is_named_as_it_is():
    assert describe("a⟦ \n⟧b", "c⟦ \n⟧d") == 'the token " \\n"'
    assert covers('the token " \\n"', "a⟦ \n⟧b", "c⟦\n⟧d") == pytest.approx(1 / 2)


def test_only_words_that_hold_the_token_are_listed_with_it():
    maps = ["a⟦ sh⟧ak b", "a sh⟦ak⟧ b", "a sh⟦ak⟧ing b", "a gr⟦ime⟧ b"]
    words = ["shak", "shaking", "shak", "grime"]
    found = describe(*maps[1:3], kind="spelling", others=[maps[0], maps[3]], words=words)
    assert found == 'the token "ak" in "shak", "shaking"'
    mostly = [*[maps[1]] * 4, maps[2], maps[3]]
    assert describe(*mostly, words=["shak"] * 4 + ["shaking", "grime"]) == found


def test_one_piece_of_several_words_is_named_as_the_token_it_is():
    maps = ["-⟦ be⟧ak -", "-⟦ be⟧e -", "-⟦be⟧ard -"]
    found = describe(*maps, words=["beak", "bee", "beard"])
    assert found == 'the token "be" in "beak", "beard", "bee"'
    assert describe("-⟦ no⟧ -", "- no⟦r⟧th -", words=["no", "north"]) == '"no", "north"'


def test_a_mat_that_may_be_cut_in_every_map_is_not_called_a_word():
    assert describe("⟦ina⟧ and", "⟦ina⟧ is") == 'the token "ina"'
    assert describe("⟦ina⟧ and", " an⟦ ina⟧ is") == 'the word "ina"'


def test_a_beginning_speaks_for_words_only_if_most_of_them_have_it():
    """However often the few that have it are the MAT."""
    found = describe(*of(*["physicist"] * 6, "physician", "mathematician", "philologist"))
    assert "begin" not in found


def test_words_that_do_not_share_the_spelling_are_not_listed():
    found = describe(*of("unit", "untie", "under", "unless", "oak"), kind="spelling")
    assert found == 'words that begin with "un": "under", "unit", "unless", "untie"'


def test_a_kind_is_named_if_it_covers_nearly_all_of_the_activation():
    maps = of("oak", "pine", "elm", "hot")
    assert describe(*maps, kind="set", activations=[3, 2, 1, 1]) == 'kinds of tree: "oak", "pine", "elm"'
    assert describe(*maps, kind="set", activations=[3, 2, 1, 2]) == '"oak", "hot", "pine", "elm"'


def test_words_that_few_maps_show_are_not_listed_unless_all_are_like_that():
    assert describe(*of(*["of"] * 12, *["oak"] * 5, "hot", "she")) == '"of", "oak"'
    assert describe(*of(*["of"] * 6, *["oak"] * 1, "hot", "she")) == 'the word "of"'
    assert describe(*of("of", "oak", "hot")) == '"hot", "oak", "of"'


def test_at_most_five_words_are_listed():
    found = describe(*of("green", "table", "the", "perhaps", "family", "unknown", "other"))
    assert found.endswith("and 2 more")


def test_a_description_does_not_depend_on_the_order_of_equals():
    assert describe(*of("a", "b")) == describe(*of("b", "a"))


def test_rare_words_beside_the_mat_in_half_of_the_maps_are_named():
    maps = ["the⟦ of⟧ family.", "the type⟦ of⟧ the family.", "the⟦ of⟧ a table.", "the⟦ of⟧ the family."]
    assert describe(*maps) == 'the word "of", beside "family"'
    assert describe(maps[0]) == 'the word "of"'


def test_a_word_that_the_edge_of_a_map_may_cut_stands_beside_nothing():
    assert describe("ina in⟦ of⟧ 191", "ina in⟦ of⟧ 191") == 'the word "of"'
    assert describe(" ina in⟦ of⟧ 191.", " ina in⟦ of⟧ 191.") == 'the word "of", beside "191", "ina"'


UNITED = [" the united⟦ kingdom⟧ of it", " in united⟦ states⟧ law", " old united⟦ nations⟧ of"]


@pytest.mark.parametrize(
    ("maps", "expected"),
    [
        (UNITED, '"kingdom", "nations", "states", after "united"'),
        ([*UNITED, " a united⟦ front⟧ of"], 'after "united"'),
        ([" the⟦ end⟧ of a", " the⟦ end⟧ of it"], 'the word "end", after "the", before "of"'),
        ([" no atomic big⟦ number⟧ is", " its⟦ number⟧ is atomic."], 'the word "number", beside "atomic"'),
        (
            [" page⟦ 1⟧ a", " page⟦ 2⟧ b", " page⟦ 3⟧ c", " page⟦ 4⟧ d"],
            'numbers: "1", "2", "3", "4", after "page"',
        ),
        ([" big⟦ of⟧ it", " old⟦ of⟧ us"], 'the word "of"'),
    ],
)
def test_of_a_phrase_the_words_around_the_mat_are_named_with_their_place(maps, expected):
    assert describe(*maps, kind="phrase", others=[" a united⟦ team⟧ in"]) == expected


def test_places_that_are_named_together_are_found_together():
    """Each is there in half of the MAPs, never both."""
    maps = [" red⟦ of⟧ a", " red⟦ of⟧ b", " c⟦ of⟧ door.", " d⟦ of⟧ door."]
    assert describe(*maps, kind="phrase") == 'the word "of", after "red"'


def covers(description, *marked, **more):
    return lexical.covers(description, shown(*marked, **more), hypernyms())


def test_a_description_covers_the_share_of_the_activation_whose_mats_fit():
    maps = dict(others=of("of", "to"), activations=[3.0, 1.0, 4.0])
    assert covers('the word "of"', *of("of"), **maps) == pytest.approx(4 / 8)
    assert covers('the token "to"', *of("of"), **maps) == pytest.approx(4 / 8)
    assert covers('kinds of tree: "oak"', *of("elm", "of")) == pytest.approx(1 / 2)
    assert covers('prepositions: "in"', *of("under", "she", "of")) == pytest.approx(2 / 3)
    assert covers('the word "of"', *of("of", "to"), activations=[0.0, -1.0]) == pytest.approx(1 / 2)


def test_a_mat_is_covered_only_where_its_map_has_the_words_beside_it():
    assert covers('after "united"', *UNITED, *of("kingdom")) == pytest.approx(3 / 4)
    assert covers('the word "of", beside "ina"', "ina in⟦ of⟧ it.", " ina in⟦ of⟧ it.") == pytest.approx(
        1 / 2
    )


ROW = dict(
    mats=["a", "b", "c"],
    mat_words=["a", "b", "c"],
    max_phrases=["a1", "b1", "c1"],
    marked_phrases=["⟦a⟧1", "⟦b⟧1", "⟦c⟧1"],
    ranks=[0, 2, 5],
)


def test_evidence_tells_which_maps_show_what_the_neuron_stands_for():
    row = ROW | dict(kind="set", own_ranks=[0, 2], activations=[3.0, 2.0, 1.0])
    found = evidence.shown(row, scored=True)
    assert (found.kind, found.own, found.activations) == ("set", [True, False], [3.0, 1.0])


def test_maps_that_do_not_activate_count_the_same():
    assert describe(*of("hot", "oak"), others=of("of"), activations=[0.0, -1.0, 2.0]) == '"hot", "oak"'


def test_where_none_of_the_maps_shown_is_the_neurons_own_all_count():
    row = ROW | dict(kind="word", own_ranks=[2], activations=[3.0, 2.0, 1.0])
    found = evidence.shown(row, scored=True)
    assert (found.kind, found.own) == ("", [True, True])


def test_without_kind_all_maps_count_the_same():
    found = evidence.shown(ROW, scored=False)
    assert (found.kind, found.own, found.activations) == ("", [True] * 3, [1.0] * 3)


ODD = ["", " ", "\n", '"', "\\", '", beside "a"', "⟦", "⟧", "İ", "😀", "\ufffd", "don't", "1853", "\ud800"]
ALIKE = [
    "oak pine elm maple",
    "in on under he",
    "he him his it",
    "hot warm cold quick",
    "true false right in",
    "french german italian",
    "12 7 1853",
    "south southern southwest",
    "speak leaky beaked",
    "of to , .",
]
TEXT = st.one_of(st.sampled_from([*ODD, *NAMES]), st.text(max_size=6))
PIECES = st.sampled_from([TEXT, *(st.sampled_from(each.split()) for each in ALIKE)])
MAPS = PIECES.flatmap(
    lambda pieces: st.lists(
        st.tuples(pieces, pieces, TEXT, TEXT, st.booleans(), st.floats(-1, 50)), min_size=1, max_size=8
    )
)
KINDS = st.sampled_from(["", "token", "word", "spelling", "set", "phrase", "several"])


@given(MAPS, KINDS)
def test_every_description_reads_back_and_lists_only_own_words_that_fit_it(maps, kind):
    mats, words, before, after, own, activations = map(list, zip(*maps, strict=True))
    own[-1] |= not any(own)
    phrases = [" ".join(parts) for parts in zip(before, mats, after, strict=True)]
    marked = [f"{a} ⟦{mat}⟧ {b}" for a, mat, b in zip(before, mats, after, strict=True)]
    seen = Evidence(mats, words, phrases, marked, [], kind, own, activations)
    description = lexical.describe(seen, VECTORS, hypernyms())
    assert "\n" not in description
    rule = read(description, hypernyms())
    assert 0 <= lexical.covers(description, seen, hypernyms()) <= 1
    tokens = [mat.strip().lower() or mat for mat, is_own in zip(mats, own, strict=True) if is_own]
    names = [*tokens, *(word.lower() for word, is_own in zip(words, own, strict=True) if is_own)]
    first, *others = strings(description)
    listed = [name for name in others if name not in {rule.after, rule.before, *rule.beside}]
    assert set(listed) <= set(names)
    if description.startswith("the token"):
        assert first in tokens and rule.fits_token(first)
        assert all(first in name for name in listed)
    else:
        assert all(rule.fits_word(name) or rule.fits_token(name) for name in listed)
    wordings = ("words for", "words like", "words close to", "words that relate")
    if description.startswith(("the word", '"', "kinds", "numbers", *wordings, *CLASSES)):
        assert first in names and (rule.fits_word(first) or rule.fits_token(first))
