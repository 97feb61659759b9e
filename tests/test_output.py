"""Whatever is printed cannot steer a terminal, and says what to type where it was installed."""

import io
import os
import sys

import pytest

from pipeline import output
from pipeline.printable import cells, escaped, fitted


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self):
        return True


STEERING = {
    "\x1b[2J": r"\x1b[2J",
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "\x9b31m": r"\x9b31m",
    "a\rb": r"a\rb",
    "a\x08b": r"a\x08b",
    "a\x00b": r"a\x00b",
    "\x7f": r"\x7f",
    "\u202eabc": r"\u202eabc",
    "\u2066abc": r"\u2066abc",
    "\u061cabc": r"\u061cabc",
    "a\u2028b\u2029c": r"a\u2028b\u2029c",
    "a\x85b": r"a\x85b",
}


@pytest.mark.parametrize("text", STEERING)
def test_what_steers_a_terminal_is_written_out_on_both_streams(capsys, text):
    output.tell(text)
    output.show(text)
    assert capsys.readouterr() == (STEERING[text] + "\n", STEERING[text] + "\n")


def test_an_error_is_one_line_whatever_is_in_it_and_results_may_have_several(capsys):
    output.tell("a\nerror: b\tc")
    output.show("a\nb\tc")
    assert capsys.readouterr() == ("a\nb\tc\n", "a\\nerror: b\\tc\n")


def test_of_coloured_results_only_colours_pass():
    text = "\x1b[48;2;1;2;3ma\x1b[0m\x1b[2J\x1b]0;x\x07"
    assert escaped(text, colours=True) == "\x1b[48;2;1;2;3ma\x1b[0m\\x1b[2J\\x1b]0;x\\x07"
    assert "\x1b" not in escaped(text)


def test_ordinary_text_of_any_writing_is_printed_as_it_is():
    for text in ("naïve café", "日本語", "שלום", "👩‍🔬", "e\u0301", "a\u00a0b", "नमस्ते"):
        assert escaped(text) == text


@pytest.mark.parametrize(
    ("environment", "on_a_terminal", "in_a_file"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": ""}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
    ],
)
def test_colours_follow_the_environment(monkeypatch, environment, on_a_terminal, in_a_file):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm-256color"} | environment).items():
        monkeypatch.setenv(name, value)
    for stream, coloured in ((Terminal(), on_a_terminal), (io.StringIO(), in_a_file)):
        monkeypatch.setitem(sys.__dict__, "stdout", stream)
        assert output.colours() is coloured


@pytest.mark.parametrize(
    ("text", "width"),
    [("abc", 3), ("日本", 4), ("e\u0301", 1), ("a\u200db", 2), ("ｗ", 2), ("", 0)],
)
def test_the_columns_of_a_text_count_wide_and_combining_characters(text, width):
    assert cells(text) == width
    assert fitted(text, width) == text
    assert cells(fitted(text, width - 1)) < max(width, 1)


@pytest.mark.parametrize(("columns", "width"), [("50", 50), ("5", 20), ("300", 116), (None, 99), ("x", 99)])
def test_a_line_has_the_columns_of_the_terminal(monkeypatch, columns, width):
    monkeypatch.setitem(sys.__dict__, "__stdout__", io.StringIO())
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    assert output.width(99) == width


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ("make it with `make data`", "make it with `feature-neurons run`"),
        ("`make publish REPO=ada/x PUBLIC=1`", "`feature-neurons publish ada/x --public 1`"),
        ('python -m pipeline sql "from maps"', 'feature-neurons sql "from maps"'),
        ("SIMILARITY=0.27 would make it a candidate", "--similarity 0.27 would make it a candidate"),
        ("try MAX_COST=0.5, or DRY_RUN=1.", "try --max-cost 0.5, or --dry-run 1."),
        ("HF_TOKEN=x and OPENAI_BASE_URL=y stay", "HF_TOKEN=x and OPENAI_BASE_URL=y stay"),
        ("SITE: make sure it is there", "SITE: make sure it is there"),
    ],
)
def test_where_there_is_no_checkout_texts_speak_of_the_command(said, typed):
    assert output.spoken(said, checkout=False) == typed
    assert output.spoken(said, checkout=True) == said


def test_here_is_a_checkout():
    assert output.spoken("`make data`") == "`make data`"
    assert os.path.exists("Makefile")


def test_where_both_ways_are_named_and_are_one_it_is_said_once():
    said = output.spoken("make it with `make data` or `python -m pipeline run`", checkout=False)
    assert said == "make it with `feature-neurons run`"
