import hashlib
import random
from collections import Counter

import pyarrow.parquet as pq
import pytest
from conftest import ROOT

from pipeline.language import word
from pipeline.language.closed_classes import CLASSES, CLOSED
from pipeline.language.hypernyms import CLASS, FILES, NOUN, VERB, closed, counted, evidence, hypernyms
from pipeline.resources import resource

FOLDER = resource("data/wordnet")
KINDS = [
    ("physicist mathematician astronomer biochemist", "scientist"),
    ("green yellow red blue", "chromatic color"),
    ("monday friday sunday", "day of the week"),
    ("january march", "Gregorian calendar month"),
    ("dog cat horse", "placental"),
    ("france germany spain", "European country"),
    ("three four seven", "digit"),
    ("oak pine maple elm", "tree"),
    ("copper iron zinc", "metallic element"),
    ("piano violin flute", "musical instrument"),
    ("eat drink swallow", "consume"),
    ("break broke shatter", "break"),
    ("city town village", "geographical area"),
]
CLASSED = [
    ("in on under", "prepositions"),
    ("of to", "prepositions"),
    ("he they we me", "personal pronouns"),
    ("my their our", "possessives"),
    ("myself itself themselves", "reflexive pronouns"),
    ("who when where how", "question words"),
    ("could must should", "modal verbs"),
    ("is were been", "forms of be"),
    ("had having", "forms of have"),
    ("does did", "forms of do"),
    ("is would has did", "auxiliary verbs"),
    ("he his himself", "forms of he"),
    ("she her", "forms of she"),
    ("and or but", "conjunctions"),
    ("the a", "articles"),
    ("many several few", "quantifiers"),
    ("this those that", "demonstratives"),
    ("always never often", "adverbs of frequency"),
    ("sometimes seldom", "adverbs of frequency"),
    ("not never nor", "words that negate"),
    ("don't can’t not", "words that negate"),
    ("i'm you're we'll", "contractions"),
    ("everyone nobody something", "indefinite pronouns"),
    ("three twenty thousand", "number words"),
    ("first second third", "ordinal numbers"),
]


@pytest.mark.parametrize(("words", "name"), KINDS)
def test_words_alike_are_of_the_lowest_kind_that_covers_them(words, name):
    found = hypernyms().kind_of(words.split())
    assert (found.name, found.members, found.share) == (name, tuple(words.split()), 1)
    assert 0 < found.rarity <= 0.03


@pytest.mark.parametrize(
    "words",
    [
        "",
        "physicist",
        "of growing evergreen",
        "argument object purpose is",
        "hot heat warm",
        "in as at he us",  # chemical elements and states, in abbreviations
        "xyzzy plugh",
        "argument tree violin",  # entities
        "king thief child",  # persons
    ],
)
def test_words_that_share_no_kind_or_a_general_one_are_of_none(words):
    assert hypernyms().kind_of(words.split()) is None


def test_forms_of_one_word_are_no_kind():
    assert hypernyms().kind_of(["physicist", "physicists"]) is None
    assert hypernyms().kind_of(["break", "broke", "broken", "breaks"]) is None


def test_two_words_of_more_are_too_few():
    assert hypernyms().kind_of(["january", "march"]).members == ("january", "march")
    assert hypernyms().kind_of(["january", "march", "the"]) is None


def test_a_kind_covers_most_of_the_weight_and_says_how_much():
    words = {"violin": 3.0, "hope": 1.0, "flute": 2.0, "piano": 2.0}
    found = hypernyms().kind_of(words)
    assert (found.name, found.members) == ("musical instrument", ("violin", "flute", "piano"))
    assert found.share == pytest.approx(7 / 8)
    assert hypernyms().kind_of({**words, "hope": 4.0}) is None  # 7 of 11 that WordNet knows
    assert hypernyms().kind_of({**words, "xyzzy": 6.0}).share == 0.5  # 7 of 14
    assert hypernyms().kind_of({**words, "xyzzy": 6.5}) is None
    assert hypernyms().kind_of({**words, "the": 4.0}) is None  # an article is known


def test_the_order_and_the_repetition_of_words_do_not_matter():
    one, other = ["oak", "pine", "maple", "elm"], ["elm", "oak", "oak", "maple", "pine"]
    found = [hypernyms().kind_of(words) for words in (one, other)]
    assert [kind.synset for kind in found] == [found[0].synset] * 2
    assert found[1].members == ("elm", "oak", "maple", "pine")


@pytest.mark.parametrize(("words", "name"), KINDS)
def test_a_name_and_members_read_back_are_the_synset(words, name):
    kind = hypernyms().kind_of(words.split())
    assert hypernyms().named(name, kind.members) == kind.synset
    assert hypernyms().name(kind.synset) == name
    assert all(hypernyms().covers(kind.synset, member) for member in kind.members)


def test_a_name_of_several_synsets_means_that_of_its_words_and_without_any_none():
    bank, other = (hypernyms().named("bank", [word]) for word in ("riverbank", "acquirer"))
    assert bank != other
    assert hypernyms().named("bank", ["violin"]) is None
    assert hypernyms().named("no such name", ["violin"]) is None


def test_a_synset_covers_every_form_of_the_words_below_it_and_no_other_word():
    scientist = hypernyms().kind_of(["physicist", "astronomer", "biochemist"]).synset
    fits = ["scientist", "physicists", "geologist", "einstein"]
    assert [name for name in [*fits, "poet", "the", "xyzzy"] if hypernyms().covers(scientist, name)] == fits


@pytest.mark.parametrize(
    ("form", "pos", "lemmas"),
    [
        ("physicists", NOUN, ["physicist"]),
        ("countries", NOUN, ["country"]),
        ("women", NOUN, ["woman"]),
        ("firemen", NOUN, ["fireman"]),
        ("physics", NOUN, ["physics"]),  # not physic
        ("broke", VERB, ["break"]),
        ("broke", NOUN, []),
        ("making", VERB, ["make"]),
        ("found", VERB, ["found", "find"]),
        ("has", NOUN, []),
        ("a", NOUN, []),
    ],
)
def test_inflected_forms_have_the_lemmas_of_their_part_of_speech(form, pos, lemmas):
    assert hypernyms().lemmas(form, pos) == lemmas


def test_the_first_senses_count_and_those_rare_beside_the_others_do_not():
    assert counted({NOUN: [5, 2, 1, 1], VERB: [0]}) == {NOUN: [0, 1, 2], VERB: []}
    assert counted({NOUN: [91, 4], VERB: [5, 0]}) == {NOUN: [0], VERB: [0]}
    assert counted({NOUN: [0, 0, 0, 0], VERB: [0]}) == {NOUN: [0, 1, 2], VERB: [0]}


def test_a_lemma_that_never_occurs_has_no_senses_beside_one_that_does():
    scientist = hypernyms().kind_of(["physicist", "astronomer", "biochemist"]).synset
    assert hypernyms().lemmas("born", NOUN) == ["born"]  # Max Born
    assert not hypernyms().covers(scientist, "born")
    assert hypernyms().covers(scientist, "einstein")


def test_evidence_is_that_of_a_binomial():
    assert evidence(2, 2, 0.1) == pytest.approx(4.605170)
    assert evidence(2, 4, 0.1) == pytest.approx(2.043302)  # 2 ln 5 + 2 ln 5/9
    assert evidence(1, 4, 0.5) < 0 == evidence(2, 4, 0.5)


@pytest.mark.parametrize(("words", "name"), CLASSED)
def test_words_of_one_closed_class_are_of_the_narrowest(words, name):
    found = hypernyms().kind_of(words.split())
    assert (found.name, found.members) == (name, tuple(words.split()))
    assert hypernyms().pos(found.synset) == CLASS
    assert hypernyms().named(name, found.members) == found.synset


@pytest.mark.parametrize(
    "words", ["in he what", "the can of", "she never onto", "in inch foot", "us state"]
)
def test_closed_words_of_different_classes_and_others_are_of_none(words):
    assert hypernyms().kind_of(words.split()) is None


@pytest.mark.parametrize("closed_word", sorted(CLOSED))
def test_of_closed_words_no_sense_of_nouns_and_verbs_counts(closed_word):
    assert hypernyms().lemmas(closed_word, NOUN) == hypernyms().lemmas(closed_word, VERB) == []
    assert {hypernyms().pos(synset) for synset in hypernyms().synsets(closed_word)} <= {CLASS}


@pytest.mark.parametrize("closed_word", ["that", "her", "one", "no", "what"])
def test_a_word_may_be_of_several_classes(closed_word):
    found = {hypernyms().name(synset) for synset in hypernyms().synsets(closed_word)}
    assert len(found & set(CLASSES)) > 1


def test_number_words_are_alike_and_keep_their_senses():
    for number in ("one", "two", "twelve", "hundred", "million"):
        common = hypernyms().synsets(number) & hypernyms().synsets("three")
        assert "number words" in map(hypernyms().name, common)
        assert {CLASS, NOUN} == set(map(hypernyms().pos, hypernyms().synsets(number)))
    assert hypernyms().kind_of(["two", "four", "nine"]).name == "digit"


@pytest.mark.parametrize("name", CLASSES)
def test_a_closed_class_tells_more_than_animal_and_at_most_as_much_as_day_of_the_week(name):
    animal, day = hypernyms().named("animal", ["dog"]), hypernyms().named("day of the week", ["monday"])
    widest, own, narrowest = map(hypernyms().rarity, (animal, hypernyms().named(name, CLASSES[name]), day))
    assert narrowest / 2 < own < widest / 2


def test_words_drawn_at_random_are_hardly_ever_a_kind():
    [part] = sorted((ROOT / "data/demo/text").glob("*.parquet"))
    counts = Counter(name for text in pq.read_table(part)["text"].to_pylist() for name in word.words(text))
    by_count = sorted(filter(word.alphabetic, counts), key=lambda name: (-counts[name], name))
    draw = random.Random(0)
    found = [hypernyms().kind_of(draw.sample(by_count[100:3000], 6)) for _ in range(300)]
    assert sum(kind is not None for kind in found) <= 3


def test_the_files_are_those_that_belong_to_the_code():
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("*.parquet")}
    assert found == FILES


def test_the_stored_numbers_of_words_are_those_that_the_code_covers():
    synsets = pq.read_table(FOLDER / "synsets.parquet").select(["name", "n_words"]).to_pylist()
    words = pq.read_table(FOLDER / "words.parquet")["word"].to_pylist()
    assert not any(map(closed, words))
    for row, synset in enumerate(synsets):
        if synset["name"] in ("scientist", "digit", "consume", "tree"):
            assert sum(hypernyms().covers(row, one) for one in words) == synset["n_words"]
