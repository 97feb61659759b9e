"""Text data sets, one text at a time; the only module that imports `datasets`.

A file or a folder of Parquet, JSON lines or plain text, or a data set on the Hub, streamed: memory
does not grow with the text. Each row has a column `text`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as parquet
import pyarrow.parquet as pq

from pipeline.config import TEXT_FORMS, Config
from pipeline.errors import PipelineError, UserError


def files(path: Path) -> list[Path]:
    """The text files of a folder (or the file itself), sorted; at least one, of one form.

    Raises UserError where there is none.
    """
    if not path.exists():
        raise UserError(f"TEXT: no such file or folder: {path}")
    found = [path] if path.is_file() else sorted(path.rglob("*"))
    found = [f for f in found if f.suffix in TEXT_FORMS and f.is_file()]
    forms = {f.suffix for f in found}
    if len(forms) != 1:
        what = f"files of {len(forms)} forms" if forms else "no text files"
        raise UserError(f"TEXT: {what} in {path}; give one of {', '.join(TEXT_FORMS)}")
    return found


def stream(text: str, path: Path | None) -> Iterator[str]:
    """Yield the texts of a data set in its own order, empty ones left out.

    `path` is the file or folder, or null where `text` names a data set on the Hub.
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
    """The rows of files, by pyarrow and line by line: `datasets` takes names for patterns."""
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
        except (pa.ArrowException, OSError, ValueError) as exc:
            raise _unreadable(file, exc) from exc


def _hub(text: str) -> Iterator[Any]:
    """The rows of a data set's split `train` on the Hub."""
    import datasets

    datasets.disable_progress_bars()
    try:
        yield from datasets.load_dataset(text, split="train", streaming=True)
    except Exception as exc:
        raise _unreadable(text, exc) from exc


def tokenised_files(folder: Path) -> list[Path]:
    """The files of a folder of tokenised texts, in the order their rows are counted; hidden ones apart.

    Raises UserError where there is none.
    """
    found = [path for path in sorted(folder.rglob("*.parquet")) if not path.name.startswith((".", "_"))]
    if not found:
        raise UserError(f"EXACT_TOKENS: no Parquet in {folder}; give a folder of it with a column tokens")
    return found


def _is_ids(kind: pa.DataType | None) -> bool:
    """Whether a column holds lists of whole numbers."""
    is_list = isinstance(kind, pa.ListType | pa.LargeListType | pa.FixedSizeListType)
    return is_list and pa.types.is_integer(kind.value_type)


class Tokenised:
    """Texts as ids, by their number: a column `tokens` of a folder of Parquet or a data set on the Hub."""

    def __init__(self, config: Config) -> None:
        path = config.exact_tokens_path
        self.name = str(path) if path else " and ".join(config.exact_tokens_names)
        try:
            if path:
                found = tokenised_files(path)
                self.sets: list[Any] = [parquet.dataset(found, format="parquet")]
            else:
                import datasets

                datasets.disable_progress_bars()
                names = config.exact_tokens_names
                self.sets = [datasets.load_dataset(name, split="train") for name in names]
            self.sizes = [each.count_rows() if path else len(each) for each in self.sets]
            schemas = [each.schema if path else each.features.arrow_schema for each in self.sets]
        except UserError:
            raise
        except Exception as exc:
            raise self._unreadable(exc) from exc
        for schema in schemas:
            kind = schema.field("tokens").type if "tokens" in schema.names else None
            if not _is_ids(kind):
                columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
                raise UserError(
                    f"EXACT_TOKENS: {self.name} has no column 'tokens' of lists of ids; it has {columns}"
                )

    def rows(self, numbers: Sequence[int | None]) -> dict[int, list[int]]:
        """The ids of each number that there is; a set goes on where the one before it ends."""
        wanted = np.unique([number for number in numbers if number is not None and number >= 0]).astype(int)
        found: dict[int, list[int]] = {}
        start = 0
        for each, size in zip(self.sets, self.sizes, strict=True):
            own = wanted[(wanted >= start) & (wanted < start + size)]
            if len(own):
                found |= zip(own.tolist(), self._taken(each, own - start), strict=True)
            start += size
        return found

    def _taken(self, each: Any, places: np.ndarray) -> list[list[int]]:
        try:
            if isinstance(each, parquet.Dataset):
                rows = each.take(pa.array(places), columns=["tokens"])["tokens"].to_pylist()
            else:
                rows = each.select(places)["tokens"][:]
            return [[int(i) for i in row] if row and None not in row else [] for row in rows]
        except Exception as exc:
            raise self._unreadable(exc) from exc

    def _unreadable(self, exc: Exception) -> PipelineError:
        reason = " ".join(str(exc).split())[:200]
        return PipelineError(
            f"EXACT_TOKENS: cannot read {self.name}: {reason}; check the name and the connection, give a "
            "folder of Parquet with a column tokens, or leave it out"
        )


def _unreadable(what: object, exc: Exception) -> PipelineError:
    reason = " ".join(str(exc).split())[:200]
    return PipelineError(
        f"TEXT: cannot read {what}: {reason}; fetch it again, or give another TEXT (a file or folder that "
        "is there, or a data set of the Hub)"
    )
