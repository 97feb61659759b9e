"""What stands around a page's texts does not count, what is strange inside refuses it, and every reader of
outside data raises our own errors only."""

import json
import os
import random
import re
import time
import unicodedata

import pytest
from conftest import rows
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.errors import PageError, UserError
from pipeline.results import neuroscope_site
from pipeline.samples.neuroscope import fetch, pages
from pipeline.samples.neuroscope.page import MOST_TOKENS, parse_page
from pipeline.samples.neuroscope.site_index import MOST_INDEX, Shape, parse_index
from pipeline.web.site import MOST_BYTES

PLACE = dict(model="m", layer=0, neuron=0)
STEERING = "\x1b[31m\x9b2J\x07\u202e"


def page_of(n_texts, n_tokens=3):
    given = [
        dict(
            rank=rank,
            text_id=7,
            text_set="A & B",
            text_start=0,
            mat_index=0,
            max_activation=1.0,
            source="scan",
        )
        | dict(tokens=[f"t{rank}", *["b"] * (n_tokens - 1)], activations=[1.0, *[0.5] * (n_tokens - 1)])
        for rank in range(n_texts)
    ]
    return neuroscope_site.page(rows("samples", *given), title="m", n_neurons=1)


WHOLE, FEW = page_of(20), page_of(3)
TAILS = {
    "HTTrack": "\n<!-- Mirrored from site.example/m/0/0.html by HTTrack Website Copier/3.x -->\n",
    "Wayback": "<!--\n     FILE ARCHIVED ON 01:02:03 Jan 01, 2023 AND RETRIEVED\n-->\n<!-- 1.2 -->",
    "a network's script": "<script defer src='https://a.example/b.js' data-beacon='{\"r\": 1}'></script>",
    "a script that draws": "<script>const ColoredTokens = 0; function render(id, kind, data) {}</script>",
    "closing tags": "</div>\n</body></html>",
    "markup": "<div class='note'><h2>Mirror</h2><p>of <a href='x'>a site</a></p></div>",
    "a comment that was cut off": "<!-- Mirrored fr",
    "words": "served by b.example",
    "bytes of no meaning": "\x00\x0c\ufeff",
    "all of it": "</body></html><!-- a --><script>b()</script>\n<!-- c --><noscript><b></noscript>",
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("page", [WHOLE, FEW])
def test_what_is_appended_after_the_last_text_does_not_count(page, tail):
    assert parse_page(page + TAILS[tail], **PLACE).equals(parse_page(page, **PLACE))


@pytest.mark.parametrize("tail", TAILS)
def test_what_is_put_before_the_page_does_not_count(tail):
    assert parse_page(TAILS[tail] + FEW, **PLACE).equals(parse_page(FEW, **PLACE))


@pytest.mark.parametrize("tail", ["<hr>\n<address>Apache</address>", "<hr/>", "<hr><h2>Mirrors</h2>"])
def test_a_line_below_the_last_of_20_texts_does_not_count_either(tail):
    assert parse_page(WHOLE + tail, **PLACE).equals(parse_page(WHOLE, **PLACE))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(("<", "!--", "-->", "script", "/", ">", "h1", "p", " ", "\n", "{", '"'))
        | st.text(max_size=4)
    )
)
def test_anything_but_a_text_may_follow_20_texts(parts):
    assert parse_page(WHOLE + "".join(parts), **PLACE).num_rows == 20


@pytest.mark.parametrize("tail", ["", TAILS["HTTrack"], TAILS["a network's script"]])
@given(data=st.data())
def test_a_page_cut_off_inside_is_refused_whatever_was_appended(tail, data):
    end = data.draw(st.integers(FEW.index("<h2>Text #1"), FEW.rindex("</details>") + 9))
    try:
        found = parse_page(FEW[:end] + tail, **PLACE)
    except PageError:
        return
    assert FEW[:end].rstrip().endswith("</details>")
    assert 0 < len(found) < 3


LAST = WHOLE[WHOLE.index("<h2>Text #19") :]
STRANGE = {
    "its heading": LAST.replace("<h2>Text #19</h2>", "<h2>Txt</h2>"),
    "its ranges": LAST.replace("Max Range", "Range"),
    "its index": re.sub("<b>7</b>", "<i>7</i>", LAST),
    "its MAT": LAST.replace("Token Index: <b>0</b>", "Token Index: <b></b>"),
    "its first part": LAST[: LAST.index("<h3>Truncated")] + LAST[LAST.index("<h3>Full") :],
    "its whole": LAST[: LAST.index("<h3>Full")] + "</details>",
    "its number": LAST.replace("Text #19<", "Text #91<"),
    "what draws it": LAST.replace("ColoredTokens", "Tokens"),
    "its end": LAST.replace("</details>", ""),
    "another text's end": LAST + "\n<hr>\n" + LAST[LAST.index("<h3>Truncated") :],
}


@pytest.mark.parametrize("what", STRANGE)
def test_a_last_text_in_which_something_is_missing_or_strange_refuses_the_page(what):
    with pytest.raises(PageError, match="Text #(19|20|91)"):
        parse_page(WHOLE.replace(LAST, STRANGE[what]) + TAILS["HTTrack"], **PLACE)


@pytest.mark.parametrize("value", ["true", "false", '"1.0"', "[1.0]", "{}"])
@pytest.mark.parametrize("part", ["Truncated", "Full Text #1"])
def test_only_a_number_is_an_activation(value, part):
    at = FEW.index("[1.0, 0.5, 0.5]", FEW.index(f"<h3>{part}</h3>"))
    with pytest.raises(PageError, match="expected tokens of text and values of numbers, found "):
        parse_page(FEW[:at] + FEW[at:].replace("1.0", value, 1), **PLACE)


def test_the_words_true_and_false_are_tokens_like_others():
    page = FEW.replace('"t1"', '"true"').replace('"t2"', '"false"')
    assert [tokens[0] for tokens in parse_page(page, **PLACE)["tokens"].to_pylist()] == [
        "t0",
        "true",
        "false",
    ]


def test_a_page_with_more_tokens_than_the_limit_is_refused_with_the_limit():
    most = page_of(2, MOST_TOKENS // 2)
    assert parse_page(most, **PLACE).num_rows == 2
    with pytest.raises(PageError, match="expected at most 262,144 tokens in a page, found 393,216"):
        parse_page(page_of(3, MOST_TOKENS // 2), **PLACE)


VALID = [FEW, WHOLE, "<ul><li><a href='./m/model.html'>M</a>: 1 Layers, 2 Neurons per Layer</li></ul>"]
PIECES = (
    *(
        "<hr>",
        "<h2>Text #0</h2>",
        "<h2>Text #1</h2>",
        "</script>",
        "</details>",
        "<script>",
        '"tokens": [',
        '"values": [',
    ),
    *(
        "{",
        "}",
        "[" * 1100,
        "]" * 1100,
        "null",
        "true",
        "NaN",
        "1e999",
        "9" * 5000,
        "&#" + "9" * 5000 + ";",
        "\\ud800",
    ),
    *(
        "<li>",
        "<tr>",
        "<td>",
        "<table>",
        "</table>",
        "<a href='m/model.html'>",
        " Layers",
        "\x00",
        STEERING,
        "'",
        '"',
    ),
)


@st.composite
def broken(draw):
    """A page or an index in which pieces are put in, left out or doubled, seldom or often."""
    page = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(page)))
        end = min(len(page), at + draw(st.integers(0, 40)))
        page = (
            page[:at]
            + draw(st.sampled_from((*PIECES, page[at:end] * 2)) | st.text(max_size=5))
            + page[end:]
        )
    return page


def harmless(text):
    return not any(unicodedata.category(c) == "Cc" or unicodedata.bidirectional(c) == "RLO" for c in text)


@settings(max_examples=300, deadline=None)
@given(broken() | st.text(), st.booleans())
def test_a_page_of_any_content_gives_rows_or_our_own_error(page, as_bytes):
    for read in (lambda html: parse_page(html, **PLACE), parse_index):
        try:
            read(page.encode(errors="replace") if as_bytes else page)
        except PageError as exc:
            assert harmless(str(exc))


@settings(max_examples=100, deadline=None)
@given(st.binary())
def test_bytes_of_any_kind_give_our_own_error(body):
    for read in (lambda html: parse_page(html, **PLACE), parse_index):
        with pytest.raises(PageError) as caught:
            read(body)
        assert harmless(str(caught.value))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["tokens", "values"]), inner)
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(json_values, json_values, st.booleans())
def test_json_of_any_form_gives_rows_or_our_own_error(tokens, values, alone):
    drawn = json.dumps(tokens if alone else dict(tokens=tokens, values=values))
    page = re.sub(r'\{"tokens.*\}', lambda _: drawn, FEW, count=2)
    try:
        parse_page(page, **PLACE)
    except PageError as exc:
        assert harmless(str(exc))


@pytest.mark.parametrize("depth", [300, 990, 1000, 1020, 1030, 100_000])
@pytest.mark.parametrize("place", ["all", "tokens", "values"])
def test_nested_json_gives_our_own_error(depth, place):
    deep = "[" * depth + "]" * depth
    drawn = (
        deep
        if place == "all"
        else '{"tokens": [1], "values": [1]}'.replace(f'{place}": [1', f'{place}": [{deep}')
    )
    with pytest.raises(PageError, match="expected"):
        parse_page(re.sub(r'\{"tokens.*\}', lambda _: drawn, FEW, count=2), **PLACE)


LISTED = "<li><a href='./m/model.html'>M</a>: 1 Layers, 2 Neurons per Layer</li>"


@pytest.mark.parametrize(
    "index",
    [
        f"<ul>{LISTED}</ul> 9 Layers",
        f"<ul><li>Ours, 5 Layers in all<ul>{LISTED}</ul>7 Layers</li></ul>",
        f"<table><tr><td><ul>{LISTED}</ul></td><td>3</td></tr></table>",
        LISTED.replace("</a>", "</a><b><i>").replace(" per", "</i></b> per"),
        LISTED.replace("</li>", "") * 3,
        f"<!-- <li><a href='x/model.html'>X</a> --><script>'<li><a href=y/model.html>'</script>{LISTED}",
        f"<?xml version='1.0' encoding='utf-16'?><html><head><meta charset='ascii'></head>{LISTED}",
    ],
)
def test_a_text_of_an_index_belongs_to_the_innermost_item(index):
    assert parse_index(index) == {"m": Shape(1, 2)}


ENDLESS = {
    "lists": "<ul><li>",
    "items": "<li>",
    "tags that stay open": "<a ",
    "comments that stay open": "<!--",
    "declarations": "<![",
    "quotes that stay open": "<a '\"",
    "links": "<li><a href='m/model.html'>",
    "tables": "<table><tr><td>",
    "rows": "<tr><td>",
    "ends": "</b>",
    "digits": "1",
    "digits in an item": "<li>1,1",
    "escapes": "&#",
}


@pytest.mark.parametrize("what", ENDLESS)
def test_an_index_of_endless_repetition_is_soon_read(what):
    piece = ENDLESS[what]
    begun = time.monotonic()
    try:
        found = parse_index(piece * (MOST_INDEX // len(piece)))
        assert found.keys() == {"m"}
    except PageError as exc:
        assert "expected an index" in str(exc)
    assert time.monotonic() - begun < 20  # on a busy machine; what is quadratic takes hours


def test_an_index_beyond_the_limits_is_refused_with_them():
    with pytest.raises(PageError, match="expected an index of at most 1,048,576 bytes, found 1,048,577"):
        parse_index(b"x" * (MOST_INDEX + 1))
    with pytest.raises(PageError, match="nested too deeply"):
        parse_index("<ul><li>" * 300 + LISTED)


def test_many_numbers_in_an_index_are_sizes_or_none():
    draw = random.Random(0)
    for _ in range(300):
        number = "".join(draw.choice("0123456789,,") for _ in range(draw.randint(1, 30)))
        size = parse_index(LISTED.replace("2 N", f"{number} N"))["m"].n_neurons
        assert size is None or f"{size}" in number.replace(",", "")


@pytest.fixture
def mirror(tmp_path):
    """A folder with an index and one page; gives its config too."""
    folder = tmp_path / "mirror"
    (folder / "m/0").mkdir(parents=True)
    (folder / "index.html").write_text(f"<ul>{LISTED}</ul>")
    (folder / "m/0/0.html").write_text(WHOLE)
    return folder, Config(model="m", layer=0, site=str(folder), data=str(tmp_path / "data"))


@pytest.mark.parametrize("kind", ["pipe", "folder", "too large"])
def test_a_mirrors_file_that_is_none_or_too_large_is_told(mirror, kind):
    folder, config = mirror
    place = folder / "m/0/1.html"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        with place.open("wb") as file:
            file.truncate(MOST_BYTES + 1)
    fetch.collect(config)
    found = {row["neuron"]: (row["status"], row["reason"]) for row in pages.table(config).to_pylist()}
    told = ("unreadable", "more than 16,777,216 bytes")
    assert found == {0: ("ok", None), 1: told if kind == "too large" else ("refused", "no regular file")}


def test_what_steers_a_terminal_in_an_index_does_not_reach_the_error(mirror):
    folder, config = mirror
    (folder / "index.html").write_text(
        f"<a href='x'></a><ul>{LISTED.replace('/m/', '/m' + STEERING + '/')}</ul>"
    )
    with pytest.raises(UserError, match="has no model 'm'") as caught:
        fetch.collect(config)
    assert harmless(str(caught.value))
