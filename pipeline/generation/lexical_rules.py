"""Which texts fit a description of `lexical`: its forms, and how each is read back as a rule.

A rule takes a description literally. A word or a token is itself; "words that begin with" and the like are
all such words; "numbers" are all words of digits; "kinds of", "ways to", "words for" and the like, and
closed classes, such as "prepositions", are the words listed and those that the kind of that name covers; of
a plain list only the words in it fit, and "and 3 more" adds none. What is "after" a word has it right
before it, what is "before" one right behind it, and of the words that it is "beside" at least one stands
anywhere else in the text. `_FORMS` lists all forms, for writing and reading.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate, islice

from pipeline.language import word
from pipeline.language.closed_classes import CLASSES
from pipeline.language.hypernyms import (
    ADJECTIVE,
    CLASS,
    NOUN,
    OPPOSITES,
    PERTAINED,
    QUALITY,
    RELATED,
    VERB,
    Hypernyms,
    Kind,
)

TOKEN, WORD, NUMBERS = "the token", "the word", "numbers"
BEGIN, END, WITH = "words that begin with", "words that end in", "words with"
AFTER, BEFORE, BESIDE = "after", "before", "beside"
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_FRAME = re.compile(  # of a description whose strings are empty
    rf'(.*?)(?:(?:, |\A){AFTER} (""))?(?:(?:, |\A){BEFORE} (""))?(?:(?:, |\A){BESIDE} (""(?:, "")*))?'
)
_KINDS = {  # what is said before the name of a kind
    "kinds of ": (NOUN,),
    "ways to ": (VERB,),
    "words like ": (ADJECTIVE, OPPOSITES),
    "words close to ": (RELATED,),
    "words for ": (QUALITY,),
    "words that relate to kinds of ": (PERTAINED,),
    "": (CLASS,),
}
_ALL_FIT = ""  # the form that is nothing but a place


@dataclass(frozen=True)
class Rule:
    """Which words and which tokens fit, in lower case; the words right before and behind them, where these
    are told; the words of which one must stand beside them, if there are any; and the words that are looked
    for in what is written without blanks, which are those that the description names."""

    fits_word: Callable[[str], bool]
    fits_token: Callable[[str], bool]
    after: str | None
    before: str | None
    beside: frozenset[str]
    known: word.Known = field(default_factory=word.Known)

    def fits(self, tokens: list[str], places: list[int] | None = None) -> bool:
        """Whether a text holds what fits; with `places` only what one of these tokens is part of counts."""
        text = "".join(tokens)
        bounds = list(accumulate(map(len, tokens), initial=0))
        found = list(word.find(text, self.known))
        names = [match[0].lower() for match in found]
        starts, ends = [match.start() for match in found], [match.end() for match in found]
        hits: set[int] = set()
        for i, token in enumerate(tokens):
            before, behind = bisect_right(ends, bounds[i]), bisect_left(starts, bounds[i + 1])
            if self.fits_token(plain(token)) and self.fits_place(names[:before], names[behind:]):
                hits.add(i)
        for i, name in enumerate(names):
            if self.fits_word(name) and self.fits_place(names[:i], names[i + 1 :]):
                hits |= set(range(bisect_right(bounds, starts[i]) - 1, bisect_right(bounds, ends[i] - 1)))
        return bool(hits if places is None else hits & set(places))

    def fits_place(self, earlier: list[str], later: list[str]) -> bool:
        """Whether something may stand between these words, both lists in the order of the text."""
        return (
            (self.after is None or earlier[-1:] == [self.after])
            and (self.before is None or later[:1] == [self.before])
            and (not self.beside or not self.beside.isdisjoint([*earlier, *later]))
        )


def read(description: str, hypernyms: Hypernyms) -> Rule:
    """The rule that a description by `lexical.describe` states; raises ValueError if it is not by it."""
    names = iter(strings(description))
    frame = _FRAME.fullmatch(_STRING.sub('""', description))
    main, *places = (part or "" for part in frame.groups()) if frame else ("?",)
    form = next((form for form in _FORMS if main.startswith(form) and bool(main) == bool(form)), None)
    if form is None:
        raise ValueError(f"not a lexical description: {description!r}")
    own, after, before, beside = (list(islice(names, part.count('""'))) for part in (main, *places))
    fits_word, fits_token = _FORMS[form](main, own, hypernyms)
    right_before, right_behind = next(iter(after), None), next(iter(before), None)
    known = word.Known(strings(description))
    return Rule(fits_word, fits_token, right_before, right_behind, frozenset(beside), known)


def strings(description: str) -> list[str]:
    """The words, tokens and parts of words that a description names, in order."""
    return [json.loads(string) for string in _STRING.findall(description)]


def quoted(name: str) -> str:
    """A name as it stands in a description: as JSON."""
    return json.dumps(name, ensure_ascii=False)


def kind_said(kind: Kind, hypernyms: Hypernyms) -> str:
    """How a description that lists words of a kind begins."""
    return next(before for before, pos in _KINDS.items() if hypernyms.pos(kind.synset) in pos) + kind.name


def plain(token: str) -> str:
    """A token without blanks and in lower case; as it is where nothing else is left."""
    return token.strip().lower() or token


def _kinds(main: str, own: list[str], hypernyms: Hypernyms) -> _Fits:
    said = main.partition(': "')[0]
    before = next(before for before in _KINDS if said.startswith(before))
    synset = hypernyms.named(said.removeprefix(before), own, _KINDS[before])
    return lambda name: name in own or (synset is not None and hypernyms.covers(synset, name)), _none


def _none(name: str) -> bool:
    return False


def _any(name: str) -> bool:
    return True


_Fits = tuple[Callable[[str], bool], Callable[[str], bool]]
# Each form of a description by how it begins, its strings empty: from that and the strings, which words fit
# and which tokens.
_FORMS: dict[str, Callable[[str, list[str], Hypernyms], _Fits]] = {
    TOKEN: lambda main, own, hypernyms: (_none, own[0].__eq__),
    WORD: lambda main, own, hypernyms: (own[0].__eq__, _none),
    NUMBERS: lambda main, own, hypernyms: (str.isdecimal, _none),
    **dict.fromkeys(filter(None, _KINDS), _kinds),
    **dict.fromkeys(CLASSES, _kinds),
    BEGIN: lambda main, own, hypernyms: (lambda name: name.startswith(own[0]), _none),
    END: lambda main, own, hypernyms: (lambda name: name.endswith(own[0]), _none),
    WITH: lambda main, own, hypernyms: (lambda name: own[0] in name, _none),
    '"': lambda main, own, hypernyms: (set(own).__contains__, set(own).__contains__),
    _ALL_FIT: lambda main, own, hypernyms: (_any, _any),
}
