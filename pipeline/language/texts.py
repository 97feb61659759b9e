"""Text data sets, one text at a time; with tokenised.py the only module that imports `datasets`.

Files, a folder of them, or a data set on the Hub, streamed: memory does not grow with the text. Each row
has its text in one column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.errors import PipelineError, UserError
from pipeline.language import text_files
from pipeline.printable import line as printable
from pipeline.tables import fingerprint
from pipeline.text_forms import PACKINGS, PLAIN, TEXT_FORMS, form
from pipeline.web import hugging_face

# the settings which decide what is read
SETTINGS = ("text", "text_column", "text_config", "text_split", "bad_rows", "plain_text")
_SPLIT = "train"


@dataclass(frozen=True)
class Reading:
    """How TEXT is read: the settings of the same names, without TEXT_ where they have it."""

    column: str = "text"
    config: str | None = None
    split: str | None = None
    bad_rows: str = "refuse"
    plain_text: str = "auto"

    @classmethod
    def of(cls, config: Config) -> Reading:
        """As the settings say."""
        return cls(
            config.text_column, config.text_config, config.text_split, config.bad_rows, config.plain_text
        )


def files(path: Path, reading: Reading | None = None) -> list[Path]:
    """What a file or folder holds of texts, sorted: files, and folders of `save_to_disk` for themselves.

    Raises UserError where there is none, for plain text beside what has columns, and for a setting that
    the texts there cannot have.
    """
    reading = reading or Reading()
    if not path.exists():
        raise UserError(f"TEXT: no such file or folder: {path}")
    if reading.config:
        raise UserError(f"TEXT_CONFIG is for a data set on the Hub, and {path} is here; leave it out")
    listed, has_splits = ([path], False) if path.is_file() else _of_folder(path, reading.split)
    if reading.split and not has_splits:
        raise UserError(
            f"TEXT_SPLIT is {reading.split!r}, and {path} has no splits as save_to_disk writes them; "
            "give the files of that split with TEXT, or leave it out"
        )
    forms = {form(found) if found.is_file() else text_files.SAVED for found in listed}
    if forms <= {""} or (len(forms) > 1 and PLAIN in forms):
        what = f"files of {len(forms)} forms" if any(forms) else "no text files"
        why = "; plain text has no columns as the others have" if any(forms) else ""
        raise UserError(
            f"TEXT: {what} in {path}{why}; give {', '.join(TEXT_FORMS)}, packed or not "
            f"({', '.join(PACKINGS)}), or a folder of save_to_disk"
        )
    if PLAIN in forms and reading.column != "text":
        raise UserError(f"TEXT_COLUMN is {reading.column!r}, and {path} is plain text, without columns")
    return listed


def _of_folder(path: Path, split: str | None) -> tuple[list[Path], bool]:
    """The files and saved sets of a folder, sorted, and whether some of the sets have splits."""
    splits = [found.parent for found in text_files.visible_named(path, text_files.SPLITS)]
    sets = [found.parent for found in text_files.visible_named(path, text_files.SAVED)]
    apart = text_files.visible(path, TEXT_FORMS)
    listed = [found for found in apart if not {*splits, *sets} & {*found.parents}]
    listed += [found for found in sets if not {*splits} & {*found.parents}]
    return sorted([*listed, *(_split(found, split) for found in splits)]), bool(splits)


def _split(folder: Path, split: str | None) -> Path:
    """The folder of a split of what `save_to_disk` wrote; raises UserError where it is not there."""
    wanted = split or _SPLIT
    there = sorted(found.parent.name for found in folder.glob(f"*/{text_files.SAVED}"))
    if wanted not in there:
        raise UserError(
            f"TEXT_SPLIT is {wanted!r}; {folder} has {', '.join(there) or 'none'}: choose one of them"
        )
    return folder / wanted


def contents(config: Config) -> dict[str, Any]:
    """What TEXT stands for in a key: the fingerprint of each file, or the data set's name."""
    path = config.text_path
    if path is None:
        return {"name": config.text}
    listed: list[Path] = []
    for found in files(path, Reading.of(config)):
        listed += [found] if found.is_file() else text_files.saved_files(found)
    return {str(f.relative_to(path.parent)): fingerprint.of_file(f) for f in listed}


def ready(config: Config) -> None:
    """Raise UserError or PipelineError where the first text cannot be read."""
    next(of(config))


def of(config: Config) -> Iterator[str]:
    """The texts of TEXT, as `stream` gives them."""
    return _stream(config.text, config.text_path, Reading.of(config))


def stream(text: str, path: Path | None, **how: Any) -> Iterator[str]:
    """Yield the texts of a data set in its own order, empty ones left out.

    `path` is the file or folder, or None where `text` names a data set on the Hub; `how` has fields of
    Reading. Rows that are skipped are counted on stderr once all is read.
    Raises UserError for a row without a string in the column unless it is skipped, and where there is no
    text at all, PipelineError where a file is damaged or the Hub cannot be reached.
    """
    return _stream(text, path, Reading(**how))


def _stream(text: str, path: Path | None, reading: Reading) -> Iterator[str]:
    rows = text_files.Rows(text, reading.bad_rows == "skip", reading.column)
    empty = True
    for each in _local(files(path, reading), rows, reading) if path else _hub(text, rows, reading):
        if each and not each.isspace():
            empty = False
            yield each
    rows.tell()
    if empty:
        raise UserError(f"TEXT: {text} holds no text; give a set with text in its column {rows.column!r}")


def _local(listed: list[Path], rows: text_files.Rows, reading: Reading) -> Iterator[str | None]:
    """The texts of files, read by pyarrow or line by line: `datasets` would take names for patterns."""
    for file in listed:
        rows.last = ""
        try:
            yield from text_files.read(file, rows, reading.plain_text)
        except PipelineError:
            raise
        except Exception as exc:  # whatever a library makes of a file from outside
            raise text_files.unreadable(file, exc, rows.last) from exc


def _hub(text: str, rows: text_files.Rows, reading: Reading) -> Iterator[str | None]:
    """The texts of a split of a data set on the Hub."""
    hugging_face.reach("TEXT", text, "datasets")
    import datasets

    datasets.disable_progress_bars()
    split = reading.split or _SPLIT
    try:
        found = datasets.load_dataset(text, reading.config, split=split, streaming=True)
        if rows.column in (found.column_names or []):
            found = found.select_columns([rows.column])
        for number, row in enumerate(found, 1):
            yield rows.text(row, f"row {number} of {text}")
    except PipelineError:
        raise
    except Exception as exc:
        if (silence := hugging_face.silence(exc)) is None and _is_choice(exc):
            reason = printable(str(exc).partition("Example of usage")[0])[:400]
            raise UserError(f"TEXT: {text}: {reason}; choose with TEXT_CONFIG and TEXT_SPLIT") from exc
        raise (silence or text_files.unreadable(text, exc)) from exc


def _is_choice(exc: Exception) -> bool:
    """Whether `datasets` says that a data set has several configurations, or not the one or the split."""
    said = ("Config name is missing", "BuilderConfig", "Bad split", "Unknown split")
    return isinstance(exc, ValueError) and any(each in str(exc) for each in said)
