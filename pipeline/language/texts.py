"""Text data sets, one text at a time; with tokenised.py the only module that imports `datasets`.

A file or a folder of Parquet, JSON lines or plain text, or a data set on the Hub, streamed: memory
does not grow with the text. Each row has a column `text`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.config import TEXT_FORMS, Config
from pipeline.errors import PipelineError, UserError
from pipeline.language import text_files
from pipeline.tables import fingerprint
from pipeline.web import hugging_face

SETTINGS = ("text", "bad_rows", "plain_text")  # which decide what is read


def files(path: Path) -> list[Path]:
    """The text files of a folder (or the file itself), sorted; at least one, of one form.

    Raises UserError where there is none.
    """
    if not path.exists():
        raise UserError(f"TEXT: no such file or folder: {path}")
    listed = [path] if path.is_file() else text_files.visible(path, TEXT_FORMS)
    listed = [f for f in listed if f.suffix in TEXT_FORMS]
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
    next(of(config))


def of(config: Config) -> Iterator[str]:
    """The texts of TEXT, as `stream` gives them."""
    return stream(config.text, config.text_path, bad_rows=config.bad_rows, plain_text=config.plain_text)


def stream(
    text: str, path: Path | None, *, bad_rows: str = "refuse", plain_text: str = "auto"
) -> Iterator[str]:
    """Yield the texts of a data set in its own order, empty ones left out.

    `path` is the file or folder, or None where `text` names a data set on the Hub; `bad_rows` and
    `plain_text` are the settings. Rows that are skipped are counted on stderr once all is read.
    Raises UserError for a row without a string `text` unless it is skipped, and where there is no text at
    all, PipelineError where a file is damaged or the Hub cannot be reached.
    """
    rows = text_files.Rows(text, skip=bad_rows == "skip")
    empty = True
    for each in _local(files(path), rows, plain_text) if path else _hub(text, rows):
        if each and not each.isspace():
            empty = False
            yield each
    rows.tell()
    if empty:
        raise UserError(f"TEXT: {text} holds no text; give a set with text in its column 'text'")


def _local(listed: list[Path], rows: text_files.Rows, plain_text: str) -> Iterator[str | None]:
    """The texts of files, read by pyarrow or line by line: `datasets` would take names for patterns."""
    for file in listed:
        try:
            if file.suffix == ".parquet":
                yield from text_files.parquet(file, rows)
            elif file.suffix == ".jsonl":
                yield from text_files.json_lines(file, rows)
            else:
                yield from text_files.plain(file, plain_text, rows)
        except PipelineError:
            raise
        except Exception as exc:  # whatever pyarrow makes of a file from outside
            raise text_files.unreadable(file, exc) from exc


def _hub(text: str, rows: text_files.Rows) -> Iterator[str | None]:
    """The texts of a data set's split `train` on the Hub."""
    hugging_face.reach("TEXT", text, "datasets")
    import datasets

    datasets.disable_progress_bars()
    try:
        found = datasets.load_dataset(text, split="train", streaming=True)
        for number, row in enumerate(found, 1):
            yield rows.text(row, f"row {number} of {text}")
    except PipelineError:
        raise
    except Exception as exc:
        raise (hugging_face.silence(exc) or text_files.unreadable(text, exc)) from exc
