"""How many texts there are to read, so that one can say how long it takes yet."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from pipeline.config import Config
from pipeline.language import packed, text_files, texts
from pipeline.text_forms import form

_BYTES = 2**20  # read at once


def about(config: Config) -> int | None:
    """The rows of TEXT, of which some may hold no text; None for a data set on the Hub.

    Raises PipelineError where a file cannot be read.
    """
    path, reading = config.text_path, texts.Reading.of(config)
    return None if path is None else sum(_rows(file, reading) for file in texts.files(path, reading))


def _rows(file: Path, reading: texts.Reading) -> int:
    try:
        if form(file) == ".parquet":
            return pq.read_metadata(file).num_rows
        if form(file) in (".jsonl", ".ndjson"):
            return _lines(file)
        found = text_files.Rows(file.name, True, reading.column)
        return sum(1 for _ in text_files.read(file, found, reading.plain_text))
    except Exception as exc:  # whatever a library makes of a file from outside
        raise text_files.unreadable(file, exc) from exc


def _lines(file: Path) -> int:
    """The lines of a file, also where the last one does not end."""
    number, last = 0, b"\n"
    with packed.opened(file) as opened:
        while part := opened.read(_BYTES):
            number, last = number + part.count(b"\n"), part[-1:]
    return number + (last != b"\n")
