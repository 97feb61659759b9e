"""Neuroscope's pages, read exactly.

Out: rows of `samples`. Each text's tokens and activations are JSON in a script; they are read as JSON
from the page's text at the place where it stands, never through HTML: a token may hold `</script>`,
a heading or half the JSON's own syntax. Only the index is regular enough for an HTML parser.
"""

from __future__ import annotations

import html as markup
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from pipeline import tables
from pipeline.errors import PageError, lacks_memory, short_of_memory
from pipeline.printable import line

PARSER = 2  # version of the parser; raise it with every change of the rows that a page gives
TRUNCATED = (50, 11)  # tokens shown before the MAT, and from it on

MOST = 1_000_000  # layers or neurons per layer; the largest models have some 50,000
MOST_TOKENS = 2**18  # of a page in all; those of Neuroscope have some 20,000
MOST_INDEX = 2**20  # bytes of the index; that of Neuroscope has some 10,000
_DEEPEST = 250  # elements within each other; lxml ends at 256
FULL = 20  # texts of a page that is not one of the few with less
_NEURON = re.compile(r"<h2>Neuron (\d{1,9}) in Layer (\d{1,9})\s*</h2>")
_MODEL = re.compile(r"from_pretrained\('([^']*)'\)")
_TEXT = re.compile(
    r"<h2>Text #(\d{1,9})</h2>\s*"
    r"<h4>Max Range: <b>[^<]*</b>\. Min Range: <b>[^<]*</b></h4>\s*"
    r"<h4>Max Act: <b>[^<]*</b>\. Min Act: <b>[^<]*</b></h4>\s*"
    r"<h4>Data Index: <b>([^<]*)</b>(?: \((.*)\))?</h4>\s*"
    r"<h4>Max Activating Token Index: <b>(\d{1,9})</b></h4>"
)
_RENDER = re.compile(r'<script[^<>]*>\s*(?:import [^\n]*\n\s*)?render\(\s*"[^"]*",\s*ColoredTokens,\s*')
_END = re.compile(r"\s*\);?\s*</script>\s*</details>\s*")
# what only a text has, and a text that was cut off before its first letter, with whatever was appended then
_OF_TEXT = re.compile(
    r"<h2>Text #|<h4>(?:Max|Data Index)\b|<h3>(?:Truncated|Full Text)\b|ColoredTokens,\s*\{"
)
_CUT = re.compile(r"\s*<(?:hr|h?\s*(?:<|\Z))")
_LINK = re.compile(r"(?:https?://[^/]+/|\./|/)?(.{1,200})/model\.html")
_BOS = re.compile(r"<\|\w+\|>|<s>|<bos>")
_NUMBERS = {float, int, type(None)}  # not bool, though Python and Arrow take true for 1.0
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Shape:
    """How large a model is, as the index says; None where it does not say."""

    n_layers: int | None
    n_neurons: int | None


def page_path(model: str, layer: int, neuron: int) -> str:
    """Where a neuron's page is, from the site's root."""
    return f"{model}/{layer}/{neuron}.html"


def parse_index(html: str | bytes) -> dict[str, Shape]:
    """The models that the site's index lists, with their sizes; the index is a table or the older list.

    Raises PageError where it lists none, is larger than `MOST_INDEX` bytes, or is nested 250 deep.
    """
    from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning

    text = _text(html)
    body = text.encode(errors="replace")
    if len(body) > MOST_INDEX:
        raise PageError(f"expected an index of at most {MOST_INDEX:,} bytes, found {len(body):,}")
    # Python's own parser takes quadratic time for some repetitions
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
        soup = BeautifulSoup(body, "lxml", from_encoding="utf-8")
    models = _models(_steps(soup))
    if not models:
        raise PageError(f"expected an index that links to models, found {_glimpse(text)}")
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


def parse_page(html: str | bytes, *, model: str, layer: int, neuron: int) -> pa.Table:
    """The texts of a neuron's page as rows of `samples`, in the page's order.

    `mat_index` is the page's own, `text_id` its Data Index in `text_set`. Activations that are not
    finite numbers are null, with the count in `reason`. `token_ids`, `address`, `fetched` and
    `page_sha256` are null: they are not in the page.
    Whatever follows the last text, such as a mirror's comment, does not count.
    Raises PageError, saying what was expected and found, for anything that is not a whole page of
    this neuron, or has more than `MOST_TOKENS` tokens.
    """
    html = _text(html)
    position = _head(html, model, layer, neuron)
    texts: list[dict[str, Any]] = []
    n_tokens = 0
    while not _is_over(html, position, len(texts)):
        if not (head := _TEXT.search(html, position)):
            raise PageError(f"expected Text #{len(texts)}, found {_glimpse(html[position:])}")
        text, position = _read(html, head, expected=len(texts))
        if not (end := _END.match(html, position)):
            raise PageError(f"Text #{len(texts)}: expected its end, found {_glimpse(html[position:])}")
        position = end.end()
        texts.append(text)
        n_tokens += len(text["tokens"])
        if n_tokens > MOST_TOKENS:
            raise PageError(
                f"expected at most {MOST_TOKENS:,} tokens in a page, found {n_tokens:,} or more"
            )
    return _table(texts, model=model, layer=layer, neuron=neuron)


def _is_over(html: str, position: int, n_texts: int) -> bool:
    """Whether no text follows after some whole ones, nor the beginning of one that was cut off."""
    if not n_texts or _OF_TEXT.search(html, position):
        return False
    return n_texts == FULL or not _CUT.match(html, position)


def _text(html: str | bytes) -> str:
    try:
        return html if isinstance(html, str) else html.decode()
    except UnicodeDecodeError as exc:
        raise PageError(f"expected text, found byte {html[exc.start]:#x} at {exc.start}") from exc


def _unescaped(text: str) -> str:
    """A text without its escapes; that of a number with more digits than any character's stays."""
    if "&" not in text:
        return text
    return markup.unescape(re.sub(r"&#(?=[0-9]{8})", "&amp;#", text))


def _glimpse(html: str) -> str:
    """The beginning of a page's text, for an error."""
    words = " ".join(re.sub(r"(?s)<script.*?(?:</script>|$)|<[^>]*>", " ", html[:2000]).split())[:60]
    return repr(words) if words else "nothing"


def _head(html: str, model: str, layer: int, neuron: int) -> int:
    """Where the page's head ends; raises PageError where it is that of another page."""
    expected = f"a page of neuron {neuron} in layer {layer} of {model}"
    found = _NEURON.search(html)
    if not found:
        raise PageError(f"expected {expected}, found {_glimpse(html)}")
    loading = _MODEL.search(html, found.end())
    if not loading:
        raise PageError(f"expected {expected}, found no model to load")
    name = _unescaped(loading[1])
    if (int(found[1]), int(found[2]), name) != (neuron, layer, model):
        other = f"neuron {found[1]} in layer {found[2]} of {line(name)[:100]}"
        raise PageError(f"expected {expected}, found {other}")
    return loading.end()


def _read(html: str, head: re.Match[str], expected: int) -> tuple[dict[str, Any], int]:
    """One text from its headings and two renderings, and where its JSON ends."""
    number, index, text_set, mat = head.groups()
    place = f"Text #{expected}"
    if int(number) != expected:
        raise PageError(f"expected {place}, found Text #{number}")
    part, position = _rendered(html, head.end(), "<h3>Truncated</h3>", place)
    whole, position = _rendered(html, position, f"<h3>Full {place}</h3>", place)
    tokens, values = whole["tokens"], whole["values"]
    _check_values(values, len(tokens), place)
    if int(mat) >= len(tokens):
        raise PageError(f"{place}: expected its MAT among {len(tokens)} tokens, found index {mat}")
    before, after = TRUNCATED
    shown = tokens[max(0, int(mat) - before) : int(mat) + after]
    if {*map(type, shown)} <= {str} and part["tokens"] != shown:
        raise PageError(
            f"{place}: expected the tokens around the MAT in the truncated part, found "
            f"{len(part['tokens'])} others; its MAT index or its JSON is not its own"
        )
    _check_values(part["values"], len(shown), place)
    text = columns(tokens, values) | dict(
        text_id=int(index) if re.fullmatch(r"\d{1,18}", index) else None,
        text_set=_unescaped(text_set) if text_set else None,
        mat=int(mat),
    )
    return text, position


def _check_values(values: list[Any], n_tokens: int, place: str) -> None:
    """Raise PageError where these are not as many numbers, or nulls, as tokens."""
    if len(values) != n_tokens:
        raise PageError(f"{place}: expected a value per token, found {n_tokens} and {len(values)}")
    others = {*map(type, values)} - _NUMBERS
    if others:
        told = ", ".join(sorted(kind.__name__ for kind in others))
        raise PageError(f"{place}: expected tokens of text and values of numbers, found {told}")


def _rendered(html: str, position: int, heading: str, place: str) -> tuple[dict[str, Any], int]:
    """The tokens and values that the script after a heading of this text draws, and where they end."""
    heads = html.find(heading, position)
    render = _RENDER.search(html, heads) if heads >= 0 else None
    if not render or "<h2>" in html[position : render.start()]:
        raise PageError(f"{place}: expected {heading} with its tokens, found {_glimpse(html[position:])}")
    start = render.end()
    data, end = _json(html, start, place)
    for name in ("tokens", "values"):
        if not isinstance(data, dict) or not isinstance(data.get(name), list):
            raise PageError(f"{place}: expected JSON with {name}, found {html[start:][:60]!r}")
    return data, end


def _json(html: str, start: int, place: str) -> tuple[Any, int]:
    """The JSON that starts here, and where it ends. Neuroscope's json.dumps writes no newline into it."""
    end = html.find("\n", start)
    try:
        return orjson.loads(html[start:end]), end
    except orjson.JSONDecodeError:
        pass  # NaN and Infinity are not proper JSON, and another writer may use several lines
    try:
        return _DECODER.raw_decode(html, start)
    except (ValueError, RecursionError) as exc:
        raise PageError(f"{place}: expected whole JSON, found {exc}") from exc


def columns(tokens: list[Any], values: list[Any]) -> dict[str, Any]:
    """What a text's row holds of its tokens and values, as arrays: the objects of one text are freed before
    those of the next are made. Raises PageError where they are not texts and numbers."""
    try:
        texts, numbers = pa.array(tokens, pa.string()), pa.array(values, pa.float32())
    except (pa.ArrowException, TypeError, ValueError, OverflowError, RecursionError) as exc:
        if lacks_memory(exc):
            raise short_of_memory("to read a page", exc) from exc
        told = line(str(exc))[:100]
        raise PageError(f"expected tokens of text and values of numbers, found {told}") from exc
    if texts.null_count:
        raise PageError(f"expected tokens of text, found {texts.null_count} nulls")
    flat, reason = numbers.to_numpy(zero_copy_only=False), None
    if not (finite := np.isfinite(flat)).all():
        numbers, reason = pa.array(flat, mask=~finite), _reason(values)
    text_start = 1 if _BOS.fullmatch(tokens[0]) else 0
    return dict(tokens=texts, activations=numbers, reason=reason, text_start=text_start)


def _table(texts: list[dict[str, Any]], *, model: str, layer: int, neuron: int) -> pa.Table:
    """The texts read as rows of `samples`."""
    n = len(texts)
    offsets = np.cumsum([0, *(len(text["tokens"]) for text in texts)], dtype=np.int32)
    tokens, values = (
        pa.ListArray.from_arrays(pa.array(offsets), pa.concat_arrays([text[name] for text in texts]))
        for name in ("tokens", "activations")
    )
    peaks = pa.array(values.values.take(pa.array(offsets[:-1] + np.array([text["mat"] for text in texts]))))
    found = dict(
        model=[model] * n,
        layer=[layer] * n,
        sign=["positive"] * n,
        neuron=[neuron] * n,
        rank=range(n),
        text_id=[text["text_id"] for text in texts],
        text_set=[text["text_set"] for text in texts],
        tokens=tokens,
        activations=values,
        text_start=[text["text_start"] for text in texts],
        mat_index=[text["mat"] for text in texts],
        max_activation=peaks,
        reason=[text["reason"] for text in texts],
        source=["neuroscope"] * n,
        parser=[PARSER] * n,
    )
    schema = tables.TABLES["samples"].schema
    return pa.Table.from_arrays(
        [
            found[f.name]
            if isinstance(found.get(f.name), pa.Array)
            else pa.array(found.get(f.name, [None] * n), f.type)
            for f in schema
        ],
        schema=schema,
    )


def _reason(values: list[Any]) -> str | None:
    """Why some activations of a text are null: which words stand in the page instead of numbers."""
    with np.errstate(over="ignore"):
        odd = Counter(str(np.float32(np.nan if v is None else v)) for v in values)
    told = [
        f"{odd[word]} {name}"
        for word, name in (("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity"))
        if odd[word]
    ]
    return f"{' and '.join(told)} among the activations" if told else None
