"""Neuroscope's pages, read exactly.

Out: rows of `samples`. Each text's tokens and activations are JSON in a script; they are read as JSON
from the page's text at the place where it stands, never through HTML: a token may hold `</script>`,
a heading or half the JSON's own syntax.
"""

from __future__ import annotations

import html as markup
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import orjson
import pyarrow as pa

from pipeline import tables
from pipeline.errors import PageError, lacks_memory, short_of_memory
from pipeline.printable import line

PARSER = 2  # version of the parser; raise it with every change of the rows that a page gives
TRUNCATED = (50, 11)  # tokens shown before the MAT, and from it on

MOST_TOKENS = 2**18  # of a page in all; those of Neuroscope have some 20,000
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
_BOS = re.compile(r"<\|\w+\|>|<s>|<bos>")
_NUMBERS = {float, int, type(None)}  # not bool, though Python and Arrow take true for 1.0
_DECODER = json.JSONDecoder()


def page_path(model: str, layer: int, neuron: int) -> str:
    """Where a neuron's page is, from the site's root."""
    return f"{model}/{layer}/{neuron}.html"


def parse_page(html: str | bytes, *, model: str, layer: int, neuron: int) -> pa.Table:
    """The texts of a neuron's page as rows of `samples`, in the page's order.

    `mat_index` is the page's own, `text_id` its Data Index in `text_set`. Activations that are not
    finite numbers are null, with the count in `reason`. `token_ids`, `address`, `fetched` and
    `page_sha256` are null: they are not in the page.
    Whatever follows the last text, such as a mirror's comment, does not count.
    Raises PageError, saying what was expected and found, for anything that is not a whole page of
    this neuron, or has more than `MOST_TOKENS` tokens.
    """
    texts: list[dict[str, Any]] = []
    n_tokens = 0
    for head, part, whole in walk(html, _json, model=model, layer=layer, neuron=neuron):
        text = _read(head, part, whole)
        texts.append(text)
        n_tokens += len(text["tokens"])
        if n_tokens > MOST_TOKENS:
            raise PageError(
                f"expected at most {MOST_TOKENS:,} tokens in a page, found {n_tokens:,} or more"
            )
    return table(texts, model=model, layer=layer, neuron=neuron)


_Found = TypeVar("_Found")


def walk(
    html: str | bytes,
    read: Callable[[str, int, str], tuple[_Found, int]],
    *,
    model: str,
    layer: int,
    neuron: int,
) -> Iterator[tuple[re.Match[str], _Found, _Found]]:
    """The headings of each text of a page and the JSON of its two renderings, the truncated one first.

    `read(html, start, place)` gives what it finds in the page's text `html` from `start` on, where JSON
    begins, and where that ends; `place` names the text in errors. Raises PageError where anything else is
    not as it should be.
    """
    html = decoded(html)
    position = _head(html, model, layer, neuron)
    number = 0
    while not _is_over(html, position, number):
        place = f"Text #{number}"
        if not (head := _TEXT.search(html, position)):
            raise PageError(f"expected {place}, found {glimpse(html[position:])}")
        if int(head[1]) != number:
            raise PageError(f"expected {place}, found Text #{head[1]}")
        part, position = read(html, _drawn(html, head.end(), "<h3>Truncated</h3>", place), place)
        whole, position = read(html, _drawn(html, position, f"<h3>Full {place}</h3>", place), place)
        yield head, part, whole
        if not (end := _END.match(html, position)):
            raise PageError(f"{place}: expected its end, found {glimpse(html[position:])}")
        position = end.end()
        number += 1


def _is_over(html: str, position: int, n_texts: int) -> bool:
    """Whether no text follows after some whole ones, nor the beginning of one that was cut off."""
    if not n_texts or _OF_TEXT.search(html, position):
        return False
    return n_texts == FULL or not _CUT.match(html, position)


def decoded(html: str | bytes) -> str:
    """A page as text; raises PageError where it is none."""
    try:
        return html if isinstance(html, str) else html.decode()
    except UnicodeDecodeError as exc:
        raise PageError(f"expected text, found byte {html[exc.start]:#x} at {exc.start}") from exc


def _unescaped(text: str) -> str:
    """A text without its escapes; that of a number with more digits than any character's stays."""
    if "&" not in text:
        return text
    return markup.unescape(re.sub(r"&#(?=[0-9]{8})", "&amp;#", text))


def glimpse(html: str) -> str:
    """The beginning of a page's text, for an error."""
    words = " ".join(re.sub(r"(?s)<script.*?(?:</script>|$)|<[^>]*>", " ", html[:2000]).split())[:60]
    return repr(words) if words else "nothing"


def _head(html: str, model: str, layer: int, neuron: int) -> int:
    """Where the page's head ends; raises PageError where it is that of another page."""
    expected = f"a page of neuron {neuron} in layer {layer} of {model}"
    found = _NEURON.search(html)
    if not found:
        raise PageError(f"expected {expected}, found {glimpse(html)}")
    loading = _MODEL.search(html, found.end())
    if not loading:
        raise PageError(f"expected {expected}, found no model to load")
    name = _unescaped(loading[1])
    if (int(found[1]), int(found[2]), name) != (neuron, layer, model):
        other = f"neuron {found[1]} in layer {found[2]} of {line(name)[:100]}"
        raise PageError(f"expected {expected}, found {other}")
    return loading.end()


def _read(head: re.Match[str], part: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """One text, from its headings and two renderings."""
    place, mat = f"Text #{head[1]}", mat_of(head)
    tokens, values = whole["tokens"], whole["values"]
    _check_values(values, len(tokens), place)
    if mat >= len(tokens):
        raise PageError(f"{place}: expected its MAT among {len(tokens)} tokens, found index {mat}")
    shown = tokens[slice(*shown_around(mat))]
    if {*map(type, shown)} <= {str} and part["tokens"] != shown:
        raise PageError(
            f"{place}: expected the tokens around the MAT in the truncated part, found "
            f"{len(part['tokens'])} others; its MAT index or its JSON is not its own"
        )
    _check_values(part["values"], len(shown), place)
    return columns(tokens, values) | of_head(head)


def mat_of(head: re.Match[str]) -> int:
    """Which token is the MAT, as a text's headings say."""
    return int(head[4])


def shown_around(mat: int) -> tuple[int, int]:
    """Which tokens the truncated rendering shows: the first one's place, and the place after the last."""
    before, after = TRUNCATED
    return max(0, mat - before), mat + after


def of_head(head: re.Match[str]) -> dict[str, Any]:
    """What a text's row holds of its headings."""
    index, text_set = head[2], head[3]
    return dict(
        text_id=int(index) if re.fullmatch(r"\d{1,18}", index) else None,
        text_set=_unescaped(text_set) if text_set else None,
        mat_index=mat_of(head),
    )


def _check_values(values: list[Any], n_tokens: int, place: str) -> None:
    """Raise PageError where these are not as many numbers, or nulls, as tokens."""
    if len(values) != n_tokens:
        raise PageError(f"{place}: expected a value per token, found {n_tokens} and {len(values)}")
    others = {*map(type, values)} - _NUMBERS
    if others:
        told = ", ".join(sorted(kind.__name__ for kind in others))
        raise PageError(f"{place}: expected tokens of text and values of numbers, found {told}")


def _drawn(html: str, position: int, heading: str, place: str) -> int:
    """Where the JSON begins that the script after a heading of this text draws."""
    heads = html.find(heading, position)
    render = _RENDER.search(html, heads) if heads >= 0 else None
    if not render or "<h2>" in html[position : render.start()]:
        raise PageError(f"{place}: expected {heading} with its tokens, found {glimpse(html[position:])}")
    return render.end()


def _json(html: str, start: int, place: str) -> tuple[dict[str, Any], int]:
    """The tokens and values that begin here, and where they end."""
    data, end = _parsed(html, start, place)
    for name in ("tokens", "values"):
        if not isinstance(data, dict) or not isinstance(data.get(name), list):
            raise PageError(f"{place}: expected JSON with {name}, found {html[start:][:60]!r}")
    return data, end


def _parsed(html: str, start: int, place: str) -> tuple[Any, int]:
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
    return dict(tokens=texts, activations=numbers, reason=reason, text_start=text_start(tokens[0]))


def text_start(first: str) -> int:
    """Where a text begins whose first token is this: after it, if it only marks the beginning."""
    return 1 if _BOS.fullmatch(first) else 0


def table(texts: list[dict[str, Any]], *, model: str, layer: int, neuron: int) -> pa.Table:
    """The texts of one neuron, each as `columns` and `of_head` give it, as rows of `samples`."""
    names = ("mat_index", "text_id", "text_set", "text_start", "reason")
    return rows(
        pa.concat_arrays([text["tokens"] for text in texts]),
        pa.concat_arrays([text["activations"] for text in texts]),
        np.array([len(text["tokens"]) for text in texts]),
        neuron=[neuron] * len(texts),
        rank=[*range(len(texts))],
        model=model,
        layer=layer,
        **{name: [text[name] for text in texts] for name in names},
    )


def rows(tokens: pa.StringArray, activations: pa.FloatArray, lengths: np.ndarray, **found: Any) -> pa.Table:
    """Rows of `samples` of texts with so many tokens each.

    Given are the tokens of all texts one after the other, the activations at them, and the other columns by
    name: a list, or one value for all texts.
    """
    n = len(lengths)
    offsets = np.cumsum([0, *lengths], dtype=np.int32)
    own = found | dict(
        tokens=pa.ListArray.from_arrays(pa.array(offsets), tokens),
        activations=pa.ListArray.from_arrays(pa.array(offsets), activations),
        max_activation=activations.take(pa.array(offsets[:-1] + np.array(found["mat_index"], np.int32))),
        sign="positive",
        source="neuroscope",
        parser=PARSER,
    )
    schema = tables.TABLES["samples"].schema
    return pa.Table.from_arrays([_column(own.get(f.name), f.type, n) for f in schema], schema=schema)


def _column(found: Any, kind: pa.DataType, n: int) -> pa.Array:
    if isinstance(found, list):
        return pa.array(found, kind)
    return found if isinstance(found, pa.Array) else pa.repeat(pa.scalar(found, kind), n)


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
