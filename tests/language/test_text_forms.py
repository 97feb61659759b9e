"""Texts in every form that people have them in, packed or not, and what is said of damaged ones."""

import bz2
import csv
import gzip
import io
import json
import lzma

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.errors import PipelineError, UserError
from pipeline.language import text_count, texts

TEXTS = ["one, two", 'he said "no"', "first\nsecond", "naïve 中文"]


def zstd(content):
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as stream:
        stream.write(content)
    return packed.getvalue().to_pybytes()


PACKERS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}


def values(delimiter=",", column="text"):
    found = io.StringIO()
    writer = csv.writer(found, delimiter=delimiter, lineterminator="\n")
    writer.writerows([("id", column), *enumerate(TEXTS)])
    return found.getvalue()


def lines(column="text"):
    return "".join(json.dumps({column: text, "id": 1}) + "\n" for text in TEXTS)


CONTENTS = {
    "a.jsonl": lines,
    "a.ndjson": lines,
    "a.json": lines,
    "b.json": lambda column="text": json.dumps([{column: text} for text in TEXTS], indent=1),
    "a.csv": lambda column="text": values(",", column),
    "b.csv": lambda column="text": values(";", column),
    "c.csv": lambda column="text": values("|", column),
    "a.tsv": lambda column="text": values("\t", column),
    "A.CSV": lambda column="text": values(",", column),
}


def read(path, **how):
    return list(texts.stream(str(path), path, **how))


def count(path, **how):
    return text_count.about(Config(text=str(path), **how))


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("name", CONTENTS)
def test_each_form_is_read_packed_or_not_from_any_column(tmp_path, name, packing):
    for column in ("text", "body of it"):
        path = tmp_path / f"{name}{packing}"
        path.write_bytes(PACKERS[packing](CONTENTS[name](column).encode()))
        assert read(path, column=column) == TEXTS
        assert count(path, text_column=column) == len(TEXTS)


@pytest.mark.parametrize("packing", PACKERS)
def test_plain_text_is_read_packed_or_not(tmp_path, packing):
    path = tmp_path / f"a.txt{packing}"
    path.write_bytes(PACKERS[packing](b"one\ntwo\n"))
    assert read(path) == ["one", "two"]
    assert read(tmp_path) == ["one", "two"]
    assert count(path) == 2


def test_how_a_file_is_packed_is_told_by_its_content(tmp_path):
    (tmp_path / "a.txt.gz").write_text("unpacked on the way\n")
    (tmp_path / "b.txt").write_bytes(gzip.compress(b"packed\n"))
    (tmp_path / "c.txt").write_text("BZhang is a name\n")
    assert read(tmp_path) == ["unpacked on the way", "packed", "BZhang is a name"]


def test_parts_that_were_packed_apart_and_joined_are_all_read(tmp_path):
    for packing in (".gz", ".bz2", ".xz", ".zst"):
        pack = PACKERS[packing]
        (tmp_path / f"a.txt{packing}").write_bytes(pack(b"one\n") + pack(b"two\n"))
        assert read(tmp_path / f"a.txt{packing}") == ["one", "two"]


def test_another_column_of_parquet_is_read(tmp_path):
    pq.write_table(pa.table({"id": [1, 2], "body": ["one", "two"]}), tmp_path / "a.parquet")
    assert read(tmp_path, column="body") == ["one", "two"]
    with pytest.raises(
        UserError, match=r"row 1 of .*no column 'text' of strings; it has id, body.*TEXT_COLUMN"
    ):
        read(tmp_path)
    with pytest.raises(UserError, match=r"row 1 of .*no column 'id' of strings \(it holds int\)"):
        read(tmp_path, column="id")


def test_a_column_with_null_and_other_values_is_named_by_row_or_skipped(tmp_path, capsys):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"b": "one"}, {"b": None}, {"b": ["x"]}, 5, {"b": "two"}]))
    with pytest.raises(UserError, match=r"entry 3 of .*no column 'b' of strings \(it holds list\)"):
        read(path, column="b")
    assert read(path, column="b", bad_rows="skip") == ["one", "two"]
    assert "2 rows of" in capsys.readouterr().err


def test_a_saved_set_is_read_in_its_order_from_any_column(tmp_path):
    found = Dataset.from_dict({"id": list(range(5)), "body": ["e", "d", "c", "b", "a"]})
    found.save_to_disk(tmp_path / "set", num_shards=3)
    assert read(tmp_path / "set", column="body") == ["e", "d", "c", "b", "a"]
    assert count(tmp_path / "set", text_column="body") == 5
    with pytest.raises(UserError, match="row 1 of .*set has no column 'text' of strings; it has id, body"):
        read(tmp_path / "set")
    with pytest.raises(UserError, match="TEXT_SPLIT is 'test'.*has no splits"):
        read(tmp_path / "set", column="body", split="test")


def test_of_a_saved_dictionary_one_split_is_read(tmp_path):
    splits = {"train": ["one", "two"], "test": ["three"]}
    DatasetDict({k: Dataset.from_dict({"text": v}) for k, v in splits.items()}).save_to_disk(tmp_path / "d")
    assert read(tmp_path / "d") == ["one", "two"]
    assert read(tmp_path / "d", split="test") == ["three"]
    assert count(tmp_path / "d", text_split="test") == 1
    assert read(tmp_path / "d" / "test") == ["three"]
    with pytest.raises(UserError, match="TEXT_SPLIT is 'validation'; .* has test, train"):
        read(tmp_path / "d", split="validation")


def test_a_folder_of_several_forms_with_columns_is_read_by_name(tmp_path):
    Dataset.from_dict({"text": ["in b"]}).save_to_disk(tmp_path / "b")
    DatasetDict({"train": Dataset.from_dict({"text": ["in d"]})}).save_to_disk(tmp_path / "d")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "in a"}\n'))
    (tmp_path / "c.csv").write_text("text\nin c\n")
    pq.write_table(pa.table({"text": ["in e"]}), tmp_path / "e.parquet")
    assert read(tmp_path) == ["in a", "in b", "in c", "in d", "in e"]
    assert len(texts.contents(Config(text=str(tmp_path)))) == 5
    (tmp_path / "f.txt").write_text("in f\n")
    with pytest.raises(UserError, match="plain text has no columns"):
        read(tmp_path)


def test_the_key_of_a_saved_set_changes_with_its_rows(tmp_path):
    keys = []
    for text in ("one", "two"):
        Dataset.from_dict({"text": [text]}).save_to_disk(tmp_path / "set")
        keys.append(texts.contents(Config(text=str(tmp_path / "set"))))
    assert keys[0] != keys[1]


def test_settings_that_the_texts_cannot_have_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("one\n")
    for how, said in (
        (dict(config="en"), "TEXT_CONFIG is for a data set on the Hub"),
        (dict(split="test"), "TEXT_SPLIT is 'test', and .* has no splits"),
        (dict(column="body"), "TEXT_COLUMN is 'body', and .* is plain text"),
    ):
        with pytest.raises(UserError, match=said):
            read(tmp_path / "a.txt", **how)
    for name in ("text_column", "text_config", "text_split"):
        with pytest.raises(UserError, match=f"{name.upper()} is empty; leave it out"):
            Config(**{name: " "})


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
def test_a_packed_file_that_is_cut_off_is_one_line_that_names_it(tmp_path, name, packing):
    path = tmp_path / f"{name}{packing}"
    path.write_bytes(PACKERS[packing](CONTENTS.get(name, lambda: "a\nb\n")().encode() * 50)[:-9])
    for how in ("refuse", "skip"):
        with pytest.raises(
            PipelineError, match=rf"TEXT: cannot read .*{name}{packing}.*; fetch it"
        ) as caught:
            read(path, bad_rows=how)
        assert "\n" not in str(caught.value)
    with pytest.raises(PipelineError, match="cannot read"):
        count(path)


def test_a_damaged_file_is_named_with_the_last_row_that_was_read(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    rows = b"".join(b'{"text": "%d"}\n' % n for n in range(50_000))
    path.write_bytes(gzip.compress(rows)[:-20_000])
    with pytest.raises(PipelineError, match=r"cannot read .*a.jsonl.gz, after line \d+ of"):
        read(path)


BAD_VALUES = {
    "a field too many": ("x,y,z", "3 fields, and the first row 2"),
    "a field too few": ("x", "1 fields, and the first row 2"),
    "a quote in the middle": ('1,"x"y', "quotes that are none of CSV"),
    "half a character": ("1,caf\udce9", "a text with half a character"),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_a_row_of_csv_without_a_text_is_refused_with_its_line_or_skipped(tmp_path, case):
    line, message = BAD_VALUES[case]
    path = tmp_path / "a.csv"
    path.write_bytes(f'id,text\n1,"a\nb"\n\n{line}\n2,c\n'.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=f"TEXT: line 5 of .*a.csv has {message}.*BAD_ROWS=skip"):
        read(path)
    assert read(path, bad_rows="skip") == ["a\nb", "c"]


@pytest.mark.parametrize("how", ["refuse", "skip"])
def test_a_quote_that_is_not_closed_is_refused_whatever_is_skipped(tmp_path, how):
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,one\n2,"two\n3,three\n')
    with pytest.raises(
        PipelineError, match=r"cannot read .*line 3 of .*a.csv opens a quote that is not closed"
    ):
        read(path, bad_rows=how)


def test_a_field_of_millions_of_letters_is_read(tmp_path):
    (tmp_path / "a.csv").write_text("text\n" + "long " * 2**20 + "\n")
    assert [len(text) for text in read(tmp_path / "a.csv")] == [5 * 2**20]


def test_a_column_that_csv_lacks_or_names_twice_is_said(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id;body\n1;one\n")
    with pytest.raises(UserError, match="line 2 of .*no column 'text' of strings; it has id;body"):
        read(path)
    assert read(path, column="body") == ["one"]
    path.write_text("text,text\none,two\n")
    with pytest.raises(PipelineError, match="names the column 'text' more than once"):
        read(path)


@pytest.mark.parametrize("name", [*CONTENTS, "a.txt"])
def test_an_empty_file_holds_no_text_and_a_mark_is_no_character(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"")
    with pytest.raises(UserError, match="holds no text"):
        read(path)
    for form in ("utf-8-sig", "utf-16"):
        path.write_bytes(CONTENTS.get(name, lambda: "\n".join(TEXTS))().encode(form))
        assert "\ufeff" not in "".join(read(path))
        assert read(path)[0] == TEXTS[0]


@pytest.mark.parametrize("content", ['{"a": 1}', "[", "[1, 2", "{\n}", "null", "[[]]"])
def test_json_that_holds_no_texts_is_our_own_error(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(PipelineError, match=r"TEXT: .*a\.json") as caught:
        read(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [b"", b"{}", b"[", b'{"_data_files": [{"filename": "none.arrow"}]}'])
def test_a_damaged_saved_set_is_our_own_error(tmp_path, damage):
    Dataset.from_dict({"text": ["one"]}).save_to_disk(tmp_path / "set")
    (tmp_path / "set" / "state.json").write_bytes(damage)
    for look in (read, count, lambda path: texts.contents(Config(text=str(path)))):
        with pytest.raises(PipelineError, match="TEXT: cannot read .*set") as caught:
            look(tmp_path / "set")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.json", "a.jsonl.gz", "a.txt.zst"])
@given(
    content=st.binary(max_size=60),
    begin=st.sampled_from([b"", b"text\n", b"[", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"]),
)
@settings(max_examples=60, deadline=None)
def test_a_file_of_anything_gives_texts_or_our_own_error(tmp_path_factory, name, content, begin):
    path = tmp_path_factory.mktemp("t") / name
    path.write_bytes(begin + content)
    for how in ("refuse", "skip"):
        try:
            found = read(path, bad_rows=how)
        except PipelineError as exc:
            assert "\n" not in str(exc)
        else:
            assert all(text.strip() and text.encode() for text in found)
