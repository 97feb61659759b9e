"""The obviously right way to the ids of variants: each variant's text is tokenised by itself.

What `pipeline/verification/encodings.py` gives is compared with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import tables
from pipeline.config import Config
from pipeline.models.language_model import LanguageModel
from pipeline.models.token_ids import Identities, Known
from pipeline.tables.columns import SAMPLE_KEY

_AROUND = 32


def encoded(variants: pa.Table, samples: pa.Table, model: LanguageModel, settings: Config) -> pa.Table:
    """The rows of `encodings` for variants, in order."""
    places = {tuple(row.values()): i for i, row in enumerate(samples.select(list(SAMPLE_KEY)).to_pylist())}
    phrases: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in variants.to_pylist():
        phrases.setdefault(tuple(row[name] for name in SAMPLE_KEY), []).append(row)
    own = samples.take(pa.array([places[phrase] for phrase in phrases])).to_pylist()
    identities = Identities(settings, model)
    rows: list[dict[str, Any]] = []
    for row, of_phrase, known in zip(own, phrases.values(), identities.of(own), strict=True):
        rows += _phrase(of_phrase, row, known, model)
    return pa.Table.from_pylist(rows, schema=tables.TABLES["encodings"].schema)


def _phrase(
    variants: list[dict[str, Any]], sample: Mapping[str, Any], known: Known, model: LanguageModel
) -> Iterator[dict[str, Any]]:
    """A phrase's rows: its text up to the phrase's end, and each variant from its first different token."""
    text = _digest(known.ids, "" if known.ids else "\0".join(sample["tokens"]))
    for row, each in zip(variants, _spliced(variants, sample, known, model), strict=True):
        status = "ok" if known.ids else "unknown_tokens"
        if known.ids and not each.ids:
            status = "no_tokens"
        elif max(row["phrase_end"], each.first + len(each.ids)) > model.n_ctx:
            status = "too_long"
        ids = each.ids if status == "ok" else []
        decides = [*known.ids[: each.first], *each.ids] if status == "ok" else []
        yield {name: row[name] for name in (*SAMPLE_KEY, "variant", "phrase_start")} | dict(
            key=_digest(
                [row["layer"], row["neuron"], row["phrase_start"], *decides],
                "" if decides else status + text,
            ),
            text=text,
            first_token=each.first,
            token_ids=ids,
            tokens=each.tokens,
            status=status,
        )


@dataclass(frozen=True)
class _Splice:
    """The first token at which a variant differs from its text, the ids from there to the phrase's end, and
    how certain they are."""

    first: int
    ids: list[int]
    tokens: str


def _spliced(
    variants: list[dict[str, Any]], sample: Mapping[str, Any], known: Known, model: LanguageModel
) -> Iterator[_Splice]:
    """The phrase itself with its text from the beginning, and each variant."""
    tokens, ids = sample["tokens"], known.ids
    start, end = variants[0]["phrase_start"], variants[0]["phrase_end"]
    low, high = _around(tokens, max(start, sample["text_start"]), end, sample["text_start"], model)
    changed = [row for row in variants if row["replacement"] is not None]
    texts_ = [
        "".join([*tokens[low : row["first_token"]], row["replacement"], *tokens[row["end_token"] : high]])
        for row in changed
    ]
    replacements = [row["replacement"] for row in changed]
    around, *encoded = model.encode_parts(["".join(tokens[low:high]), *texts_, *replacements])
    checkable = known.tokens != "lossy" and around == ids[low:high]
    pairs = iter(zip(encoded[: len(changed)], encoded[len(changed) :], strict=True))
    for row in variants:
        if row["replacement"] is None:
            yield _Splice(0, ids[:end], known.tokens)
            continue
        tokenised, new = next(pairs)
        first, stop = row["first_token"], row["end_token"]
        put_in = _Splice(first, new + ids[stop:end], known.tokens if checkable else "lossy")
        if not checkable or tokenised == ids[low:first] + new + ids[stop:high]:
            yield put_in
        else:
            yield _retokenised(tokenised, ids[low:high], low, (start, end)) or replace(
                put_in, tokens="lossy"
            )


def _retokenised(
    tokenised: list[int], around: list[int], low: int, phrase: tuple[int, int]
) -> _Splice | None:
    """A variant as tokenising gives it; None where the phrase cannot be separated from its surroundings."""
    after = around[phrase[1] - low :]
    stop = len(tokenised) - len(after)
    if tokenised[stop:] != after or low + stop <= phrase[0]:
        return None
    pairs = enumerate(zip(tokenised[: stop - 1], around, strict=False))
    same = next((i for i, (new, old) in pairs if new != old), stop - 1)
    return _Splice(low + same, tokenised[same:stop], "retokenised")


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


def _digest(numbers: list[int], more: str) -> str:
    content = np.array(numbers, np.int64).tobytes() + more.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).hexdigest()
