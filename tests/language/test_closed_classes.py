import pytest

from pipeline.generation.lexical_rules import BEGIN, END, NUMBERS, TOKEN, WITH, WORD
from pipeline.language import word
from pipeline.language.closed_classes import CLASSES, CLOSED


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_at_least_two_words_each_as_texts_are_split_into(name):
    assert len(CLASSES[name]) > 1
    assert all(word.words(own) == [own] for own in CLASSES[name])


@pytest.mark.parametrize("name", CLASSES)
def test_a_name_begins_as_no_other_thing_that_is_said_of_words(name):
    of_wordnet = {"kinds of", "ways to", "words for", "words like", "words close to", "words that relate"}
    others = {TOKEN, WORD, NUMBERS, BEGIN, END, WITH, '"', *of_wordnet, *CLASSES} - {name}
    assert not name.startswith(tuple(others))
    assert ":" not in name and '"' not in name


def test_all_words_of_classes_are_closed_but_numbers():
    numbers = CLASSES["number words"] | CLASSES["ordinal numbers"]
    assert frozenset().union(*CLASSES.values()) - numbers <= CLOSED
    assert not numbers & CLOSED


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("auxiliary verbs", "modal verbs"),
        ("auxiliary verbs", "forms of be"),
        ("pronouns", "personal pronouns"),
        ("pronouns", "reflexive pronouns"),
        ("determiners", "articles"),
        ("determiners", "demonstratives"),
    ],
)
def test_wider_classes_have_the_words_of_narrower_ones(name, part):
    assert CLASSES[part] < CLASSES[name]


def test_words_with_not_negate_and_are_contractions():
    joined = {own for words in CLASSES.values() for own in words if own.endswith("n't")}
    assert joined <= CLASSES["words that negate"] & CLASSES["contractions"]
