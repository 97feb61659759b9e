"""Text data sets, one text at a time; with tokenised.py the only module that imports `datasets`.

A file or a folder of Parquet, JSON lines or plain text, or a data set on the Hub, streamed: memory
does not grow with the text. Each row has a column `text`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import TEXT_FORMS, Config
from pipeline.errors import PipelineError, UserError, lacks_memory, short_of_memory
from pipeline.tables import fingerprint


def files(path: Path) -> list[Path]:
    """The text files of a folder (or the file itself), sorted; at least one, of one form.

    Raises UserError where there is none.
    """
    if not path.exists():
        raise UserError(f"TEXT: no such file or folder: {path}")
    listed = [path] if path.is_file() else sorted(path.rglob("*"))
    listed = [f for f in listed if f.suffix in TEXT_FORMS and f.is_file()]
    forms = {f.suffix for f in listed}
    if len(forms) != 1:
        what = f"files of {len(forms)} forms" if forms else "no text files"
        raise UserError(f"TEXT: {what} in {path}; give one of {', '.join(TEXT_FORMS)}")
    return listed


def contents(config: Config) -> dict[str, Any]:
    """What TEXT stands for in a key: the fingerprint of each file, or the data set's name."""
    path = config.text_path
    if path is None:
        return {"name": config.text}
    return {str(f.relative_to(path.parent)): fingerprint.of_file(f) for f in files(path)}


def ready(config: Config) -> None:
    """Raise UserError or PipelineError where the first text cannot be read."""
    next(stream(config.text, config.text_path))


def stream(text: str, path: Path | None) -> Iterator[str]:
    """Yield the texts of a data set in its own order, empty ones left out.

    `path` is the file or folder, or None where `text` names a data set on the Hub.
    Raises UserError where there is no column `text` or no text at all, PipelineError where a file is
    damaged or the Hub cannot be reached.
    """
    rows = _local(files(path)) if path else _hub(text)
    empty = True
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("text", 0), str | None):
            has = ", ".join(row) if isinstance(row, dict) else "no columns"
            raise UserError(f"TEXT: {text} has no column 'text' of strings; it has {has}")
        if row["text"] and row["text"].strip():
            empty = False
            yield row["text"]
    if empty:
        raise UserError(f"TEXT: {text} holds no text; give a set with text in its column 'text'")


def _local(listed: list[Path]) -> Iterator[Any]:
    """The rows of files, read by pyarrow or line by line: `datasets` would take names for patterns."""
    for file in listed:
        try:
            if file.suffix == ".parquet":
                shard = pq.ParquetFile(file)
                columns = ["text"] if "text" in shard.schema_arrow.names else None
                for batch in shard.iter_batches(batch_size=1024, columns=columns):
                    yield from batch.to_pylist()
            else:
                with file.open(encoding="utf-8") as lines:
                    for line in filter(str.strip, lines):
                        yield {"text": line.rstrip("\n")} if file.suffix == ".txt" else json.loads(line)
        except (pa.ArrowException, OSError, ValueError, MemoryError) as exc:
            raise _unreadable(file, exc) from exc


def _hub(text: str) -> Iterator[Any]:
    """The rows of a data set's split `train` on the Hub."""
    import datasets

    datasets.disable_progress_bars()
    try:
        yield from datasets.load_dataset(text, split="train", streaming=True)
    except Exception as exc:
        raise _unreadable(text, exc) from exc


def _unreadable(what: object, exc: Exception) -> PipelineError:
    if lacks_memory(exc):
        return short_of_memory(f"to read TEXT {what}", exc)
    reason = " ".join(str(exc).split())[:200]
    return PipelineError(
        f"TEXT: cannot read {what}: {reason}; fetch it again, or give another TEXT (a file or folder that "
        "is there, or a data set of the Hub)"
    )
