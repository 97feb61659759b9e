"""Many pages at once, as far as they are written as Neuroscope writes them.

Their JSON becomes columns without an object for each token: DuckDB reads that of some pages in one call.
Whatever is not plainly usual (other keys, a number that is not finite, a token that is no text, whatever
would have a page refused) is left to `page.parse_page`, which decides what a page is; the rows are its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import PageError
from pipeline.samples.neuroscope import page
from pipeline.tables import json_lists

_AT_ONCE, _BYTES = 32, 32 * 2**20  # pages that are read in one call: so many, of so many bytes at most
_BEGIN, _SEPARATOR, _MIDDLE = '{"tokens": ["', '", "', '"], "values": ['
_NUMBER = r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
_REST = re.compile(rf'(?:, "(?:minValue|maxValue)": {_NUMBER})*\}}')
_OF_NUMBERS = b"0123456789.eE+-, "
# parse_page refuses whole numbers above it that are no float32; whatever is above it is left to that
_EXACT = 2**24


class _UnusualError(Exception):
    """JSON that is not written as Neuroscope writes it."""


class _Json(NamedTuple):
    """The lists of a rendering, and how many tokens the first holds if they are all texts."""

    tokens: str
    values: str
    n_tokens: int


class _Page(NamedTuple):
    """A neuron's page as it was found: its texts' headings, and their JSON."""

    neuron: int
    heads: list[re.Match[str]]
    parts: list[_Json]
    wholes: list[_Json]


def parse_pages(
    bodies: Iterable[bytes], neurons: Iterable[int], *, model: str, layer: int
) -> Iterator[pa.Table]:
    """The texts of each neuron's page, as `page.parse_page` gives them; PageError where it raises that."""
    for some in _batches(zip(bodies, neurons, strict=True)):
        for (body, neuron), known in zip(some, usual(some, model=model, layer=layer), strict=True):
            yield page.parse_page(body, model=model, layer=layer, neuron=neuron) if known is None else known


def _batches(pages: Iterable[tuple[bytes, int]]) -> Iterator[list[tuple[bytes, int]]]:
    waiting: list[tuple[bytes, int]] = []
    n_bytes = 0
    for body, neuron in pages:
        if waiting and (len(waiting) == _AT_ONCE or n_bytes + len(body) > _BYTES):
            yield waiting
            waiting, n_bytes = [], 0
        waiting.append((body, neuron))
        n_bytes += len(body)
    if waiting:
        yield waiting


def usual(pages: list[tuple[bytes, int]], *, model: str, layer: int) -> list[pa.Table | None]:
    """The texts of each page, given with its neuron, that is written as usual; None for each other page."""
    found = [_found(body, neuron, model=model, layer=layer) for body, neuron in pages]
    tables = iter(_read([each for each in found if each], model=model, layer=layer))
    return [next(tables) if each else None for each in found]


def _read(pages: list[_Page], *, model: str, layer: int) -> list[pa.Table | None]:
    """The rows of each page; None for one that turns out to be unusual, which is looked for by halves."""
    try:
        return [*_tables(pages, model=model, layer=layer)]
    except _UnusualError:
        if len(pages) == 1:
            return [None]
        middle = len(pages) // 2
        halves = pages[:middle], pages[middle:]
        return [each for half in halves for each in _read(half, model=model, layer=layer)]


def _found(body: bytes, neuron: int, *, model: str, layer: int) -> _Page | None:
    """The headings and JSON of a page; None where it is not written as usual."""
    found = _Page(neuron, [], [], [])
    n_tokens = 0
    try:
        for head, part, whole in page.walk(body, _json, model=model, layer=layer, neuron=neuron):
            found.heads.append(head)
            found.parts.append(part)
            found.wholes.append(whole)
            n_tokens += whole.n_tokens
            if n_tokens > page.MOST_TOKENS:
                return None
    except (_UnusualError, PageError):
        return None
    return found


def _json(html: str, start: int, place: str) -> tuple[_Json, int]:
    """The lists of a rendering, whose JSON ends with its line.

    A quote, a comma, a blank and a quote stand between two texts. Such quotes begin or end a text, as long
    as no text ends with a quote of its own, a comma and a blank, and no text is within another list. So a
    list of n items that are parted n - 1 times by these four holds texts only; `_lists` counts its items.
    """
    end = html.find("\n", start)
    first, middle = start + len(_BEGIN), html.find(_MIDDLE, start, end)
    close = html.find("]", middle + len(_MIDDLE), end)
    if not html.startswith(_BEGIN, start) or middle < first or close < 0:
        raise _UnusualError
    values = html[middle + len(_MIDDLE) : close]
    numbers = values.isascii() and not values.encode().translate(None, _OF_NUMBERS)
    if not numbers or not values[-1:].isdigit() or not _REST.fullmatch(html, close + 1, end):
        raise _UnusualError
    n_tokens = 1 + html.count(_SEPARATOR, first, middle)
    return _Json(f'["{html[first:middle]}"]', f"[{values}]", n_tokens), end


class _Lists(NamedTuple):
    """All tokens and values of some renderings one after the other, and how many each rendering has."""

    tokens: pa.StringArray
    values: pa.FloatArray
    sizes: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """Where those of each rendering begin."""
        return np.cumsum(self.sizes) - self.sizes

    def cut(self, n: int) -> tuple[_Lists, _Lists]:
        """Those of the first n renderings, and those of the others."""
        k = int(self.sizes[:n].sum())
        first = _Lists(self.tokens[:k], self.values[:k], self.sizes[:n])
        return first, _Lists(self.tokens[k:], self.values[k:], self.sizes[n:])


def _lists(of: list[_Json]) -> _Lists:
    """The lists of some renderings; raises _UnusualError where not all are texts, and as many numbers."""
    tokens = json_lists.read([each.tokens for each in of], pa.string())
    values = json_lists.read([each.values for each in of], pa.float64())
    if tokens is None or values is None:
        raise _UnusualError
    sizes, texts, numbers = tokens.value_lengths().to_numpy(), tokens.flatten(), values.flatten()
    same = np.array_equal(sizes, values.value_lengths().to_numpy())
    parted = np.array_equal(sizes, [each.n_tokens for each in of])
    if not same or not parted or _may_hold_others(texts) or (np.abs(numbers.to_numpy()) > _EXACT).any():
        raise _UnusualError
    return _Lists(texts, numbers.cast(pa.float32()), sizes)


def _may_hold_others(texts: pa.StringArray) -> bool:
    """Whether one of the texts ends as if two of them were parted there, or looks like a list or an object
    with texts of its own, which is read as a text."""
    listed = pc.and_(pc.starts_with(texts, "["), pc.ends_with(texts, "]"))
    keyed = pc.and_(pc.starts_with(texts, "{"), pc.ends_with(texts, "}"))
    nested = pc.match_substring(texts.filter(pc.or_(listed, keyed)), '"')
    return any(pc.any(each).as_py() for each in (pc.ends_with(texts, _SEPARATOR[:-1]), nested))


def _tables(pages: list[_Page], *, model: str, layer: int) -> list[pa.Table]:
    """The rows of each page; raises _UnusualError where one of them is not as usual."""
    if not pages:
        return []
    heads = [head for each in pages for head in each.heads]
    renderings = [whole for each in pages for whole in each.wholes]
    renderings += [part for each in pages for part in each.parts]
    wholes, parts = _lists(renderings).cut(len(heads))
    for head, start, size, part_start, part_size in zip(
        heads, wholes.starts, wholes.sizes, parts.starts, parts.sizes, strict=True
    ):
        mat = page.mat_of(head)
        first, stop = page.shown_around(mat)
        shown = wholes.tokens.slice(start + first, min(stop, size) - first) if mat < size else None
        if shown is None or not shown.equals(parts.tokens.slice(part_start, part_size)):
            raise _UnusualError
    n_texts = [len(each.heads) for each in pages]
    of_heads = [page.of_head(head) for head in heads]
    begins = wholes.tokens.take(pa.array(wholes.starts)).to_pylist()
    table = page.rows(
        wholes.tokens,
        wholes.values,
        wholes.sizes,
        neuron=[each.neuron for each, n in zip(pages, n_texts, strict=True) for _ in range(n)],
        rank=[rank for n in n_texts for rank in range(n)],
        text_start=[*map(page.text_start, begins)],
        model=model,
        layer=layer,
        **{name: [own[name] for own in of_heads] for name in of_heads[0]},
    )
    return [table[end - n : end] for end, n in zip(np.cumsum(n_texts), n_texts, strict=True)]
