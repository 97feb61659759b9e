"""Pages are read exactly, or refused with what was expected and found."""

import gzip
import json
import math

import numpy as np
import pyarrow as pa
import pytest
from conftest import ROOT, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import tables
from pipeline.errors import PageError
from pipeline.results import neuroscope_site
from pipeline.samples.neuroscope.page import PARSER, parse_page
from pipeline.samples.neuroscope.site_index import Shape, parse_index

PAGES = ROOT / "tests/pages"
PLACES = {
    "plain.html": dict(model="solu-2l-tiny", layer=1, neuron=3),
    "awkward.html": dict(model="solu-1l-hard", layer=0, neuron=0),
}
TRUTH = [
    json.loads(line)
    for line in gzip.decompress((PAGES / "truth.jsonl.gz").read_bytes()).decode().splitlines()
]
AWKWARD = [
    *('"', "\\", '", "', "', '", "<!--", "-->", "<hr>", "<h4>", "</script>", "<script>", "\x00", "\u2028"),
    *("\ufffd", " ", "", "\n", "\r\n", '"], "values": [', '{"tokens": [', "<h2>Text #1</h2>", "</details>"),
    *("<h3>Full Text #0</h3>", "]}\n    )", "\x85", "é", "\U0001f600", "&amp;", "NaN", "\\u0041", "\x7f"),
    *('render("a", ColoredTokens, {', "<h2>Neuron 9 in Layer 9 </h2>", "<|endoftext|>"),
]
PLACE = dict(model="m", layer=0, neuron=0)


def sample(tokens, values, mat=0, **others):
    others = dict(rank=0, text_id=7, text_set="A & <b>set</b> (of ours)", text_start=0) | others
    return dict(tokens=tokens, activations=values, mat_index=mat, source="scan", **others)


def written(*texts, **options):
    """The page of one neuron's texts."""
    given = rows("samples", *[{"max_activation": t["activations"][t["mat_index"]], **t} for t in texts])
    return neuroscope_site.page(given, title="m: 1 Layers, 1 Neurons per Layer", n_neurons=1, **options)


def rounded(values):
    """Values as a page holds them: with 6 places, None for what is not a finite number."""
    exact = [round(float(np.float32(v)), 6) if math.isfinite(np.float32(v)) else None for v in values]
    return [None if v is None else float(np.float32(v)) for v in exact]


@pytest.mark.parametrize("page", PLACES)
@pytest.mark.parametrize("form", ["bytes", "text"])
def test_the_sample_pages_give_what_they_truly_hold(page, form):
    content = (PAGES / page).read_bytes()
    found = parse_page(content if form == "bytes" else content.decode(), **PLACES[page])
    tables.check("samples", found)
    truth = [row for row in TRUTH if row["page"] == page]
    assert found["tokens"].to_pylist() == [row["tokens"] for row in truth]
    assert found["activations"].to_pylist() == [rounded(row["activations"]) for row in truth]
    for column, key in (("mat_index", "mat_index"), ("text_id", "data_index"), ("text_set", "data_set")):
        assert found[column].to_pylist() == [row[key] for row in truth]
    assert found["rank"].to_pylist() == list(range(20))
    assert set(found["text_start"].to_pylist()) == {1}
    assert set(found["parser"].to_pylist()) == {PARSER}
    assert found["reason"].null_count == 20


texts = st.integers(1, 20).flatmap(
    lambda n: st.tuples(
        st.lists(st.sampled_from(AWKWARD) | st.text(max_size=8), min_size=n, max_size=n),
        st.lists(st.floats(width=32), min_size=n, max_size=n),
        st.integers(0, n - 1),
    )
)


@settings(max_examples=50, deadline=None)
@given(st.lists(texts, min_size=1, max_size=3), st.booleans(), st.none() | st.integers(0, 10**15))
def test_what_is_written_is_read_back_whatever_tokens_and_values(given_texts, circuitsvis, index):
    given_rows = [
        sample(t, v, mat, rank=rank, text_id=index) for rank, (t, v, mat) in enumerate(given_texts)
    ]
    page = written(*given_rows, circuitsvis=circuitsvis)
    assert page.isascii()
    found = parse_page(page, **PLACE)
    tables.check("samples", found)
    assert found["tokens"].to_pylist() == [t for t, _, _ in given_texts]
    assert found["activations"].to_pylist() == [rounded(v) for _, v, _ in given_texts]
    assert found["mat_index"].to_pylist() == [mat for _, _, mat in given_texts]
    assert found["max_activation"].to_pylist() == [rounded(v)[mat] for _, v, mat in given_texts]
    assert found["text_id"].to_pylist() == [index] * len(given_texts)
    assert set(found["text_set"].to_pylist()) == {"A & <b>set</b> (of ours)"}
    odd = [not all(map(math.isfinite, map(np.float32, v))) for _, v, _ in given_texts]
    assert [reason is not None for reason in found["reason"].to_pylist()] == odd
    assert parse_page(parse_and_write_again(found), **PLACE).drop("reason").equals(found.drop("reason"))


def parse_and_write_again(found):
    return neuroscope_site.page(found, title="m", n_neurons=1)


def test_awkward_tokens_are_read_one_by_one():
    for at, token in enumerate(AWKWARD):
        found = parse_page(written(sample(["a", token, "b"], [0.0, 1.0, 0.5], 1)), **PLACE)
        assert found["tokens"].to_pylist() == [["a", token, "b"]], at


def test_a_raw_end_of_script_inside_a_token_loses_nothing():
    page = written(sample(["a", "</script>", "<!--"], [0.0, 1.0, 0.5], 1), sample(["b"], [0.1], rank=1))
    raw = page.replace("<\\/script>", "</script>").replace("\\u003c!--", "<!--")
    assert raw != page
    assert parse_page(raw, **PLACE).equals(parse_page(page, **PLACE))


def test_the_pages_own_index_decides_among_ties_and_against_rounding():
    found = parse_page(written(sample(["a", "b", "c"], [1.0, 1.0, 1.0], 2)), **PLACE)
    assert found["mat_index"].to_pylist() == [2]
    found = parse_page(written(sample(["a", "b"], [1.0, 0.5], 1)), **PLACE)
    assert (found["mat_index"].to_pylist(), found["max_activation"].to_pylist()) == ([1], [0.5])


@pytest.mark.parametrize("value", [-1.0, 0.0, -0.0])
def test_negative_and_zero_pages_are_read(value):
    page = written(*[sample(["a", "b"], [value, value], rank=rank) for rank in range(3)])
    if value < 0:
        assert "Max Range: <b>-1.0000</b>. Min Range: <b>1.0000</b>" in page
    assert parse_page(page, **PLACE)["activations"].to_pylist() == [[value, value]] * 3


def test_values_that_are_not_numbers_are_null_with_the_reason():
    values = [1.0, math.nan, math.inf, -math.inf, math.nan]
    found = parse_page(written(sample(list("abcde"), values, 1), sample(["x"], [2.0], rank=1)), **PLACE)
    assert found["activations"].to_pylist() == [[1.0, None, None, None, None], [2.0]]
    assert found["max_activation"].to_pylist() == [None, 2.0]
    assert found["reason"].to_pylist() == [
        "2 NaN and 1 Infinity and 1 -Infinity among the activations",
        None,
    ]
    page = written(sample(["a"], [1.0])).replace("[1.0]", "[1e39]")
    assert parse_page(page, **PLACE)["reason"].to_pylist() == ["1 Infinity among the activations"]


def test_a_text_without_bos_starts_at_its_first_token():
    page = written(sample(["<b>", "a"], [0.0, 1.0], 1), sample(["<|BOS|>", "a"], [0.0, 1.0], 1, rank=1))
    assert parse_page(page, **PLACE)["text_start"].to_pylist() == [0, 1]


GOOD = written(*[sample([f"t{rank}", "b", "c"], [1.0, 0.5, 0.2], rank=rank) for rank in range(3)])


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("", "expected a page of neuron 0 in layer 0 of m, found nothing"),
        ("<html><h1>Busy, come back</h1></html>", "found 'Busy, come back'"),
        (GOOD.replace("Neuron 0 in", "Neuron 1 in"), "found neuron 1 in layer 0 of m"),
        (GOOD.replace("in Layer 0", "in Layer 2"), "found neuron 0 in layer 2 of m"),
        (GOOD.replace("'m'", "'other'"), "found neuron 0 in layer 0 of other"),
        (GOOD.replace("from_pretrained", "load"), "found no model to load"),
        (GOOD.replace("Text #1<", "Text #2<"), "expected Text #1, found Text #2"),
        (GOOD.replace("Index: <b>0<", "Index: <b>3<", 1), "Text #0: expected its MAT among 3 tokens"),
        (GOOD.replace('"t1", ', ""), "Text #1: expected a value per token, found 2 and 3"),
        (GOOD.replace('"t1"', '"other"', 1), "Text #1: expected the tokens around the MAT"),
        (GOOD.replace('"t1"', "5"), "expected tokens of text and values of numbers"),
        (GOOD.replace('"t1"', "null"), "expected tokens of text, found 1 nulls"),
        (GOOD.replace("0.5", '"x"'), "expected tokens of text and values of numbers"),
        (GOOD.replace('"t2"', '"\\ud800"'), "expected tokens of text and values of numbers"),
        (GOOD.replace('{"tokens": [', "[" * 100_000, 1), "Text #0: expected whole JSON"),
        (GOOD.replace("<h3>Full Text #1</h3>", ""), "Text #1: expected <h3>Full Text #1</h3>"),
        (GOOD.replace("<h3>Truncated</h3>", "", 1), "Text #0: expected <h3>Truncated</h3>"),
        (GOOD[: GOOD.index("<h2>Text #0")], "expected Text #0, found nothing"),
        (GOOD.replace("Index: <b>0<", f"Index: <b>{'9' * 5000}<", 1), "expected Text #0"),
        (GOOD.replace("Neuron 0 in", f"Neuron {'9' * 5000} in"), "expected a page of neuron 0"),
        (GOOD.encode() + b"\xff", "expected text, found byte 0xff"),
    ],
)
def test_what_is_not_a_page_of_this_neuron_is_refused_with_what_was_found(page, message):
    with pytest.raises(PageError, match=".*") as caught:
        parse_page(page, **PLACE)
    assert message in str(caught.value)


@given(st.integers(0, len(GOOD.rstrip()) - 1))
def test_a_page_cut_off_anywhere_is_refused_unless_whole_texts_are_left(end):
    try:
        found = parse_page(GOOD[:end], **PLACE)
    except PageError:
        return
    assert GOOD[:end].rstrip().endswith("</details>")
    assert 0 < len(found) < 3


def test_json_on_several_lines_is_read_too():
    loose = GOOD.replace('["t0", "b"', '["t0",\n "b"').replace(
        "ColoredTokens,\n      {", "ColoredTokens, {"
    )
    assert parse_page(loose, **PLACE).equals(parse_page(GOOD, **PLACE))


TABLE = """<table><tr><th>Model</th><th>Random</th><th>Act Fn</th><th>Dataset</th><th>Layers</th>
<th>Neurons per Layer</th><th>Total Neurons</th><th>Params</th></tr>
<tr><td><a href='./solu-8l-pile/model.html'>solu-8l-pile</a></td><td><a href="./solu-8l-pile/3/1.html">R</a>
</td><td>solu</td><td>Pile</td><td>8</td><td>4,096</td><td>32,768</td><td>100,000,000</td></tr>
<tr><td><a href="https://a.example/gpt2-small/model.html">GPT-2</a></td><td></td><td>gelu</td><td>Web</td>
<td>12</td><td>3,072</td><td>36,864</td><td></td></tr></table>"""
LIST = """<ul><li><a href='./solu-1l/model.html'>SoLU Model: 1 Layers, 2,048 Neurons per Layer</a></li>
<li><a href="./own/model.html">Own</a></li><li><a href='https://elsewhere.example'>Docs</a></li></ul>"""


def test_the_index_gives_the_models_sizes_in_both_its_forms():
    assert parse_index(TABLE) == {"solu-8l-pile": Shape(8, 4096), "gpt2-small": Shape(12, 3072)}
    assert parse_index(LIST.encode()) == {"solu-1l": Shape(1, 2048), "own": Shape(None, None)}


@pytest.mark.parametrize("count", ["0", "999,999,999", "9" * 5000, "-4", "many"])
def test_a_size_that_no_model_has_is_none(count):
    found = parse_index(TABLE.replace("4,096", count) + LIST.replace("2,048", count))
    assert found["solu-8l-pile"] == Shape(8, None)
    assert found["solu-1l"].n_neurons in (None, 4)  # -4 reads as 4 in a sentence


@pytest.mark.parametrize(
    "page", ["", "<h1>Sorry</h1>", "<ul><li>nothing</li></ul>", "<table><tr><td>x</td></tr>", "<![foo "]
)
def test_an_index_without_models_is_refused(page):
    with pytest.raises(PageError, match="expected an index that links to models"):
        parse_index(page)


def test_rows_are_of_the_declared_types_even_where_nothing_is_known():
    found = parse_page(written(sample(["a"], [1.0], text_id=None, text_set=None)), **PLACE)
    assert found.schema.equals(tables.TABLES["samples"].schema)
    assert found["text_set"].to_pylist() == [None]
    assert isinstance(found["activations"].chunk(0), pa.ListArray)
