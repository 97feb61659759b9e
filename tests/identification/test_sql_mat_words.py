"""132: the word that a neuron has read at its MAT, on rows written by hand."""

import pytest
from by_hand import map_row, word
from conftest import rows, run_sql

KNOWN = ("fig", "figment", "a", "he", "wort")


def mat_words(maps, words, known=KNOWN):
    vocabulary = [
        dict(word=name, rank=rank, frequency=0.1, vector=[1.0]) for rank, name in enumerate(known)
    ]
    inputs = dict(
        maps=rows("maps", *maps), words=rows("words", *words), vocabulary=rows("vocabulary", *vocabulary)
    )
    return run_sql("132_mat_words.sql", inputs)


def cut(tokens, mat, first_token=3, **more):
    """The row of a MAP that starts at token 3 and whose MAT is the token of that number, and what is read
    at it: token, word and whole word."""
    text = "".join(tokens[first_token - 3 :]).strip()
    own = map_row(0, start=3, mat_index=3 + mat, tokens=tokens, mat=tokens[mat])
    held = word(text, 0, is_mat=True, first_token=first_token, end_token=3 + len(tokens))
    [found] = mat_words([own], [held], **more)
    return found["token"], found["word"], found["whole_word"]


def test_a_part_that_is_a_word_by_itself_is_what_was_read():
    assert cut([" fig", "ment"], 0) == ("fig", "fig", "figment")


def test_at_the_last_token_the_whole_word_was_read():
    assert cut([" fig", "ment"], 1) == ("ment", "figment", "figment")


def test_the_part_holds_all_tokens_from_the_words_first_to_the_mat():
    assert cut([" a", " f", "ig", "ment"], 2, first_token=4) == ("ig", "fig", "figment")


def test_case_and_blanks_do_not_matter():
    assert cut([" Fig", "MENT"], 0) == ("fig", "fig", "figment")


def test_a_part_that_is_no_word_gives_the_whole_word():
    assert cut([" fi", "gment"], 0) == ("fi", "figment", "figment")
    assert cut([" fig", "ment"], 0, known=["other"]) == ("fig", "figment", "figment")


def test_a_part_of_one_letter_gives_the_whole_word():
    assert cut([" a", "bout"], 0) == ("a", "about", "about")


def test_a_mat_that_is_part_of_no_word_has_none():
    own = map_row(0, start=3, mat_index=4, tokens=[" fig", ";"], mat=";")
    [found] = mat_words([own], [word("fig", 0)])
    assert (found["token"], found["word"], found["whole_word"]) == (";", None, None)


def test_a_mat_of_blanks_is_itself():
    own = map_row(0, start=3, mat_index=4, tokens=[" fig", "  "], mat="  ")
    [found] = mat_words([own], [word("fig", 0)])
    assert (found["token"], found["word"]) == ("  ", None)


def test_of_two_words_in_one_token_the_first_is_its_word():
    own = map_row(0, start=3, mat_index=3, tokens=["fig's"], mat="fig's")
    words = [word("s", 1, is_mat=True, first_token=3, end_token=4), word("fig", 0, is_mat=True)]
    [found] = mat_words([own], words)
    assert (found["word"], found["whole_word"]) == ("fig", "fig")


def test_a_negative_activation_counts_as_0():
    maps = [map_row(rank, max_activation=value) for rank, value in enumerate([2.5, -1.5, 0.0])]
    assert [row["activation"] for row in mat_words(maps, [])] == pytest.approx([2.5, 0, 0])


def test_every_map_has_a_row_near_duplicates_too():
    maps = [map_row(1, neuron=5), map_row(0, neuron=5, duplicate=True), map_row(0, neuron=2)]
    found = mat_words(maps, [])
    assert [(row["neuron"], row["rank"], row["duplicate"]) for row in found] == [
        (2, 0, False),
        (5, 0, True),
        (5, 1, False),
    ]
