"""Pages read many at once give what each gives by itself."""

import json
import re
import string

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_page import AWKWARD, PAGES, PLACES, sample, texts, written

from pipeline.errors import PageError
from pipeline.samples.neuroscope.page import MOST_TOKENS, parse_page
from pipeline.samples.neuroscope.usual_pages import parse_pages, usual

LAYER = dict(model="m", layer=0)
PLAIN = written(
    sample([" a", "b", ".", '"'], [0.5, 1.25, -0.1, -4.4e-05], 1), sample(["x", "y"], [2, 1], rank=1)
)


def outcome(page, **place):
    """The rows of a page, or why it is refused."""
    try:
        return parse_page(page, **place)
    except PageError as exc:
        return str(exc)


def together(pages, **layer):
    """The rows of the pages of neurons 0, 0, ...; or why the first of them that is refused is."""
    found = []
    try:
        for table in parse_pages([page.encode() for page in pages], [0] * len(pages), **layer):
            found.append(table)
    except PageError as exc:
        found.append(str(exc))
    return found


def check(pages):
    expected = [outcome(page, **LAYER, neuron=0) for page in pages]
    refused = [number for number, each in enumerate(expected) if isinstance(each, str)]
    found = together(pages, **LAYER)
    assert len(found) == (refused[0] + 1 if refused else len(pages))
    for one, other in zip(found, expected, strict=False):
        assert one.equals(other) if isinstance(one, pa.Table) else one == other


@pytest.mark.parametrize("page", PLACES)
def test_pages_of_neuroscopes_form_are_usual(page):
    place = PLACES[page]
    body = (PAGES / page).read_bytes()
    [found] = parse_pages([body], [place["neuron"]], model=place["model"], layer=place["layer"])
    assert found.equals(parse_page(body, **place))
    if page == "plain.html":
        assert usual([(body, place["neuron"])], model=place["model"], layer=place["layer"]) == [found]


@pytest.mark.parametrize("token", AWKWARD)
def test_a_token_may_hold_anything(token):
    tokens = ["a", token, "b", token]
    page = written(sample(tokens, [1.0, 0.5, 2.0, 0.25], 2))
    [found] = usual([(page.encode(), 0)], **LAYER)
    assert found.equals(parse_page(page, **LAYER, neuron=0))
    assert found["tokens"].to_pylist() == [tokens]


def test_a_token_that_looks_like_the_end_of_one_is_left_to_the_slow_way():
    page = written(sample(["a", '", ', "b"], [1.0, 0.5, 2.0], 2))
    assert usual([(page.encode(), 0)], **LAYER) == [None]
    check([page])


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4))
def test_texts_of_any_tokens_and_values(drawn):
    check([written(sample(*each)) for each in drawn])


# What is no page of texts and numbers, and what is one in another way
STRANGE = {
    "a number for a token": ('" a", "b"', '" a", 1'),
    "a number for the first token": ('[" a", ', "[1, "),
    "null for a token": ('"b", "."', 'null, "."'),
    "a list for a token": ('"b", "."', '["b", "."]'),
    "a list of as many texts as are missing around it": ('"b", "."', '["x", "y", "z", "w"], "."'),
    "a list of three": ('"b"', '["x", "y", "z"]'),
    "an object of three": ('"b"', '{"k": ["x", "y", "z"]}'),
    "a number, and a list of four": ('"b", "."', '7, ["x", "y", "z", "w"]'),
    "null, and a list of four": ('"b", "."', 'null, ["x", "y", "z", "w"]'),
    "a list of texts that end like two": ('"b"', '["x\\", ", "y\\", "]'),
    "a list within lists": ('"b"', "[" * 400 + '"x", "y", "z"' + "]" * 400),
    "a comma after the last value": ("-0.1, -4.4e-05]", "-0.1, -4.4e-05,]"),
    "a comma and a blank after it": ("-0.1, -4.4e-05]", "-0.1, -4.4e-05, ]"),
    "a comma after the last token": ('"\\""]', '"\\"",]'),
    "a value of text": ("0.5, 1.25", '0.5, "1.25"'),
    "true": ("0.5, 1.25", "0.5, true"),
    "null": ("0.5, 1.25", "0.5, null"),
    "NaN": ("0.5, 1.25", "0.5, NaN"),
    "Infinity": ("0.5, 1.25", "0.5, -Infinity"),
    "a value too large for any float": ("0.5, 1.25", "0.5, 1e999"),
    "a value too large for 32 bits": ("0.5, 1.25", "0.5, 1e99"),
    "a whole number that no float of 32 bits holds": ("0.5, 1.25", "0.5, 16777217"),
    "a whole number": ("0.5, 1.25", "0.5, 1"),
    "a number with a plus": ("0.5, 1.25", "0.5, +1.25"),
    "a number with a zero before it": ("0.5, 1.25", "0.5, 01.25"),
    "a number that ends with its point": ("0.5, 1.25", "0.5, 1."),
    "one value fewer": ("0.5, 1.25, ", "0.5, "),
    "another key": ('"values"', '"rank": 0, "values"'),
    "keys in another order": ('{"tokens": [" a", "b"', '{"n": 1, "tokens": [" a", "b"'),
    "a key twice": ('"minValue"', '"values": [0.0, 0.0, 0.0, 9.0], "minValue"'),
    "a list that ends early": ('"b", "."', '"b"], "others": ["."'),
    "no JSON after the lists": ('"minValue": ', '"minValue": x'),
    "NaN after the lists": ('"minValue": ', '"minValue": NaN, "n": '),
    "a number of too many digits after the lists": (
        '"minValue": ',
        f'"minValue": {"9" * 4301}, "maxValue": ',
    ),
    "white space": ('", "', '" ,  "'),
    "several lines": ('"b", ', '"b",\n'),
    "half a character": ('"b"', '"\\ud83d"'),
    "a character that is not written so": ('"b"', '"\\x62"'),
    "a tab in a token": ('"b"', '"b\t"'),
    "other tokens around the MAT": ('"b"', '"B"'),
    "another MAT": ("Token Index: <b>1</b>", "Token Index: <b>0</b>"),
    "a MAT after the last token": ("Token Index: <b>1</b>", "Token Index: <b>9</b>"),
}


@pytest.mark.parametrize("what", STRANGE)
@pytest.mark.parametrize("count", [1, 2], ids=["truncated", "both"])
def test_what_is_written_otherwise_is_read_or_refused_as_it_is_alone(what, count):
    old, new = STRANGE[what]
    page, changed = re.subn(re.escape(old), lambda _: new, PLAIN, count=count)
    assert changed
    check([page, PLAIN])
    check([PLAIN, page, PLAIN])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 9), st.text(string.printable, max_size=6)), max_size=3
    )
)
def test_a_page_changed_anywhere(changes):
    page = PLAIN
    for place, n_removed, added in changes:
        at = int(place * len(page))
        page = page[:at] + added + page[at + n_removed :]
    check([page, PLAIN])


PIECES = ['"', "\\", ", ", '", ', '", "', '\\"', "]", "[", "}", "a", "", '"x"', "x"]
strings = st.lists(st.sampled_from(PIECES), max_size=3).map("".join)
written_items = st.recursive(
    strings.map(json.dumps)
    | strings.map(lambda text: f'"{text}"')
    | st.sampled_from(["1", "-0", "null", "true", "NaN", ""]),
    lambda items: (
        st.lists(items, max_size=4).map(lambda own: f"[{', '.join(own)}]")
        | st.lists(items, max_size=3).map(lambda own: '{"k": [' + ", ".join(own) + "]}")
    ),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(written_items, min_size=1, max_size=6),
    st.sampled_from([", ", ", ", ", ", ","]),
    st.integers(-1, 1),
)
def test_any_list_of_items(items, parted, more):
    values = ", ".join(["0.5"] * (len(items) + more))
    data = f'{{"tokens": [{parted.join(items)}], "values": [{values}], "minValue": -1.0, "maxValue": 1.0}}'
    check(
        [
            re.sub(r"\{.tokens.: \[. a.*\}", lambda _: data, PLAIN, count=2).replace(
                "Index: <b>1", "Index: <b>0"
            )
        ]
    )


def test_one_unusual_page_among_many_is_found():
    odd = written(sample(["a", '", ', "b"], [1.0, 0.5, 2.0], 2))
    for place in range(5):
        pages = [PLAIN] * 5
        pages[place] = odd
        found = usual([(page.encode(), 0) for page in pages], **LAYER)
        assert [each is None for each in found] == [number == place for number in range(5)]


def test_large_pages_are_read_a_few_at_once():
    long = written(sample(["a", "x" * 3_000_000, "b"], [1.0, 0.5, 2.0], 2))
    plain = [PLAIN] * 40
    check([*plain, *[long] * 12, *plain])


def test_as_many_neurons_as_pages():
    with pytest.raises(ValueError, match="shorter"):
        [*parse_pages([PLAIN.encode()] * 2, [0], **LAYER)]


def test_too_many_tokens():
    half = [1.0] * (MOST_TOKENS // 2)
    most = [sample(["a"] * len(half), half, rank=rank) for rank in range(3)]
    check([written(*most[:2]), PLAIN])
    check([written(*most)])
