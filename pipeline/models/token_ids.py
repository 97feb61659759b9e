"""The ids of a text whose tokens are known as texts only: found again, and how sure they are.

They are the sample's own, or those of the tokenised data set it came from, where either is available
(`exact`). Else they are found by tokenising the text, or token by token in the vocabulary, and spell the
sample's tokens (`retokenised`). Where a token may stand for several ids, as half a character does, one of
them is taken (`lossy`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.config import Config
from pipeline.language import tokenised
from pipeline.models.language_model import LanguageModel


@dataclass(frozen=True)
class Known:
    """A text's ids and how they were found; no ids where a token has none."""

    ids: list[int]
    tokens: str


@dataclass
class Identities:
    """Finds the ids of samples; the tokenised data set is opened once a text needs it."""

    config: Config
    model: LanguageModel
    _exact: list[tokenised.Tokenised] = field(default_factory=list)

    def of(self, samples: Sequence[Mapping[str, Any]]) -> list[Known]:
        """The ids of each sample's tokens."""
        unknown = [row["text_id"] for row in samples if not row["token_ids"]]
        if self.config.exact_tokens and unknown and not self._exact:
            self._exact.append(tokenised.Tokenised(self.config))
        given = self._exact[0].rows(unknown) if self._exact else {}
        found = [_at_once(row, given.get(row["text_id"]), self.model) for row in samples]
        open_ = [row for row, known in zip(samples, found, strict=True) if known is None]
        texts = ["".join(row["tokens"][row["text_start"] :]) for row in open_]
        encoded = iter(self.model.encode_parts(texts) if texts else [])
        return [
            known or _tokenised(row, next(encoded), self.model)
            for row, known in zip(samples, found, strict=True)
        ]


def _at_once(sample: Mapping[str, Any], given: list[int] | None, model: LanguageModel) -> Known | None:
    """The ids of a sample's tokens; None where its text has to be tokenised. `given` are those of its data
    set, taken if they spell the tokens."""
    tokens, start = sample["tokens"], sample["text_start"]
    if sample["token_ids"] and model.spells(sample["token_ids"], tokens):
        return Known(sample["token_ids"], "exact")
    for ids in (given[: len(tokens)], [model.bos_id, *given][: len(tokens)]) if given else ():
        if model.spells(ids, tokens):
            return Known(ids, "exact")
    possible = [model.ids_of(token) for token in tokens[start:]]
    if not all(possible):
        return Known([], "lossy")
    if any("\ufffd" in token for token in tokens[start:]):
        return Known([model.bos_id] * start + [ids[0] for ids in possible], "lossy")
    return None


def _tokenised(sample: Mapping[str, Any], ids: list[int], model: LanguageModel) -> Known:
    """The ids of a sample by tokenising its text, or token by token where these are others."""
    tokens, start = sample["tokens"], sample["text_start"]
    first = [model.bos_id] * start
    if model.spells(ids, tokens[start:]):
        return Known(first + ids, "retokenised")
    possible = [model.ids_of(token) for token in tokens[start:]]
    sure = all(len(ids) == 1 for ids in possible)
    return Known(first + [ids[0] for ids in possible], "retokenised" if sure else "lossy")
