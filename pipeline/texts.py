"""Text data sets, one text at a time; the only module that imports `datasets`.

A file or a folder of Parquet, JSON lines or plain text, or a data set on the Hub, streamed: memory
does not grow with the text. Each row has a column `text`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import PipelineError, UserError

_READING = {"parquet": {"batch_size": 1024}}  # the default fails on a file without rows
_FORMS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".txt": "text"}


def files(path: Path) -> list[Path]:
    """The text files of a folder (or the file itself), sorted; at least one, of one form.

    Raises UserError where there is none.
    """
    if not path.exists():
        raise UserError(f"TEXT: no such file or folder: {path}")
    found = [path] if path.is_file() else sorted(path.rglob("*"))
    found = [f for f in found if f.suffix in _FORMS and f.is_file()]
    forms = sorted({_FORMS[f.suffix] for f in found})
    if len(forms) != 1:
        what = f"files of {len(forms)} forms" if forms else "no text files"
        raise UserError(f"TEXT: {what} in {path}; give one of {', '.join(_FORMS)}")
    return found


def stream(text: str, path: Path | None) -> Iterator[str]:
    """Yield the texts of a data set in its own order, empty ones left out.

    `path` is the file or folder, or null where `text` names a data set on the Hub.
    Raises UserError where there is no column `text` or no text at all, PipelineError where a file is
    damaged or the Hub cannot be reached.
    """
    listed = files(path) if path else []
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what it logs, it raises too
    empty = True
    try:
        if path:
            form = _FORMS[listed[0].suffix]
            names = [str(f) for f in listed]
            rows = datasets.load_dataset(
                form, data_files=names, split="train", streaming=True, **_READING.get(form, {})
            )
        else:
            rows = datasets.load_dataset(text, split="train", streaming=True)
        for row in rows:
            if not isinstance(row.get("text", 0), str | None):
                raise UserError(f"TEXT: {text} has no column 'text' of strings; it has {', '.join(row)}")
            if row["text"] and row["text"].strip():
                empty = False
                yield row["text"]
    except UserError:
        raise
    except Exception as exc:
        reason = " ".join(str(exc).split())[:200]
        raise PipelineError(
            f"TEXT: cannot read {text}: {reason}; fetch the file again or give another TEXT"
        ) from exc
    if empty:
        raise UserError(f"TEXT: {text} holds no text; give a set with text in its column 'text'")
