"""Files of texts, read row by row: Parquet, `datasets`' own folders, JSON, CSV, plain text.

A row that holds no text is refused with its file and row, or skipped and counted.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import output
from pipeline.errors import PipelineError, UserError, lacks_memory, short_of_memory
from pipeline.language import packed
from pipeline.printable import line as printable
from pipeline.text_forms import PLAIN, form

_GLANCE = 200  # lines that tell whether a plain text is wrapped
_LONGEST_FIELD = 2**27  # letters of one field of CSV; more are a quote that is not closed
_UNCLOSED = ("unexpected end", "field larger")  # what csv says of one
_DELIMITERS = {".tsv": "\t,;|"}  # those that a file's first row is tried with, by its form
SAVED, SPLITS = (
    "state.json",
    "dataset_dict.json",
)  # what tells a folder of save_to_disk, and one of its splits
_NO_TEXTS = {SAVED, SPLITS, "dataset_info.json", "dataset_infos.json"}  # what `datasets` notes beside them
# the marks that a file may begin with, the longer ones first, as one begins with another
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def visible(folder: Path, forms: tuple[str, ...]) -> list[Path]:
    """The files of a folder in these forms, packed or not, sorted, as readers of Parquet list them.

    Left out is what is hidden (`.`), such as resource forks and checkpoints' copies, folders that begin
    with `_`, such as `__MACOSX`, Parquet that does, and what `datasets` notes of a data set.
    """

    found = (path for path in folder.rglob("*") if form(path) in forms and path.is_file())
    return sorted(path for path in found if not _is_aside(path, folder))


def visible_named(folder: Path, name: str) -> list[Path]:
    """The files of this name in a folder and below it, sorted, likewise."""
    return sorted(path for path in folder.rglob(name) if not _is_aside(path.parent / "a", folder))


def _is_aside(path: Path, folder: Path) -> bool:
    *folders, name = path.relative_to(folder).parts
    begin = (".", "_") if form(path) == ".parquet" else "."
    aside = any(part.startswith((".", "_")) for part in folders) or name.startswith(begin)
    return aside or name in _NO_TEXTS


@dataclass
class Rows:
    """The texts of rows, from `column`; what holds none is refused, or with `skip` counted in `skipped`."""

    name: str
    skip: bool = False
    column: str = "text"
    skipped: int = 0
    first: str = ""
    last: str = ""

    def text(self, row: Any, where: str) -> str | None:
        """The text of a row, None where it is empty or skipped; raises UserError where there is none."""
        self.last = where
        there = row.get(self.column, _NOTHING) if isinstance(row, dict) else _NOTHING
        if isinstance(there, str | None):
            if there is None or there.isascii() or _is_unicode(there):
                return there
            self.without(where, "a text with half a character (a lone surrogate, or no UTF-8)")
            return None
        kind = "" if there is _NOTHING else f" (it holds {type(there).__name__})"
        has = ", ".join(map(str, row))[:200] if isinstance(row, dict) else "no columns"
        self.without(where, f"no column {self.column!r} of strings{kind}; it has {has}")
        return None

    def without(self, where: str, has: str) -> None:
        """Count a row that holds no text, or raise UserError."""
        reason = printable(f"{where} has {has}")
        if not self.skip:
            raise UserError(
                f"TEXT: {reason}; mend it, name the column of the texts with TEXT_COLUMN, or leave such "
                "rows out with BAD_ROWS=skip"
            )
        self.skipped += 1
        self.first = self.first or reason

    def tell(self) -> None:
        """Say on stderr how many rows were skipped, if any."""
        if self.skipped:
            output.tell(f"TEXT: {self.skipped:,} rows of {self.name} skipped, the first: {self.first}")


_NOTHING = object()  # where there is no such column


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read(file: Path, rows: Rows, plain_text: str) -> Iterator[str | None]:
    """The texts of a file in its form, or of a folder of `save_to_disk`; raises whatever a library makes of
    a damaged one."""
    if file.is_dir():
        return saved(file, rows)
    if form(file) == PLAIN:
        return plain(file, plain_text, rows)
    readers = {".parquet": parquet, ".json": as_json, ".csv": table, ".tsv": table}
    return readers.get(form(file), json_lines)(file, rows)


def parquet(file: Path, rows: Rows) -> Iterator[str | None]:
    """The texts of a file of Parquet."""
    shard = pq.ParquetFile(file)
    columns = [rows.column] if rows.column in shard.schema_arrow.names else None
    return _batches(shard.iter_batches(batch_size=1024, columns=columns), rows, file)


def saved(folder: Path, rows: Rows) -> Iterator[str | None]:
    """The texts of a folder that `datasets` has written with `save_to_disk`, in its order."""
    return _batches(_saved(folder), rows, folder)


def saved_files(folder: Path) -> list[Path]:
    """The files of Arrow of such a folder in the order of its rows; raises PipelineError where it is
    damaged."""
    try:
        noted = json.loads((folder / SAVED).read_text(encoding="utf-8"))
        files = [folder / each["filename"] for each in noted["_data_files"]]
        if noted.get("_indices_data_files"):
            raise ValueError("an old version of datasets has saved it with indices; load and save it anew")
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise unreadable(folder, exc) from exc
    if lacking := [file.name for file in files if not file.is_file()]:
        raise unreadable(folder, FileNotFoundError(f"it lacks {lacking[0]}"))
    return files


def _saved(folder: Path) -> Iterator[pa.RecordBatch]:
    for file in saved_files(folder):
        with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as batches:
            yield from batches


def _batches(batches: Iterable[pa.RecordBatch], rows: Rows, file: Path) -> Iterator[str | None]:
    number = 0
    for batch in batches:
        known = rows.column in batch.schema.names
        for row in (batch.select([rows.column]) if known else batch).to_pylist():
            number += 1
            yield rows.text(row, f"row {number} of {file}")


def as_json(file: Path, rows: Rows) -> Iterator[str | None]:
    """The texts of a file of JSON: an array of objects, which is read as a whole, or an object a line."""
    with _opened(file) as opened:
        begin = next((line for line in map(_bare, opened) if line), "")
    if not begin.startswith("["):
        yield from json_lines(file, rows)
        return
    with _opened(file) as opened:
        entries = json.loads(_bare(opened.read()))
    for number, row in enumerate(entries, 1):
        yield rows.text(row, f"entry {number} of {file}")


def _bare(text: str) -> str:
    return text.strip("\ufeff \t\r\n")


def json_lines(file: Path, rows: Rows) -> Iterator[str | None]:
    """The texts of a file with a JSON object in each line."""
    with _opened(file) as lines:
        for number, given in enumerate(lines, 1):
            line = _bare(given)
            if not line:
                continue
            where = f"line {number} of {file}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as exc:
                rows.without(where, f"no JSON ({exc})")
            else:
                yield rows.text(row, where)


def table(file: Path, rows: Rows) -> Iterator[str | None]:
    """The texts of a file of values with delimiters (CSV), its columns named in its first row.

    The delimiter is the one with which that row names the column. Raises ValueError for a column that is
    there twice, csv.Error for a quote that is not closed.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    with _opened(file, newline="") as lines:
        reader = csv.reader(lines, delimiter=_delimiter(file, rows.column), strict=True)
        header = next(reader, [])
        if header.count(rows.column) > 1:
            raise ValueError(f"its first row names the column {rows.column!r} more than once")
        while True:
            where = f"line {reader.line_num + 1} of {file}"
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as exc:
                if any(said in str(exc) for said in _UNCLOSED):
                    raise csv.Error(f"{where} opens a quote that is not closed") from exc
                rows.without(where, f"quotes that are none of CSV ({exc})")
                continue
            if len(fields) == len(header):
                yield rows.text(dict(zip(header, fields, strict=True)), where)
            elif fields:
                rows.without(where, f"{len(fields)} fields, and the first row {len(header)}")


def _delimiter(file: Path, column: str) -> str:
    tried = _DELIMITERS.get(form(file), ",;\t|")
    for each in tried:
        with _opened(file, newline="") as lines:
            if column in next(csv.reader(lines, delimiter=each), []):
                return each
    return tried[0]


def plain(file: Path, what: str, rows: Rows) -> Iterator[str | None]:
    """The texts of a file of plain text: its `lines` or `paragraphs`, or by `auto` what it looks like.

    Paragraphs are separated by blank lines and keep their own line ends.
    """
    with _opened(file) as opened:
        lines = (line.removeprefix("\ufeff").rstrip("\n") for line in opened)
        if what == "auto":
            begin = list(islice(lines, _GLANCE))
            what = "paragraphs" if _is_wrapped(begin) else "lines"
            found: Iterable[str] = chain(begin, lines)
        else:
            found = lines
        if what == "paragraphs":
            found = _paragraphs(found)
        for number, text in enumerate(found, 1):
            yield rows.text({rows.column: text}, f"{what.removesuffix('s')} {number} of {file}")


def _paragraphs(lines: Iterable[str]) -> Iterator[str]:
    paragraph: list[str] = []
    for line in chain(lines, [""]):
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield "\n".join(paragraph)
            paragraph = []


def _is_wrapped(lines: list[str]) -> bool:
    """Whether blank lines separate blocks of lines, of which most lines are in a block with others."""
    blocks = [block.count("\n") + 1 for block in _paragraphs(lines)]
    several = sum(size for size in blocks if size > 1)
    return len(blocks) > 1 and 2 * several > sum(blocks)


def _opened(file: Path, newline: str | None = None) -> TextIO:
    """A text file, unpacked, read as the mark at its beginning says, else as UTF-8; other bytes become
    surrogates."""
    with packed.opened(file) as raw:
        begin = raw.read(4)
    encoding = next((name for mark, name in _MARKS.items() if begin.startswith(mark)), "utf-8")
    return io.TextIOWrapper(packed.opened(file), encoding, "surrogateescape", newline)


def unreadable(what: object, exc: Exception, after: str = "") -> PipelineError:
    """The error for a file or a data set that cannot be read, or not beyond some row."""
    if lacks_memory(exc):
        return short_of_memory(f"to read TEXT {what}", exc)
    return PipelineError(
        printable(f"TEXT: cannot read {what}{f', after {after}' if after else ''}: {exc}")[:400]
        + "; fetch it again, or give another TEXT (a file "
        "or folder that is there, or a data set of the Hub)"
    )
