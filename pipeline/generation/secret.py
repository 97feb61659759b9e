"""A key in somebody's words, replaced however it is written there.

A server that repeats a key may break it with control characters, colours of a terminal or escapes, and
clients and tables clean some of them away. So the key is looked for by its own characters alone: in the
words as they are, with escapes read, and without sequences that steer a terminal.
"""

from __future__ import annotations

import html
import re
import sys
import unicodedata
from collections.abc import Callable

LEAST = 12  # characters from which a key, or a part of one, counts as a secret
BLOT = "***"
_ESCAPE = re.compile(  # of JSON, Python, C, addresses, HTML, byte tokens; ^M
    r"(?-i:\\U)(?P<long>[0-9a-f]{8})|\\u(?P<json>[0-9a-f]{4})|\\u\{(?P<braces>[0-9a-f]{1,6})\}"
    r"|\\x(?P<byte>[0-9a-f]{2})|\\(?P<octal>[0-7]{2,3})"
    r"|\\(?P<after>.)|%(?P<percent>[0-9a-f]{2})|&(?P<html>#?\w+);|<0x(?P<token>[0-9a-f]{2})>|\^[@-_]",
    re.IGNORECASE | re.DOTALL,
)
_COLOUR = (
    r"(?:\x1b?\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # CSI, also without ESC; OSC
)
_MARKUP = r"</?[a-z][^<>]{0,80}>"
# of ECMA-48, and of HTML
_STEERING = (re.compile(_COLOUR), re.compile(rf"{_COLOUR}|\x1b[ -/]*[0-~]|{_MARKUP}", re.IGNORECASE))
_NESTED = 3  # escapes within escapes, such as those of JSON in JSON

_AT_ONCE = 2**16  # characters, so that memory is bounded
_BETWEEN = 2**12  # those that a key may be spread over where one piece of a text ends

Place = tuple[str, int, int]  # a character, and where its writing starts and ends in the text


def blotted(text: str, key: str) -> str:
    """The text with `BLOT` for the key and for each part of it from `LEAST` characters on, upper or lower
    case, whatever stands between its characters that is none of them. A shorter key, as people make up
    for servers without keys, is no secret."""
    if len(key) < LEAST:
        return text
    hidden = [False] * len(text)
    for first in range(0, len(text), _AT_ONCE):
        for reading in _readings(text[first : first + _AT_ONCE + _BETWEEN]):
            for start, end in _found(reading, key.lower()):
                hidden[first + start : first + end] = [True] * (end - start)
    parts, shown = [], 0
    for run in re.finditer("1+", "".join("01"[each] for each in hidden)):
        parts += [text[shown : run.start()], BLOT]
        shown = run.end()
    return "".join([*parts, text[shown:]])


def _readings(text: str) -> list[list[Place]]:
    """The ways to read a text: as it is and with escapes read, each also without what steers a terminal."""
    decoded = [[(_usual(char), i, i + 1) for i, char in enumerate(text)]]
    while len(decoded) <= _NESTED:
        reading = _replaced(decoded[-1], _ESCAPE, _decoded)
        if len(reading) == len(decoded[-1]):
            break
        decoded.append(reading)
    return decoded + [
        _replaced(reading, pattern, lambda found: "") for reading in decoded for pattern in _STEERING
    ]


def _usual(char: str) -> str:
    """The usual form of a character, such as of a wide or a bold one, where it is one character."""
    usual = char if char.isascii() else unicodedata.normalize("NFKC", char)
    return usual if len(usual) == 1 else char


def _replaced(reading: list[Place], pattern: re.Pattern[str], by: Callable) -> list[Place]:
    """A reading with one character, or none, in the place of each match."""
    made, last = [], 0
    for found in pattern.finditer("".join(place[0] for place in reading)):
        made += reading[last : found.start()]
        last = found.end()
        made += [(char, reading[found.start()][1], reading[last - 1][2]) for char in by(found)[:1]]
    return made + reading[last:]


def _decoded(found: re.Match[str]) -> str:
    """What an escape stands for; nothing for a control character, which no key holds."""
    kind = found.lastgroup
    if kind is None:
        return ""
    if kind == "html":
        return html.unescape(found[0])
    if kind == "after":
        return "" if found[kind] in "abefnrtv0" else found[kind]
    code = int(found[kind], 8 if kind == "octal" else 16)
    return chr(code) if code <= sys.maxunicode else ""


def _found(reading: list[Place], key: str) -> list[tuple[int, int]]:
    """Where parts of the key stand in a text, by the characters of a reading that the key has."""
    own = [place for place in reading if place[0].lower() in key]
    letters = "".join(place[0].lower() for place in own)
    parts = {key[i : i + LEAST] for i in range(len(key) - LEAST + 1)}
    starts = [i for i in range(len(letters) - LEAST + 1) if letters[i : i + LEAST] in parts]
    return [(own[i][1], own[i + LEAST - 1][2]) for i in starts]
