import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError, UserError
from pipeline.language import texts


def read(path):
    return list(texts.stream(str(path), path))


def parquet(path, *values):
    pq.write_table(pa.table({"text": pa.array(values, pa.string())}), path)
    return path


def test_parquet_json_lines_and_plain_text_are_read_in_order(tmp_path):
    parquet(tmp_path / "a.parquet", "one", "two")
    assert read(tmp_path / "a.parquet") == ["one", "two"]
    (tmp_path / "b.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in ("x", "y\nz")))
    assert read(tmp_path / "b.jsonl") == ["x", "y\nz"]
    (tmp_path / "c.txt").write_text("first\n\nsecond\n")
    assert read(tmp_path / "c.txt") == ["first", "second"]


def test_a_folders_files_are_read_by_name_and_empty_texts_left_out(tmp_path):
    (tmp_path / "sub").mkdir()
    parquet(tmp_path / "b.parquet", "three", None, " ")
    parquet(tmp_path / "a.parquet", "one", "", "two")
    parquet(tmp_path / "sub" / "c.parquet", "four")
    (tmp_path / "README.md").write_text("not a text")
    assert read(tmp_path) == ["one", "two", "three", "four"]


@pytest.mark.parametrize("content", [(), ("",), (" \n",)])
def test_an_empty_set_is_refused(tmp_path, content):
    parquet(tmp_path / "a.parquet", *content)
    with pytest.raises(UserError, match="holds no text"):
        read(tmp_path)


def test_a_folder_without_texts_or_with_several_forms_is_refused(tmp_path):
    with pytest.raises(UserError, match="no text files"):
        read(tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        read(tmp_path / "nowhere")
    parquet(tmp_path / "a.parquet", "one")
    (tmp_path / "b.txt").write_text("two")
    with pytest.raises(UserError, match="files of 2 forms"):
        read(tmp_path)


def test_a_set_without_the_column_is_refused_with_the_columns_it_has(tmp_path):
    pq.write_table(pa.table({"body": ["a"], "id": [1]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="no column 'text' of strings; it has body, id"):
        read(tmp_path)


def test_a_damaged_shard_is_one_line_with_the_way_out(tmp_path):
    path = parquet(tmp_path / "a.parquet", *["some text"] * 1000)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(PipelineError, match="cannot read .*; fetch it again") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_memory_does_not_grow_with_the_text(tmp_path):
    peaks = []
    for lines in (5_000, 20_000):  # 1 and 4 MB; the file is read through a buffer of some kB
        (tmp_path / "a.txt").write_text(("word " * 40 + "\n") * lines)
        tracemalloc.start()
        assert sum(1 for _ in texts.stream("a", tmp_path / "a.txt")) == lines
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 200_000


@pytest.mark.parametrize("name", ["a[1].txt", "a::b.txt", "a*.txt", "a b'c.txt"])
def test_a_file_is_read_by_its_own_name_whatever_that_is(tmp_path, name):
    (tmp_path / "a1.txt").write_text("another file\n")
    (tmp_path / name).write_text("this file\n")
    assert read(tmp_path / name) == ["this file"]


def test_a_line_that_is_not_a_json_object_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n["two"]\n')
    with pytest.raises(UserError, match="no column 'text' of strings; it has no columns"):
        read(tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\nnot json\n')
    with pytest.raises(UserError, match="line 2 of .*a.jsonl has no JSON"):
        read(tmp_path / "a.jsonl")


BAD_LINES = {
    "another column": ('{"body": "x"}', "no column 'text' of strings; it has body"),
    "a number": ('{"text": 5}', "no column 'text' of strings"),
    "a list": ('["text"]', "no column 'text' of strings; it has no columns"),
    "a string": ('"text"', "no column 'text' of strings; it has no columns"),
    "null": ("null", "no column 'text' of strings; it has no columns"),
    "no JSON": ("{'text': 'x'}", "no JSON"),
    "cut off": ('{"text": "x', "no JSON"),
    "nested deeply": ('{"a": ' + "[" * 200_000 + "]" * 200_000 + ', "text": "x"}', "no JSON"),
    "a long number": ('{"text": "x", "n": ' + "9" * 5000 + "}", "no JSON"),
    "half a character": ('{"text": "x\\ud83d"}', "a text with half a character"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_row_without_text_is_refused_with_file_and_line_or_skipped_and_counted(tmp_path, capsys, case):
    line, message = BAD_LINES[case]
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n\n' + line + '\n{"text": null}\n' + line + '\n{"text": "two"}\n')
    with pytest.raises(
        UserError, match=f"TEXT: line 3 of .*a.jsonl has {message}.*BAD_ROWS=skip"
    ) as caught:
        read(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert list(texts.stream("a", path, bad_rows="skip")) == ["one", "two"]
    assert (
        f"TEXT: 2 rows of a skipped, the first: line 3 of {path} has {message}" in capsys.readouterr().err
    )


def test_bytes_that_are_no_utf8_are_refused_with_their_line_or_skipped(tmp_path):
    for name, line in (("a.jsonl", b'{"text": "%s"}\n'), ("a.txt", b"%s\n")):
        path = tmp_path / name
        path.write_bytes(b"".join(line % word for word in (b"one", b"caf\xe9", b"two")))
        with pytest.raises(UserError, match=f"line 2 of .*{name} has a text with half a character"):
            read(path)
        assert list(texts.stream("a", path, bad_rows="skip")) == ["one", "two"]


def test_rows_of_parquet_and_skipped_sets_are_named_too(tmp_path):
    pq.write_table(pa.table({"text": [b"x"]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="row 1 of .*a.parquet has no column 'text' of strings"):
        read(tmp_path / "a.parquet")
    with pytest.raises(UserError, match="holds no text"):
        list(texts.stream("a", tmp_path / "a.parquet", bad_rows="skip"))


@pytest.mark.parametrize("form", ["utf-8-sig", "utf-16", "utf-32", "utf-16-be", "utf-32-be"])
def test_a_byte_order_mark_is_read_and_no_character_of_the_text(tmp_path, form):
    mark = "\ufeff" if form.endswith("be") else ""  # the others write their own
    for name, content in (("a.txt", "naïve\nfox\n"), ("a.jsonl", '{"text": "naïve"}\n{"text": "fox"}\n')):
        (tmp_path / name).write_bytes((mark + content).encode(form))
        assert read(tmp_path / name) == ["naïve", "fox"]


def test_marks_of_files_that_were_joined_are_no_characters_either(tmp_path):
    for name, content in (("a.txt", "one\n"), ("a.jsonl", '{"text": "one"}\n')):
        (tmp_path / name).write_bytes(content.encode("utf-8-sig") * 2)
        assert read(tmp_path / name) == ["one", "one"]


HIDDEN = (
    "._a.parquet",
    ".a.parquet",
    "_a.parquet",
    "__MACOSX/._a.parquet",
    "__MACOSX/a.parquet",
    ".ipynb_checkpoints/a-checkpoint.parquet",
    "sub/.cache/a.parquet",
    "_temporary/0/a.parquet",
    ".b.txt",
    "._b.jsonl",
)


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_files_and_copies_are_no_texts_and_no_tokenised_ones(tmp_path, name):
    from pipeline.language.tokenised import tokenised_files

    parquet(tmp_path / "a.parquet", "one")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"\0\5\26\7 a resource fork")
    assert read(tmp_path) == ["one"]
    assert tokenised_files(tmp_path) == [tmp_path / "a.parquet"]


def test_a_folder_in_a_hidden_place_and_a_hidden_file_by_its_name_are_read(tmp_path):
    folder = tmp_path / ".cache" / "_set"
    folder.mkdir(parents=True)
    (folder / "_a.txt").write_text("one\n")
    assert read(folder) == ["one"]
    (folder / ".b.txt").write_text("two\n")
    assert read(folder / ".b.txt") == ["two"]


WRAPPED = "The red fox\nruns near\nthe dog.\n\n\nThe blue fox\nsits.\n \nA title\n"
PARAGRAPHS = ["The red fox\nruns near\nthe dog.", "The blue fox\nsits.", "A title"]


@pytest.mark.parametrize(
    ("content", "what", "expected"),
    [
        (WRAPPED, "auto", PARAGRAPHS),
        (WRAPPED, "paragraphs", PARAGRAPHS),
        (WRAPPED, "lines", "\n".join(PARAGRAPHS).split("\n")),
        (WRAPPED.replace("\n", "\r\n"), "auto", PARAGRAPHS),
        ("one\ntwo\nthree\n", "auto", ["one", "two", "three"]),
        ("one\n\ntwo\n\nthree\n", "auto", ["one", "two", "three"]),
        (
            "one\n\ntwo\nthree\n\nfour\n\nfive\n\nsix\n",
            "auto",
            ["one", "two", "three", "four", "five", "six"],
        ),
        ("one\ntwo\n", "paragraphs", ["one\ntwo"]),
        ("\n\none\ntwo", "auto", ["one", "two"]),
    ],
)
def test_paragraphs_of_wrapped_plain_text_are_its_texts(tmp_path, content, what, expected):
    (tmp_path / "a.txt").write_text(content, newline="")
    assert list(texts.stream("a", tmp_path / "a.txt", plain_text=what)) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5
)
lines = st.binary(max_size=30) | st.dictionaries(st.sampled_from(["text", "b"]), json_values).map(
    lambda row: json.dumps(row).encode()
)


@pytest.mark.parametrize("suffix", [".jsonl", ".txt", ".parquet"])
@given(
    content=st.lists(lines, max_size=6).map(b"\n".join),
    mark=st.sampled_from([b"", b"\xff\xfe", b"\xef\xbb\xbf"]),
)
@settings(max_examples=60, deadline=None)
def test_a_file_of_anything_gives_texts_or_our_own_error(tmp_path_factory, suffix, content, mark):
    path = tmp_path_factory.mktemp("t") / f"a{suffix}"
    path.write_bytes(mark + content)
    for how in ("refuse", "skip"):
        try:
            found = list(texts.stream("a", path, bad_rows=how))
        except PipelineError as exc:
            assert "\n" not in str(exc)
        else:
            assert all(text.strip() and text.encode() for text in found)


@given(place=st.floats(0, 1), junk=st.binary(min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_a_damaged_parquet_gives_texts_or_our_own_error(tmp_path_factory, place, junk):
    path = parquet(tmp_path_factory.mktemp("t") / "a.parquet", *["some text"] * 9)
    whole = path.read_bytes()
    start = int(place * len(whole))
    path.write_bytes(whole[:start] + junk + whole[start + len(junk) :])
    try:
        assert all(isinstance(text, str) for text in read(path))
    except PipelineError as exc:
        assert "\n" not in str(exc)
