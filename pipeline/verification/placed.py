"""A phrase in its text, and what is tokenised with each word that is put into it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.models.language_model import LanguageModel
from pipeline.models.pieces import Pieces
from pipeline.models.token_ids import Known

_AROUND = 32  # tokens on each side that are searched for a place where tokenising can begin or end
_BYTES = 8  # of an id


@dataclass(frozen=True)
class Splice:
    """The first token at which a variant differs from its text, the ids from there to the phrase's end as
    64-bit numbers in bytes, and how certain they are."""

    first: int
    ids: bytes
    tokens: str


@dataclass
class Placed:
    """A phrase in its text, from token `start` to before `end`; tokenising can begin at `low` and end at
    `high` around it, and at each of `cuts`, both included, which are checked by `check`."""

    known: Known
    tokens: list[str]
    start: int
    end: int
    low: int
    high: int
    cuts: list[int]
    checkable: bool = field(default=False, init=False)

    @staticmethod
    def of(sample: Mapping[str, Any], known: Known, phrase: tuple[int, int], pieces: Pieces) -> Placed:
        """A phrase of a sample."""
        tokens, text_start = sample["tokens"], sample["text_start"]
        low, high = _around(tokens, max(phrase[0], text_start), phrase[1], text_start, pieces.model)
        cuts = [low, *(low + place for place in pieces.begin(tokens[low:high])), high]
        return Placed(known, tokens, *phrase, low, high, cuts)

    @cached_property
    def ids(self) -> bytes:
        """The ids of the text, as a Splice has them."""
        return np.array(self.known.ids, np.int64).tobytes()

    @cached_property
    def digest(self) -> str:
        """The fingerprint of the text."""
        more = "" if self.known.ids else "\0".join(self.tokens)
        return hashlib.blake2b(self.ids + more.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def between(self, begin: int, stop: int) -> bytes:
        """The ids of some tokens."""
        return self.ids[_BYTES * begin : _BYTES * stop]

    def texts(self) -> Iterator[str]:
        """What is tokenised of the text as it is."""
        if self.known.tokens != "lossy":
            yield "".join(self.tokens[self.low : self.high])
            for begin, stop in zip(self.cuts, self.cuts[1:], strict=False):
                yield "".join(self.tokens[begin:stop])

    def check(self, pieces: Pieces) -> None:
        """See whether tokenising gives the text's ids, and those of its pieces; else it is one piece."""
        if self.known.tokens == "lossy":
            return
        whole, *parts = (pieces[text] for text in self.texts())
        self.checkable = whole == self.between(self.low, self.high)
        spans = zip(self.cuts, self.cuts[1:], strict=False)
        if any(part != self.between(*span) for part, span in zip(parts, spans, strict=True)):
            self.cuts = [self.low, self.high]

    def piece(self, first: int, stop: int, replacement: str) -> tuple[int, int]:
        """The tokens of the pieces in which a replacement of some tokens stands."""
        opens, closes = replacement[:1] == " ", bool(replacement) and not replacement[-1].isspace()
        begin = max(
            c for c in self.cuts if c < first or (c == first and (opens or c == self.low)) or c == self.low
        )
        end = min(c for c in self.cuts if c > stop or (c == stop and closes) or c == self.high)
        return begin, end

    def stands_alone(self, first: int, stop: int) -> bool:
        """Whether what replaces these tokens is a piece of its own if it begins with a space and ends with
        none."""
        return not self.checkable or (first in self.cuts and stop in self.cuts)

    def text(self, first: int, stop: int, replacement: str) -> str:
        """The pieces in which a replacement stands, as text."""
        begin, end = self.piece(first, stop, replacement)
        return "".join([*self.tokens[begin:first], replacement, *self.tokens[stop:end]])

    def put_in(self, first: int, stop: int, new: bytes, tokens: str | None = None) -> Splice:
        """A variant whose new ids stand in the place of some tokens."""
        sure = self.known.tokens if self.checkable else "lossy"
        return Splice(first, new + self.between(stop, self.end), tokens or sure)

    def spliced(self, first: int, stop: int, replacement: str, pieces: Pieces) -> Splice:
        """A variant as tokenising its text gives it."""
        begin, end = self.piece(first, stop, replacement)
        found, new = pieces[self.text(first, stop, replacement)], pieces[replacement]
        if found == self.between(begin, first) + new + self.between(stop, end):
            return self.put_in(first, stop, new)
        tokenised = self.between(self.low, begin) + found + self.between(end, self.high)
        return self._retokenised(np.frombuffer(tokenised, np.int64).tolist()) or self.put_in(
            first, stop, new, "lossy"
        )

    def _retokenised(self, tokenised: list[int]) -> Splice | None:
        """A variant by the ids around it; None where the phrase cannot be told from its surroundings."""
        around, after = self.known.ids[self.low : self.high], self.known.ids[self.end : self.high]
        stop = len(tokenised) - len(after)
        if tokenised[stop:] != after or self.low + stop <= self.start:
            return None
        pairs = enumerate(zip(tokenised[: stop - 1], around, strict=False))
        same = next((i for i, (new, old) in pairs if new != old), stop - 1)
        ids = np.array(tokenised[same:stop], np.int64).tobytes()
        return Splice(self.low + same, ids, "retokenised")


def _around(
    tokens: list[str], start: int, end: int, text_start: int, model: LanguageModel
) -> tuple[int, int]:
    """Where tokenising can begin before a phrase and end after it: at a space, or at the text's ends."""
    low = start
    while low > max(text_start, start - _AROUND) and not (low < start and model.opens(tokens[low])):
        low -= 1
    high = end
    while high < min(len(tokens), end + _AROUND) and not (high > end and tokens[high][:1].isspace()):
        high += 1
    return low, high
