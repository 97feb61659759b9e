"""The ids that stand for each variant, and how sure they are.

In: `variants`, `samples`. Out: `encodings`. A text's ids are found as `identities` says. A replacement's
ids are put into the word's place and held against tokenising the text around it: where that gives others,
those are taken (`retokenised`), and where they cannot be told from what surrounds them the variant is
`lossy`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import language_model, tables
from pipeline.config import Config
from pipeline.engine import Worker
from pipeline.identities import Identities, Known
from pipeline.language_model import LanguageModel

_SAMPLE = ["model", "layer", "neuron", "rank"]
_SPAN = ["variant", "replacement", "first_token", "end_token", "phrase_start", "phrase_end"]
_SHARD_ROWS = 16384
_AROUND = 32  # tokens on each side among which a place is looked for where tokenising can begin or end


def shards(inputs: Mapping[str, pa.Table]) -> Iterator[pa.Table]:
    """Runs of variants; no phrase is in two of them."""
    variants = inputs["variants"].select([*_SAMPLE, *_SPAN])
    starts = [*np.flatnonzero(variants["variant"].to_numpy() == 0).tolist(), len(variants)]
    begin = 0
    for stop in starts[1:]:
        if stop - begin >= _SHARD_ROWS or stop == len(variants):
            yield variants.slice(begin, stop - begin)
            begin = stop


def worker(config: Config, inputs: Mapping[str, pa.Table]) -> Worker:
    """The function from variants to their ids, with the tokenizer and the tokenised data set at hand."""
    model = language_model.load(config, config.precision)
    samples = inputs["samples"]
    places = {tuple(row.values()): i for i, row in enumerate(samples.select(_SAMPLE).to_pylist())}
    identities = Identities(config, model)

    def encoded(shard: pa.Table) -> pa.Table:
        phrases: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for row in shard.to_pylist():
            phrases.setdefault(tuple(row[name] for name in _SAMPLE), []).append(row)
        own = samples.take(pa.array([places[phrase] for phrase in phrases])).to_pylist()
        found: list[dict[str, Any]] = []
        for row, variants, known in zip(own, phrases.values(), identities.of(own), strict=True):
            found += _phrase(variants, row, known, model)
        return pa.Table.from_pylist(found, schema=tables.TABLES["encodings"].schema)

    return encoded


def _phrase(
    variants: list[dict[str, Any]], sample: Mapping[str, Any], known: Known, model: LanguageModel
) -> Iterator[dict[str, Any]]:
    """A phrase's rows: the text up to its end, and each variant from where it differs."""
    text = _digest(known.ids, "" if known.ids else "\0".join(sample["tokens"]))
    for row, each in zip(variants, _spliced(variants, sample, known, model), strict=True):
        status = "ok" if known.ids else "unknown_tokens"
        if known.ids and not each.ids:
            status = "no_tokens"
        elif max(row["phrase_end"], each.first + len(each.ids)) > model.n_ctx:
            status = "too_long"
        ids = each.ids if status == "ok" else []
        decides = [*known.ids[: each.first], *each.ids] if status == "ok" else []
        yield {name: row[name] for name in (*_SAMPLE, "variant", "phrase_start")} | dict(
            key=_digest([row["neuron"], row["phrase_start"], *decides], "" if decides else status + text),
            text=text,
            first_token=each.first,
            token_ids=ids,
            tokens=each.tokens,
            status=status,
        )


@dataclass(frozen=True)
class _Splice:
    """Where a variant differs from its text first, its ids from there to the phrase's end, how sure."""

    first: int
    ids: list[int]
    tokens: str


def _spliced(
    variants: list[dict[str, Any]], sample: Mapping[str, Any], known: Known, model: LanguageModel
) -> Iterator[_Splice]:
    """The phrase itself from the text's beginning, and each variant."""
    tokens, ids = sample["tokens"], known.ids
    start, end = variants[0]["phrase_start"], variants[0]["phrase_end"]
    low, high = _around(tokens, max(start, sample["text_start"]), end, sample["text_start"])
    changed = [row for row in variants if row["replacement"] is not None]
    texts_ = [
        "".join([*tokens[low : row["first_token"]], row["replacement"], *tokens[row["end_token"] : high]])
        for row in changed
    ]
    replacements = [row["replacement"] for row in changed]
    around, *found = model.encode_parts(["".join(tokens[low:high]), *texts_, *replacements])
    checkable = known.tokens != "lossy" and around == ids[low:high]
    pairs = iter(zip(found[: len(changed)], found[len(changed) :], strict=True))
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
    """A variant as tokenising gives it; null where the phrase cannot be told from what surrounds it."""
    after = around[phrase[1] - low :]
    stop = len(tokenised) - len(after)
    if tokenised[stop:] != after or low + stop <= phrase[0]:
        return None
    pairs = enumerate(zip(tokenised[: stop - 1], around, strict=False))
    same = next((i for i, (new, old) in pairs if new != old), stop - 1)
    return _Splice(low + same, tokenised[same:stop], "retokenised")


def _around(tokens: list[str], start: int, end: int, text_start: int) -> tuple[int, int]:
    """Where tokenising can begin before a phrase and end after it: at a blank, or the text's ends."""
    low = start
    while low > max(text_start, start - _AROUND) and not (low < start and tokens[low][:1].isspace()):
        low -= 1
    high = end
    while high < min(len(tokens), end + _AROUND) and not (high > end and tokens[high][:1].isspace()):
        high += 1
    return low, high


def _digest(numbers: list[int], more: str) -> str:
    content = np.array(numbers, np.int64).tobytes() + more.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).hexdigest()
