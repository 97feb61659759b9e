"""The token ids of each variant, and how certain they are.

In: `places`, `samples`. Out: `encodings`. The ids of a text are found as in models/token_ids.py. The ids
of a replacement are put into the word's place and compared with tokenising the text around it: where that
gives other ids, those are used (`retokenised`), and where these cannot be separated from what surrounds
them the variant is `lossy`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage, runs_of
from pipeline.language import tokenised
from pipeline.models import language_model
from pipeline.models.language_model import LanguageModel
from pipeline.models.pieces import Pieces
from pipeline.models.token_ids import Identities
from pipeline.tables.columns import SAMPLE_KEY
from pipeline.tables.rows import Columns, counted
from pipeline.verification import variants
from pipeline.verification.placed import Placed, Splice

_SHARD_PLACES = 4096  # of some five variants each
_OF_SAMPLE = ["text_id", "token_ids", "tokens", "text_start"]


def _worker(inputs: Inputs, settings: Config) -> Worker:
    """The function from variants to their ids; loads the model with its tokenizer."""
    encoder = Encoder(settings, language_model.load(settings, settings.precision))
    samples = inputs.rows("samples", [*SAMPLE_KEY, *_OF_SAMPLE])
    return lambda places: encoder(variants.of_places(places), samples.of_neurons(places))


class Encoder:
    """Encodes variants of the texts of some samples."""

    def __init__(self, settings: Config, model: LanguageModel) -> None:
        self.n_ctx, self.pieces, self.identities = model.n_ctx, Pieces(model), Identities(settings, model)

    def __call__(self, shard: pa.Table, samples: pa.Table) -> pa.Table:
        """The rows of `encodings` for a shard of variants, in order; each phrase begins with the phrase as
        it is, and the variants of one word follow each other. Their texts are among `samples`."""
        self.pieces.forget()
        starts = np.flatnonzero(shard["variant"].to_numpy() == 0)
        stops = [*starts[1:].tolist(), len(shard)]
        phrases = self._phrases(shard.take(pa.array(starts)), samples)
        words = _Words.of(shard, self.pieces)
        asked = [_Asked(*each) for each in zip(phrases, starts.tolist(), stops, strict=True)]
        self.pieces.learn(text for each in asked for text in each.odd(words))
        rows = _Rows(self.n_ctx)
        heads = shard.select(["layer", "neuron", "phrase_start"]).take(pa.array(starts)).to_pylist()
        for each, head in zip(asked, heads, strict=True):
            rows.begin(each.phrase, list(head.values()))
            each.add(rows, words, self.pieces)
        texts = pa.array([phrase.digest for phrase in phrases], pa.string())
        own = np.repeat(np.arange(len(phrases)), np.array(stops) - starts)
        return rows.table(shard, texts.take(pa.array(own)))

    def _phrases(self, baselines: pa.Table, samples: pa.Table) -> list[Placed]:
        """The phrases of some baselines, what can be checked of them checked."""
        places = {key: i for i, key in enumerate(_keys(samples))}
        own = samples.take(pa.array([places[key] for key in _keys(baselines)], pa.int64())).to_pylist()
        spans = zip(baselines["phrase_start"].to_pylist(), baselines["phrase_end"].to_pylist(), strict=True)
        found = [
            Placed.of(sample, known, span, self.pieces)
            for sample, known, span in zip(own, self.identities.of(own), spans, strict=True)
        ]
        self.pieces.learn(text for phrase in found for text in phrase.texts())
        for phrase in found:
            phrase.check(self.pieces)
        return found


def _keys(rows: pa.Table) -> Iterator[tuple[Any, ...]]:
    return zip(*(rows[name].to_pylist() for name in SAMPLE_KEY), strict=True)


@dataclass(frozen=True)
class _Words:
    """What replaces which tokens in each row of a shard, and the ids of each different replacement."""

    firsts: list[int]  # (row)
    stops: list[int]
    codes: list[int]
    texts: list[str]  # (code)
    ids: list[bytes]
    whole: list[bool]  # whether it can be a piece of its own
    longest: int  # ids of one

    @staticmethod
    def of(shard: pa.Table, pieces: Pieces) -> _Words:
        """The words of a shard, now known to `pieces`."""
        replaced = shard["replacement"].combine_chunks().dictionary_encode()
        texts = replaced.dictionary.to_pylist()
        pieces.learn(texts)
        ids = [pieces[text] for text in texts]
        firsts, stops = (shard[name].fill_null(0).to_pylist() for name in ("first_token", "end_token"))
        codes = replaced.indices.fill_null(0).to_pylist()
        whole = [text[:1] == " " and not text[-1].isspace() for text in texts]
        return _Words(firsts, stops, codes, texts, ids, whole, max(map(len, ids), default=0) // 8)


@dataclass(frozen=True)
class _Asked:
    """A phrase, and its rows in a shard."""

    phrase: Placed
    start: int
    stop: int

    def words(self, words: _Words) -> Iterator[tuple[int, int, int, int]]:
        """The rows of each replaced word, and the tokens replaced: (from row, to row, first, end)."""
        begin = self.start + 1
        for row in range(begin + 1, self.stop + 1):
            span = words.firsts[begin], words.stops[begin]
            if row == self.stop or (words.firsts[row], words.stops[row]) != span:
                yield begin, row, *span
                begin = row

    def odd(self, words: _Words) -> Iterator[str]:
        """What else must be tokenised: replacements with what they may merge with."""
        if not self.phrase.checkable:
            return
        for begin, stop, first, end in self.words(words):
            alone = self.phrase.stands_alone(first, end)
            for code in words.codes[begin:stop]:
                if not (alone and words.whole[code]):
                    yield self.phrase.text(first, end, words.texts[code])

    def add(self, rows: _Rows, words: _Words, pieces: Pieces) -> None:
        """Add the phrase as it is, and its variants."""
        phrase = self.phrase
        rows.add(Splice(0, phrase.between(0, phrase.end), phrase.known.tokens))
        for begin, stop, first, end in self.words(words):
            alone, codes = phrase.stands_alone(first, end), words.codes[begin:stop]
            whole = alone and (not phrase.checkable or all(words.whole[code] for code in codes))
            if whole and rows.fits(first + words.longest + phrase.end - end):
                rows.put_in(first, end, [words.ids[code] for code in codes])
                continue
            for code in codes:
                if not phrase.checkable or (alone and words.whole[code]):
                    rows.add(phrase.put_in(first, end, words.ids[code]))
                else:
                    rows.add(phrase.spliced(first, end, words.texts[code], pieces))


@dataclass
class _Rows:
    """The rows of `encodings` in the making."""

    n_ctx: int
    digests: list[bytes] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)

    def begin(self, phrase: Placed, head: list[int]) -> None:
        """Go on to another phrase; `head` are the numbers with which its fingerprints begin."""
        self.phrase, self.head = phrase, np.array(head, np.int64).tobytes()
        self._upto, self._first = hashlib.blake2b(self.head, digest_size=16), 0

    def fits(self, length: int) -> bool:
        """Whether variants that end here all have ids and fit the context."""
        return bool(self.phrase.known.ids) and max(self.phrase.end, length) <= self.n_ctx

    def put_in(self, first: int, end: int, words: list[bytes]) -> None:
        """Add variants whose new ids stand in the place of some tokens; all of them fit."""
        sure, after = self.phrase.put_in(first, end, b"").tokens, self.phrase.between(end, self.phrase.end)
        upto = self._before(first)
        for new in words:
            if not (ids := new + after):
                self.add(Splice(first, ids, sure))
                continue
            digest = upto.copy()
            digest.update(ids)
            self.digests.append(digest.digest())
            self.ids.append(ids)
            self.firsts.append(first)
            self.tokens.append(sure)
            self.statuses.append("ok")

    def add(self, splice: Splice) -> None:
        """Add a variant, or why it is not measured."""
        phrase, status = self.phrase, "ok"
        if not phrase.known.ids:
            status = "unknown_tokens"
        elif not splice.ids:
            status = "no_tokens"
        elif max(phrase.end, splice.first + len(splice.ids) // 8) > self.n_ctx:
            status = "too_long"
        if status == "ok":
            digest = self._before(splice.first).copy()
            digest.update(splice.ids)
        else:
            digest = hashlib.blake2b(self.head + (status + phrase.digest).encode(), digest_size=16)
        self.digests.append(digest.digest())
        self.ids.append(splice.ids if status == "ok" else b"")
        self.firsts.append(splice.first)
        self.tokens.append(splice.tokens)
        self.statuses.append(status)

    def _before(self, first: int) -> Any:
        """The unfinished fingerprint of the text before a token; read once where tokens ascend."""
        if first < self._first:
            self._upto, self._first = hashlib.blake2b(self.head, digest_size=16), 0
        self._upto.update(self.phrase.between(self._first, first))
        self._first = first
        return self._upto

    def table(self, shard: pa.Table, texts: pa.Array) -> pa.Table:
        """The rows, beside those of the variants that they belong to."""
        numbers = np.frombuffer(b"".join(self.ids), np.int64).astype(np.int32)
        ends = np.cumsum([0, *map(len, self.ids)]) // 8
        hexadecimal = b"".join(self.digests).hex().encode()
        offsets = np.arange(0, len(hexadecimal) + 1, 32, dtype=np.int32)
        keys = [pa.py_buffer(offsets), pa.py_buffer(hexadecimal)]
        columns = dict(
            key=pa.StringArray.from_buffers(len(self.digests), *keys),
            text=texts,
            phrase_start=shard["phrase_start"],
            first_token=pa.array(self.firsts, pa.int32()),
            token_ids=pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(numbers)),
            tokens=pa.array(self.tokens),
            status=pa.array(self.statuses),
        )
        columns |= {name: shard[name] for name in (*SAMPLE_KEY, "variant")}
        schema = tables.TABLES["encodings"].schema
        return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _note(data: Columns, inputs: Inputs, settings: Config) -> str:
    by_tokens = "; ".join(f"{n:,} {how}" for how, n in counted(data["tokens"]))
    lost = "; ".join(f"{n} {status}" for status, n in counted(data["status"]) if status != "ok")
    return by_tokens + (f"; not measured: {lost}" if lost else "")


def _not_exact(data: Columns, inputs: Inputs, settings: Config) -> list[str]:
    """A warning where the tokenised data set is not the one that the pages were made from."""
    texts = data["tokens"].filter(pc.equal(data["variant"], 0))
    other = pc.sum(pc.not_equal(texts, "exact")).as_py() or 0
    if not settings.exact_tokens or other <= len(texts) / 2:
        return []
    return [
        f"EXACT_TOKENS: {other} of {len(texts)} texts differ in {settings.exact_tokens}, or are not in it: "
        "is it the data set that the pages' Data Index counts in?"
    ]


def _ready(settings: Config) -> None:
    language_model.ready(settings)
    tokenised.ready(settings)


STAGE = Stage(
    __name__,
    "230",
    "encodings",
    reads=("places", "samples"),
    settings=("model", "weights", "exact_tokens"),
    uses=("layer", "sign", "precision", "device"),
    shards=runs_of("places", _SHARD_PLACES, tuple(variants.COLUMNS), whole_neurons=True),
    worker=_worker,
    ready=_ready,
    note=_note,
    warn=_not_exact,
)
