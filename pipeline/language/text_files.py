"""Files of texts, read row by row: Parquet, JSON lines, plain text.

A row that holds no text is refused with its file and line, or skipped and counted.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import pyarrow.parquet as pq

from pipeline import output
from pipeline.errors import PipelineError, UserError, lacks_memory, short_of_memory
from pipeline.printable import line as printable

_GLANCE = 200  # lines that tell whether a plain text is wrapped
# the marks that a file may begin with, the longer ones first, as one begins with another
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def visible(folder: Path, forms: tuple[str, ...]) -> list[Path]:
    """The files of a folder with these suffixes, sorted, as readers of Parquet list them.

    Left out is what is hidden (`.`), such as resource forks and checkpoints' copies, folders that begin
    with `_`, such as `__MACOSX`, and Parquet that does.
    """

    def hidden(path: Path) -> bool:
        *folders, name = path.relative_to(folder).parts
        aside = any(part.startswith((".", "_")) for part in folders) or name.startswith(".")
        return aside or (path.suffix == ".parquet" and name.startswith("_"))

    found = (path for path in folder.rglob("*") if path.suffix in forms and path.is_file())
    return sorted(path for path in found if not hidden(path))


@dataclass
class Rows:
    """The texts of rows; what holds none is refused, or with `skip` counted in `skipped`."""

    name: str
    skip: bool = False
    skipped: int = 0
    first: str = ""

    def text(self, row: Any, where: str) -> str | None:
        """The text of a row, None where it is empty or skipped; raises UserError where there is none."""
        if isinstance(row, dict) and isinstance(text := row.get("text", 0), str | None):
            if text is None or text.isascii() or _is_unicode(text):
                return text
            self.without(where, "a text with half a character (a lone surrogate, or no UTF-8)")
            return None
        has = ", ".join(map(str, row))[:200] if isinstance(row, dict) else "no columns"
        self.without(where, f"no column 'text' of strings; it has {has}")
        return None

    def without(self, where: str, has: str) -> None:
        """Count a row that holds no text, or raise UserError."""
        reason = printable(f"{where} has {has}")
        if not self.skip:
            raise UserError(
                f"TEXT: {reason}; mend it, give a set with text in its column 'text', or leave such rows "
                "out with BAD_ROWS=skip"
            )
        self.skipped += 1
        self.first = self.first or reason

    def tell(self) -> None:
        """Say on stderr how many rows were skipped, if any."""
        if self.skipped:
            output.tell(f"TEXT: {self.skipped:,} rows of {self.name} skipped, the first: {self.first}")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parquet(file: Path, rows: Rows) -> Iterator[str | None]:
    """The texts of a file of Parquet."""
    shard = pq.ParquetFile(file)
    columns = ["text"] if "text" in shard.schema_arrow.names else None
    number = 0
    for batch in shard.iter_batches(batch_size=1024, columns=columns):
        for row in batch.to_pylist():
            number += 1
            yield rows.text(row, f"row {number} of {file}")


def json_lines(file: Path, rows: Rows) -> Iterator[str | None]:
    """The texts of a file with a JSON object in each line."""
    with _opened(file) as lines:
        for number, given in enumerate(lines, 1):
            line = given.strip("\ufeff \t\r\n")
            if not line:
                continue
            where = f"line {number} of {file}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as exc:
                rows.without(where, f"no JSON ({exc})")
            else:
                yield rows.text(row, where)


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
            yield rows.text({"text": text}, f"{what.removesuffix('s')} {number} of {file}")


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


def _opened(file: Path) -> TextIO:
    """A text file, read as the mark at its beginning says, else as UTF-8; other bytes become surrogates."""
    with file.open("rb") as raw:
        begin = raw.read(4)
    form = next((form for mark, form in _MARKS.items() if begin.startswith(mark)), "utf-8")
    return file.open(encoding=form, errors="surrogateescape")


def unreadable(what: object, exc: Exception) -> PipelineError:
    """The error for a file or a data set that cannot be read."""
    if lacks_memory(exc):
        return short_of_memory(f"to read TEXT {what}", exc)
    return PipelineError(
        printable(f"TEXT: cannot read {what}: {exc}")[:400]
        + "; fetch it again, or give another TEXT (a file "
        "or folder that is there, or a data set of the Hub)"
    )
