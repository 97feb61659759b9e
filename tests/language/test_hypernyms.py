import hashlib
import random
from collections import Counter
from itertools import combinations

import pyarrow.parquet as pq
import pytest
from conftest import ROOT

from pipeline.language import word
from pipeline.language.closed_classes import CLASSES, CLOSED
from pipeline.language.hypernyms import (
    ADJECTIVE,
    CLASS,
    FILES,
    NOUN,
    OPPOSITES,
    PERTAINED,
    QUALITY,
    RELATED,
    VERB,
    closed,
    counted,
    evidence,
    hypernyms,
)
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
ALIKE = [
    "hot warm cold chilly",
    "true false right wrong correct",
    "large tiny huge",
    "sweet bitter sour",
    "old young ancient",
    "good bad evil",
    "strong weak",
    "quick fast slow",
    "beautiful ugly",
    "happy sad joyful",
    "rich poor wealthy",
    "quickly slowly rapidly",
    "loud quiet noisy",
    "french german italian",
]
TOLD = [  # what adjectives have in common: its part of speech, and its name
    ("hot warm cold chilly", QUALITY, "temperature"),
    ("large tiny huge small", QUALITY, "size"),
    ("rich poor", QUALITY, "financial condition"),
    ("happy sad angry", QUALITY, "emotion"),
    ("happily sadly angrily", QUALITY, "emotion"),
    ("true false", OPPOSITES, "true or false"),
    ("quick slow fast", OPPOSITES, "fast or slow"),
    ("beautiful ugly pretty", OPPOSITES, "beautiful or ugly"),
    ("past present future", OPPOSITES, "past, present or future"),
    ("same different", OPPOSITES, "same or other"),
    ("clever smart intelligent", QUALITY, "intelligence"),
    ("quick fast rapid", ADJECTIVE, "fast"),
    ("good bad evil", RELATED, "good or bad"),
    ("french german italian", PERTAINED, "European country"),
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
        ("hotter", ADJECTIVE, ["hot"]),
        ("nicest", ADJECTIVE, ["nice"]),
        ("best", ADJECTIVE, ["best", "good"]),
        ("slowly", ADJECTIVE, ["slowly"]),
        ("like", ADJECTIVE, []),
        ("near", ADJECTIVE, ["near"]),
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
    assert counted({NOUN: [90, 1], ADJECTIVE: [8, 4]}) == {NOUN: [0], ADJECTIVE: [0]}


def test_what_a_word_is_beside_an_adjective_counts_unless_it_is_very_rare_as_that():
    assert counted({NOUN: [0, 0], VERB: [0], ADJECTIVE: [40, 10]}) == {
        NOUN: [0, 1],
        VERB: [0],
        ADJECTIVE: [0, 1],
    }
    assert counted({NOUN: [0, 0], VERB: [0], ADJECTIVE: [41, 10]}) == {
        NOUN: [],
        VERB: [],
        ADJECTIVE: [0, 1],
    }
    assert counted({NOUN: [20, 0], ADJECTIVE: [400]}) == {NOUN: [0], ADJECTIVE: [0]}


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
    assert not {NOUN, VERB} & set(map(hypernyms().pos, hypernyms().synsets(closed_word)))


@pytest.mark.parametrize("closed_word", ["that", "her", "one", "no", "what"])
def test_a_word_may_be_of_several_classes(closed_word):
    found = {hypernyms().name(synset) for synset in hypernyms().synsets(closed_word)}
    assert len(found & set(CLASSES)) > 1


def test_number_words_are_alike_and_keep_their_senses():
    for number in ("one", "two", "twelve", "hundred", "million"):
        common = hypernyms().synsets(number) & hypernyms().synsets("three")
        assert "number words" in map(hypernyms().name, common)
        assert {CLASS, NOUN} <= set(map(hypernyms().pos, hypernyms().synsets(number)))
    assert hypernyms().kind_of(["two", "four", "nine"]).name == "digit"


@pytest.mark.parametrize("name", CLASSES)
def test_a_closed_class_tells_more_than_animal_and_at_most_as_much_as_day_of_the_week(name):
    animal, day = hypernyms().named("animal", ["dog"]), hypernyms().named("day of the week", ["monday"])
    widest, own, narrowest = map(hypernyms().rarity, (animal, hypernyms().named(name, CLASSES[name]), day))
    assert narrowest / 2 < own < widest / 2


@pytest.mark.parametrize("words", ALIKE)
def test_adjectives_alike_or_opposite_are_each_below_a_rare_synset(words):
    for one, other in combinations(words.split(), 2):
        common = hypernyms().synsets(one) & hypernyms().synsets(other)
        assert 0 < min(map(hypernyms().rarity, common)) < 0.01


@pytest.mark.parametrize(
    "words", ["hot legal", "sweet rapid", "true tall", "french thick", "angry shallow"]
)
def test_adjectives_of_different_things_share_nothing_rare(words):
    one, other = words.split()
    common = hypernyms().synsets(one) & hypernyms().synsets(other)
    assert all(hypernyms().rarity(synset) > 0.01 for synset in common)


@pytest.mark.parametrize(("words", "pos", "name"), TOLD)
def test_adjectives_have_in_common_what_they_tell_of_or_like_what_they_are(words, pos, name):
    found = hypernyms().kind_of(words.split())
    assert (hypernyms().pos(found.synset), found.name) == (pos, name)
    assert found.members == tuple(words.split())
    assert hypernyms().named(name, found.members, pos) == found.synset


@pytest.mark.parametrize(
    ("name", "told", "opposite"),
    [
        ("beauty", "beautiful pretty", "ugly"),
        ("truth", "true", "false"),
        ("wealth", "rich", "poor"),
        ("speed", "fast quick", "slow"),
        ("legality", "legal", "illegal"),
    ],
)
def test_a_noun_named_for_an_adjective_is_not_told_of_by_its_opposite(name, told, opposite):
    for one in told.split():
        synset = hypernyms().named(name, [one], QUALITY)
        assert hypernyms().covers(synset, one)
        assert not hypernyms().covers(synset, opposite)
    assert hypernyms().named(name, [opposite], QUALITY) is None


def test_a_part_of_speech_tells_synsets_of_one_name_apart():
    noun, told = (hypernyms().named("temperature", ["cold"], pos) for pos in (NOUN, QUALITY))
    assert (hypernyms().pos(noun), hypernyms().pos(told)) == (NOUN, QUALITY)
    assert not hypernyms().covers(noun, "chilly")
    assert hypernyms().covers(told, "chilly")


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


def test_the_files_are_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 2_000_000


def test_the_stored_numbers_of_words_are_those_that_the_code_covers():
    synsets = pq.read_table(FOLDER / "synsets.parquet").select(["name", "n_words"]).to_pylist()
    words = pq.read_table(FOLDER / "words.parquet")["word"].to_pylist()
    assert not any(closed(one, ADJECTIVE) for one in words)
    for row, synset in enumerate(synsets):
        if synset["name"] in ("scientist", "digit", "consume", "tree", "temperature", "old or young"):
            assert sum(hypernyms().covers(row, one) for one in words) == synset["n_words"]
