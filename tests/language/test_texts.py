import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
    with pytest.raises(PipelineError, match="cannot read .*a.jsonl"):
        read(tmp_path / "a.jsonl")
