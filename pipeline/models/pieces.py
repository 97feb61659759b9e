"""The ids of texts that have most of their words in common: what is cut apart first is tokenised once.

A *piece* of a text begins at a space that follows no white space. Tokenizers cut there before they look for
tokens, or have no token that reaches across, so that the ids of a text are those of its pieces. Whether one
does is read from its vocabulary and tried out.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from functools import cached_property

import numpy as np

from pipeline.models.language_model import LanguageModel

_ACROSS = re.compile(r"\S ")
_BEFORE = ("a", "A", "1", ".", "'", "(", "\ue000", "a\ue000", "\u4e2d")  # \ue000 is in no vocabulary
_AFTER = (" a", " A", " 1", " .", " '", " s", " (", " \ue000", " \ue000a", "  a", " \na", " \u4e2d")
_MOST = 500_000  # texts whose ids are remembered: some 200 MB


class Pieces:
    """Tokenises each distinct text once.

    `cuts` says whether a text's ids are those of its pieces; where not, a text is one piece.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self._known: dict[str, bytes] = {}

    @cached_property
    def cuts(self) -> bool:
        """Whether the ids of a text are those of its pieces, whatever the text."""
        added = self.model.tokenizer.added_tokens_decoder.values()
        if any(token.rstrip for token in added):  # takes the space after it
            return False
        if any(_ACROSS.search(text) for text in self.model.token_texts):
            return False
        pairs = list(itertools.product(_BEFORE, _AFTER))
        whole = self.model.encode_parts([before + after for before, after in pairs])
        self.learn([*_BEFORE, *_AFTER])
        return all(
            _packed(ids) == self[before] + self[after]
            for ids, (before, after) in zip(whole, pairs, strict=True)
        )

    def begin(self, tokens: list[str]) -> list[int]:
        """Places of the tokens at which a piece begins, the first one left out."""
        if not self.cuts:
            return []
        return [
            place
            for place in range(1, len(tokens))
            if tokens[place][:1] == " " and tokens[place - 1] and not tokens[place - 1][-1].isspace()
        ]

    def learn(self, texts: Iterable[str]) -> None:
        """Tokenise those texts that are not known yet; each begins as `encode_parts` asks."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known |= zip(new, map(_packed, self.model.encode_parts(new)), strict=True)

    def forget(self) -> None:
        """Forget all ids if there are too many."""
        if len(self._known) > _MOST:
            self._known.clear()

    def __getitem__(self, text: str) -> bytes:
        """The ids of a text that was learnt, as 64-bit numbers in bytes."""
        return self._known[text]


def _packed(ids: list[int]) -> bytes:
    return np.array(ids, np.int64).tobytes()
