"""The index of a site of Neuroscope's form: which models it has, and how large they are.

Unlike a page, it is regular enough for an HTML parser.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import PageError
from pipeline.samples.neuroscope.page import decoded, glimpse

MOST = 1_000_000  # layers or neurons per layer; the largest models have some 50,000
MOST_INDEX = 2**20  # bytes of the index; that of Neuroscope has some 10,000
_DEEPEST = 250  # elements within each other; lxml ends at 256
_LINK = re.compile(r"(?:https?://[^/]+/|\./|/)?(.{1,200})/model\.html")


@dataclass(frozen=True)
class Shape:
    """How large a model is, as the index says; None where it does not say."""

    n_layers: int | None
    n_neurons: int | None


def parse_index(html: str | bytes) -> dict[str, Shape]:
    """The models that the site's index lists, with their sizes; the index is a table or the older list.

    Raises PageError where it lists none, is larger than `MOST_INDEX` bytes, or is nested 250 deep.
    """
    from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning

    text = decoded(html)
    body = text.encode(errors="replace")
    if len(body) > MOST_INDEX:
        raise PageError(f"expected an index of at most {MOST_INDEX:,} bytes, found {len(body):,}")
    # Python's own parser takes quadratic time for some repetitions
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
        soup = BeautifulSoup(body, "lxml", from_encoding="utf-8")
    models = _models(_steps(soup))
    if not models:
        raise PageError(f"expected an index that links to models, found {glimpse(text)}")
    return models


@dataclass
class _Row:
    """A table's row or a list's item, as far as it has been read; a text belongs to the innermost one."""

    model: str | None = None
    parts: list[str] = field(default_factory=list)
    heads: list[list[str]] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)

    def begin(self, element: Any) -> None:
        """Take a cell or a link that begins here."""
        if element.name in ("th", "td"):
            self.parts = []
            (self.heads if element.name == "th" else self.cells).append(self.parts)
        elif element.name == "a" and (link := _LINK.fullmatch(str(element.get("href", "")))):
            self.model = self.model or link[1]

    def size(self, heads: list[str], what: str) -> int | None:
        """A number of the index: that of a column, or of a list's item, before its name."""
        if self.cells:
            return _count("".join(dict(zip(heads, self.cells, strict=False)).get(what, [])))
        number = re.search(
            rf"(?<!\d)(?<!\d,)(\d[\d,]{{0,12}}) {what}", " ".join(" ".join(self.parts).split())
        )
        return _count(number[1]) if number else None


def _steps(soup: Any) -> Iterator[tuple[str, Any]]:
    """Beginnings and ends of elements, and texts, in the document's order; PageError where it is as deep as
    lxml goes, which leaves out what is below."""
    from bs4.element import PreformattedString

    open_ = [(soup, iter(soup.contents))]
    while open_:
        node = next(open_[-1][1], None)
        if node is None:
            yield "end", open_.pop()[0]
        elif hasattr(node, "contents"):
            yield "start", node
            open_.append((node, iter(node.contents)))
            if len(open_) > _DEEPEST:
                raise PageError("expected an index, found elements that are nested too deeply")
        elif not isinstance(node, PreformattedString):  # a comment
            yield "text", node


def _models(steps: Iterator[tuple[str, Any]]) -> dict[str, Shape]:
    """The models of an index, read in one pass over the beginnings and ends of its elements."""
    models: dict[str, Shape] = {}
    tables_: list[list[str]] = [[]]  # the heads of those that are open
    rows = [_Row()]
    for event, element in steps:
        if event == "text":
            rows[-1].parts.append(str(element))
        elif event == "start":
            if element.name == "table":
                tables_.append([])
            if element.name in ("tr", "li"):
                rows.append(_Row())
            rows[-1].begin(element)
        elif element.name in ("tr", "li"):
            row, heads = rows.pop(), tables_[-1]
            if row.heads and not heads:
                heads += [" ".join("".join(parts).split()) for parts in row.heads]
            if row.model:
                models[row.model] = Shape(row.size(heads, "Layers"), row.size(heads, "Neurons per Layer"))
        elif element.name == "table":
            tables_.pop()
    return models


def _count(text: str) -> int | None:
    """A number of layers or neurons as the index writes it; None for a number that no model has."""
    digits = "".join(text.split()).replace(",", "")
    number = int(digits) if re.fullmatch(r"[0-9]{1,7}", digits) else 0
    return number if 0 < number <= MOST else None
