"""Which words are forms of one by their letters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.language.spelling import spelled_alike


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hammer", "hammered"),
        ("hammer", "sledgehammer"),
        ("running", "runner"),
        ("decide", "decision"),
        ("electric", "electronic"),
        ("nation", "national"),
    ],
)
def test_a_word_and_what_holds_it_or_begins_as_long_as_it_are_alike(one, other):
    assert spelled_alike(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hammer", "wrench"),
        ("contract", "consider"),
        ("singing", "dancing"),
        ("underpaid", "undertaking"),
    ],
)
def test_words_that_share_a_short_beginning_or_an_ending_are_not(one, other):
    assert not spelled_alike(one, other)


def test_a_beginning_counts_from_four_letters_on_and_from_three_fifths_of_the_shorter_word():
    assert spelled_alike("abcdxx", "abcdyy")  # 4 of 6 letters
    assert not spelled_alike("abcxx", "abcyy")  # 3 letters
    assert spelled_alike("abcdefxxxx", "abcdefyyyy")  # 6 of 10
    assert not spelled_alike("abcdexxxxx", "abcdeyyyyy")  # 5 of 10


def test_short_words_are_alike_only_when_they_are_equal():
    assert spelled_alike("fig", "fig")
    assert not spelled_alike("fig", "figment")
    assert not spelled_alike("a", "banana")
    assert not spelled_alike("", "banana")
    assert spelled_alike("", "")


@given(st.text("abc", max_size=9), st.text("abc", max_size=9))
def test_it_does_not_matter_which_word_comes_first(one, other):
    assert spelled_alike(one, other) == spelled_alike(other, one)


@given(st.text(max_size=9), st.text(max_size=4))
def test_a_word_is_alike_to_itself_and_from_four_letters_on_to_all_that_hold_it(word, more):
    assert spelled_alike(word, word)
    if len(word) >= 4:
        assert spelled_alike(word, more + word)


@given(st.text(max_size=3), st.text(min_size=1, max_size=4))
def test_a_short_word_is_alike_to_nothing_longer_but_its_plural(word, more):
    assert spelled_alike(word, word + more) == (more in ("s", "es"))
    assert spelled_alike(word, more + word) == (more + word in (word + "s", word + "es"))
