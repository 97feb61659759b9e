"""The number of texts is known before they are read."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import Config
from pipeline.errors import PipelineError
from pipeline.language import text_count, texts

TEXTS = ["one", "two words", "three", "four"]


def parquet(path):
    pq.write_table(pa.table({"text": TEXTS}), path / "a.parquet")


def json_lines(path):
    (path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))


def unended(path):
    (path / "a.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in TEXTS))


def several(path):
    for name, some in (("a", TEXTS[:1]), ("b", TEXTS[1:])):
        pq.write_table(pa.table({"text": some}), path / f"{name}.parquet")


def lines(path):
    (path / "a.txt").write_text("\n".join(TEXTS))


def paragraphs(path):
    (path / "a.txt").write_text("".join(f"{text}\nand more\n\n" for text in TEXTS))


@pytest.mark.parametrize("write", [parquet, json_lines, unended, several, lines, paragraphs])
def test_as_many_texts_are_counted_as_are_read(tmp_path, write):
    write(tmp_path)
    config = Config(text=str(tmp_path))
    assert text_count.about(config) == len(list(texts.of(config))) == len(TEXTS)


def test_what_a_data_set_on_the_hub_has_is_not_known():
    assert text_count.about(Config(text="someone/texts")) is None


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(PipelineError, match=r"TEXT: cannot read .*a\.parquet"):
        text_count.about(Config(text=str(tmp_path)))
