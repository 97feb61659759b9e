"""Neuroscope's pages, read exactly.

Out: rows of `samples`. Each text's tokens and activations are JSON in a script; they are read as JSON
from the page's text at the place where it stands, never through HTML: a token may hold `</script>`,
a heading or half the JSON's own syntax. Only the index is small and regular enough for BeautifulSoup.
"""

from __future__ import annotations

import html as markup
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from pipeline import tables
from pipeline.errors import PageError, lacks_memory, short_of_memory

PARSER = 1  # version of the parser; raise it with every change of the rows that a page gives
TRUNCATED = (50, 11)  # tokens shown before the MAT, and from it on

MOST = 1_000_000  # layers or neurons per layer; the largest models have some 50,000
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
_LAST = re.compile(r"(?:</\w+>\s*)*")
_LINK = re.compile(r"(?:https?://[^/]+/|\./|/)?(.+)/model\.html")
_BOS = re.compile(r"<\|\w+\|>|<s>|<bos>")
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

    Raises PageError where it lists none.
    """
    from bs4 import BeautifulSoup
    from bs4.exceptions import ParserRejectedMarkup

    try:
        soup = BeautifulSoup(_text(html), "html.parser")
    except ParserRejectedMarkup as exc:
        raise PageError(f"expected an index that links to models, found {_glimpse(_text(html))}") from exc
    models = {}
    for row in soup.select("tr, li"):
        link = row.select_one("a[href*='model.html']")
        if link is None or not (name := _LINK.fullmatch(str(link["href"]))):
            continue
        if row.name == "li":
            models[name[1]] = Shape(_listed(row, "Layers"), _listed(row, "Neurons per Layer"))
            continue
        head = (row.find_parent("table") or soup).find("tr")
        heads = [cell.get_text(" ", strip=True) for cell in head.find_all("th")] if head else []
        cells = dict(zip(heads, row.find_all("td"), strict=False))
        models[name[1]] = Shape(_cell(cells.get("Layers")), _cell(cells.get("Neurons per Layer")))
    if not models:
        raise PageError(f"expected an index that links to models, found {_glimpse(_text(html))}")
    return models


def _cell(cell: Any) -> int | None:
    return _count(cell.get_text(strip=True)) if cell else None


def _listed(item: Any, what: str) -> int | None:
    number = re.search(rf"(\d[\d,]*) {what}", item.get_text(" "))
    return _count(number[1]) if number else None


def _count(text: str) -> int | None:
    """A number of layers or neurons as the index writes it; None for a number that no model has."""
    digits = text.replace(",", "")
    number = int(digits) if re.fullmatch(r"[0-9]{1,7}", digits) else 0
    return number if 0 < number <= MOST else None


def parse_page(html: str | bytes, *, model: str, layer: int, neuron: int) -> pa.Table:
    """The texts of a neuron's page as rows of `samples`, in the page's order.

    `mat_index` is the page's own, `text_id` its Data Index in `text_set`. Activations that are not
    finite numbers are null, with the count in `reason`. `token_ids`, `address`, `fetched` and
    `page_sha256` are null: they are not in the page.
    Raises PageError, saying what was expected and found, for anything that is not a whole page of
    this neuron.
    """
    html = _text(html)
    position = _head(html, model, layer, neuron)
    texts: list[dict[str, Any]] = []
    while head := _TEXT.search(html, position):
        text, position = _read(html, head, expected=len(texts))
        texts.append(text)
        if not (end := _END.match(html, position)):
            raise PageError(f"Text #{len(texts) - 1}: expected its end, found {_glimpse(html[position:])}")
        position = end.end()
        if _LAST.fullmatch(html, position):
            break
    else:
        raise PageError(f"expected Text #{len(texts)}, found {_glimpse(html[position:])}")
    return _table(texts, model=model, layer=layer, neuron=neuron)


def _text(html: str | bytes) -> str:
    try:
        return html if isinstance(html, str) else html.decode()
    except UnicodeDecodeError as exc:
        raise PageError(f"expected text, found byte {html[exc.start]:#x} at {exc.start}") from exc


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
    name = markup.unescape(loading[1])
    if (int(found[1]), int(found[2]), name) != (neuron, layer, model):
        raise PageError(f"expected {expected}, found neuron {found[1]} in layer {found[2]} of {name}")
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
    if len(tokens) != len(values):
        raise PageError(f"{place}: expected a value per token, found {len(tokens)} and {len(values)}")
    if int(mat) >= len(tokens):
        raise PageError(f"{place}: expected its MAT among {len(tokens)} tokens, found index {mat}")
    before, after = TRUNCATED
    shown = tokens[max(0, int(mat) - before) : int(mat) + after]
    if part["tokens"] != shown:
        raise PageError(
            f"{place}: expected the tokens around the MAT in the truncated part, found "
            f"{len(part['tokens'])} others; its MAT index or its JSON is not its own"
        )
    text = dict(
        text_id=int(index) if re.fullmatch(r"\d{1,18}", index) else None,
        text_set=markup.unescape(text_set) if text_set else None,
        tokens=tokens,
        values=values,
        mat=int(mat),
    )
    return text, position


def _rendered(html: str, position: int, heading: str, place: str) -> tuple[dict[str, Any], int]:
    """The tokens and values that the script after a heading of this text draws, and where they end."""
    start = html.find(heading, position)
    render = _RENDER.search(html, start) if start >= 0 else None
    if not render or "<h2>" in html[position : render.start()]:
        raise PageError(f"{place}: expected {heading} with its tokens, found {_glimpse(html[position:])}")
    data, end = _json(html, render.end(), place)
    for name in ("tokens", "values"):
        if not isinstance(data, dict) or not isinstance(data.get(name), list):
            raise PageError(f"{place}: expected JSON with {name}, found {str(data)[:60]!r}")
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


def _table(texts: list[dict[str, Any]], *, model: str, layer: int, neuron: int) -> pa.Table:
    """The texts read as rows of `samples`."""
    n = len(texts)
    try:
        tokens = pa.array([text["tokens"] for text in texts], pa.list_(pa.string()))
        values = pa.array([text["values"] for text in texts], pa.list_(pa.float32()))
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as exc:
        if lacks_memory(exc):
            raise short_of_memory("to read a page", exc) from exc
        raise PageError(f"expected tokens of text and values of numbers, found {exc}") from exc
    if tokens.values.null_count:
        raise PageError(f"expected tokens of text, found {tokens.values.null_count} nulls")
    offsets = values.offsets.to_numpy()[:-1]
    flat = values.values.to_numpy(zero_copy_only=False)
    finite = np.isfinite(flat)
    reasons: list[str | None] = [None] * n
    if not finite.all():
        reasons = [_reason(text["values"]) for text in texts]
        flat = pa.array(flat, mask=~finite)
        values = pa.ListArray.from_arrays(values.offsets, flat)
    peaks = pa.array(values.values.take(pa.array(offsets + np.array([text["mat"] for text in texts]))))
    columns = dict(
        model=[model] * n,
        layer=[layer] * n,
        neuron=[neuron] * n,
        rank=range(n),
        text_id=[text["text_id"] for text in texts],
        text_set=[text["text_set"] for text in texts],
        tokens=tokens,
        activations=values,
        text_start=[1 if _BOS.fullmatch(text["tokens"][0]) else 0 for text in texts],
        mat_index=[text["mat"] for text in texts],
        max_activation=peaks,
        reason=reasons,
        source=["neuroscope"] * n,
        parser=[PARSER] * n,
    )
    schema = tables.TABLES["samples"].schema
    return pa.Table.from_arrays(
        [
            columns[f.name]
            if isinstance(columns.get(f.name), pa.Array)
            else pa.array(columns.get(f.name, [None] * n), f.type)
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
