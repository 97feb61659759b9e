"""How many texts there are to read, so that one can say how long it takes yet."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from pipeline.config import Config
from pipeline.language import text_files, texts

_BYTES = 2**20  # read at once


def about(config: Config) -> int | None:
    """The rows of TEXT, of which some may hold no text; None for a data set on the Hub.

    Raises PipelineError where a file cannot be read.
    """
    path = config.text_path
    return None if path is None else sum(_rows(file, config.plain_text) for file in texts.files(path))


def _rows(file: Path, plain_text: str) -> int:
    try:
        if file.suffix == ".parquet":
            return pq.read_metadata(file).num_rows
        if file.suffix == ".jsonl":
            return _lines(file)
        return sum(1 for _ in text_files.plain(file, plain_text, text_files.Rows(file.name, skip=True)))
    except Exception as exc:  # whatever pyarrow makes of a file from outside
        raise text_files.unreadable(file, exc) from exc


def _lines(file: Path) -> int:
    """The lines of a file, also where the last one does not end."""
    number, last = 0, b"\n"
    with file.open("rb") as opened:
        while part := opened.read(_BYTES):
            number, last = number + part.count(b"\n"), part[-1:]
    return number + (last != b"\n")
