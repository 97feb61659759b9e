"""A key is found in a server's words however it is written there, and nothing else is."""

import html
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.chat import KEY

from pipeline.generation.secret import LEAST, blotted

JOINTS = {
    "a control character": "\x00",
    "a line break": "\r\n  ",
    "a colour": "\x1b[31;1m",
    "a colour of eight bits": "\x9b0m",
    "a colour without its escape": "[31m",
    "a link": "\x1b]8;;http://x\x07",
    "a turn of direction": "\u202e",
    "a space without width": "\u200b",
    "a soft hyphen": "\xad",
    "a lone surrogate": "\ud800",
    "an escape of Python": r"\x1b",
    "an escape of JSON": r"\u0007",
    "one in another": r"\\u0007",
    "a colour, escaped": r"\u001b[31m",
    "an octal escape": r"\033[1m",
    "a named escape": r"\n",
    "a letter in caret notation": "^[",
    "a reference of HTML": "&#8203;",
    "a name of HTML": "&shy;",
    "a code of an address": "%0a",
    "a byte token": "<0x0A>",
    "a mark of HTML": "</b><b>",
    "quotes": '" + "',
    "words of another script": "щ",
}


@pytest.mark.parametrize("joint", JOINTS.values(), ids=JOINTS)
@pytest.mark.parametrize("every", [1, 3, 7])
def test_a_key_is_replaced_whatever_stands_between_its_characters(joint, every):
    broken = joint.join(KEY[i : i + every] for i in range(0, len(KEY), every))
    assert blotted(f"Wrong key {broken}!", KEY) == "Wrong key ***!"


@pytest.mark.parametrize(
    "written",
    [
        KEY.upper(),
        "".join(f"\\u{ord(char):04x}" for char in KEY),
        "".join(f"&#{ord(char)};" for char in KEY),
        "".join(f"%{ord(char):02x}" for char in KEY),
        "".join(f"\\U{ord(char):08x}" for char in KEY),
        "<span class='key'>".join(KEY),
        "".join(f"\\{ord(char):o}" for char in KEY),
        "".join(chr(ord(char) + 0xFEE0) for char in KEY),
        "".join(chr(ord(char) - ord("a") + 0x1D41A) if char.islower() else char for char in KEY),
        json.dumps(json.dumps(f"{KEY[:9]}\x1b{KEY[9:]}"))[3:-3],
        KEY[:LEAST],
        KEY[-LEAST:],
    ],
)
def test_a_key_is_replaced_however_it_is_written_and_so_is_a_part_of_it(written):
    assert blotted(f"<{written}>", KEY) == "<***>"


def test_a_key_that_holds_what_others_escape_is_replaced():
    key = 'abc/def+ghi==&jkl~<m>"n'
    for written in (key, quote(key), json.dumps(key)[1:-1], key.replace("/", r"\/"), html.escape(key)):
        assert blotted(f"({written})", key) == "(***)"


@pytest.mark.parametrize("at", [0, 5, 65_530, 65_536, 131_050, 200_000])
def test_a_key_is_found_anywhere_in_a_long_text(at):
    before, after = "щ" * at, "щ" * (200_010 - at)
    assert blotted(f"{before}{KEY[:9]}\x1b[31m{KEY[9:]}{after}", KEY) == f"{before}***{after}"


def test_each_of_several_is_replaced():
    assert blotted(f"{KEY}, {KEY}; {KEY}", KEY) == "***, ***; ***"


@pytest.mark.parametrize(
    "text",
    [
        "tokens such as secret",
        "the tests of the secret",
        KEY[: LEAST - 1],
        "sk-...ests",
        "[1, 0, 1]",
        "",
        "\\",
    ],
)
def test_other_words_stay(text):
    assert blotted(text, KEY) == text


def test_a_short_key_is_no_secret():
    assert blotted("none of them", "none") == "none of them"


@given(st.text(), st.text(), st.lists(st.sampled_from(list(JOINTS.values())), min_size=len(KEY)))
def test_no_key_survives_and_the_words_around_it_do(before, after, joints):
    broken = "".join(char + joint for char, joint in zip(KEY, joints, strict=False))
    shown = blotted(f"{before}{broken}{after}", KEY)
    letters = "".join(char for char in shown.lower() if char in KEY)
    assert KEY not in letters
    assert len(shown) <= len(before) + len(after) + 3 + 2 * max(map(len, joints))
