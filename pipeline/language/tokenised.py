"""Data sets of tokenised texts: row n holds the ids of text number n.

A folder of Parquet, or data sets on the Hub, of which each continues the numbers of the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.config import Config
from pipeline.errors import PipelineError, UserError, lacks_memory, short_of_memory
from pipeline.language import text_files
from pipeline.tables import fingerprint
from pipeline.web import hugging_face


def contents(config: Config) -> dict[str, str]:
    """What EXACT_TOKENS stands for in a key: the data sets by name, or the fingerprint of each file."""
    path = config.exact_tokens_path
    if path is None:
        return {name: "of the Hub" for name in config.exact_tokens_names}
    return {str(f.relative_to(path)): fingerprint.of_file(f) for f in tokenised_files(path)}


def ready(config: Config) -> None:
    """Raise UserError or PipelineError for a folder whose files are not tokenised texts."""
    if config.exact_tokens_path:
        Tokenised(config)


def tokenised_files(folder: Path) -> list[Path]:
    """The files of a folder of tokenised texts, in the order their rows are counted, without hidden ones.

    Raises UserError where there is none.
    """
    files = text_files.visible(folder, (".parquet",))
    if not files:
        raise UserError(f"EXACT_TOKENS: no Parquet in {folder}; give a folder of it with a column tokens")
    return files


def _is_ids(kind: pa.DataType | None) -> bool:
    """Whether a column holds lists of whole numbers."""
    if not isinstance(kind, pa.ListType | pa.LargeListType | pa.FixedSizeListType):
        return False
    return pa.types.is_integer(kind.value_type)


class Tokenised:
    """Texts as ids, by their number: a column `tokens` of a folder of Parquet or a data set on the Hub."""

    def __init__(self, config: Config) -> None:
        path = config.exact_tokens_path
        self.is_folder = path is not None
        self.name = str(path) if path else " and ".join(config.exact_tokens_names)
        try:
            if path:
                files = tokenised_files(path)
                import pyarrow.dataset as parquet  # which imports pandas

                self.sets: list[Any] = [parquet.dataset(files, format="parquet")]
            else:
                for name in config.exact_tokens_names:
                    hugging_face.reach("EXACT_TOKENS", name, "datasets")
                import datasets

                datasets.disable_progress_bars()
                names = config.exact_tokens_names
                self.sets = [datasets.load_dataset(name, split="train") for name in names]
            self.sizes = [each.count_rows() if path else len(each) for each in self.sets]
            schemas = [each.schema if path else each.features.arrow_schema for each in self.sets]
        except PipelineError:
            raise
        except Exception as exc:
            raise (hugging_face.silence(exc) or self._unreadable(exc)) from exc
        for schema in schemas:
            kind = schema.field("tokens").type if "tokens" in schema.names else None
            if not _is_ids(kind):
                columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
                raise UserError(
                    f"EXACT_TOKENS: {self.name} has no column 'tokens' of lists of ids; it has {columns}"
                )

    def rows(self, numbers: Sequence[int | None]) -> dict[int, list[int]]:
        """The ids of the texts with these numbers, by number; numbers that do not exist are left out."""
        wanted = np.unique([number for number in numbers if number is not None and number >= 0]).astype(int)
        ids: dict[int, list[int]] = {}
        start = 0
        for each, size in zip(self.sets, self.sizes, strict=True):
            own = wanted[(wanted >= start) & (wanted < start + size)]
            if len(own):
                ids |= zip(own.tolist(), self._taken(each, own - start), strict=True)
            start += size
        return ids

    def _taken(self, each: Any, places: np.ndarray) -> list[list[int]]:
        try:
            if self.is_folder:
                rows = each.take(pa.array(places), columns=["tokens"])["tokens"].to_pylist()
            else:
                rows = each.select(places)["tokens"][:]
            return [[int(i) for i in row] if row and None not in row else [] for row in rows]
        except Exception as exc:
            raise self._unreadable(exc) from exc

    def _unreadable(self, exc: Exception) -> PipelineError:
        if lacks_memory(exc):
            return short_of_memory(f"to read EXACT_TOKENS {self.name}", exc)
        reason = " ".join(str(exc).split())[:200]
        return PipelineError(
            f"EXACT_TOKENS: cannot read {self.name}: {reason}; check the name and the connection, give a "
            "folder of Parquet with a column tokens, or leave it out"
        )
