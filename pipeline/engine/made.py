"""The tables of a run: planned, in the store or not, and read from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.config import Config
from pipeline.engine.stage import Inputs, Stage
from pipeline.errors import DamagedError, PipelineError
from pipeline.tables import TABLES, fingerprint
from pipeline.tables.store import Store, load


@dataclass(frozen=True)
class Planned:
    """A stage with the key of its table under one config, and what the key is made of."""

    stage: Stage
    key: str
    made_of: Mapping[str, Any]

    @property
    def kept_as(self) -> str:
        """The name under which expensive rows of the stage are kept: its version of the method, and the
        settings that their own keys do not cover."""
        keep = self.stage.keep
        if keep is None:
            raise ValueError(f"{self.stage.table} keeps no rows")
        if keep.paid:
            return "answers" if keep.version == 1 else f"answers-{keep.version}"
        return fingerprint.of_value({"version": keep.version, "settings": self.made_of["settings"]})


class Made(Mapping[str, pa.Table]):
    """Tables of an end of a layer's neurons in the store, each under its key (`key_of`), read when they are
    asked for."""

    def __init__(self, store: Store, key_of: Mapping[str, str], layer: int, sign: str) -> None:
        self.store, self.key_of, self.layer, self.sign = store, dict(key_of), layer, sign
        self._verified: dict[str, Path] = {}

    @property
    def place(self) -> str:
        """Its layer and, where it is not the positive one, its end, in words."""
        return f"layer {self.layer}" + ("" if self.sign == "positive" else f", {self.sign}")

    def manifest(self, table: str) -> dict[str, Any] | None:
        """What the store says of a table; None where it is not made yet."""
        return self.store.manifest(table, self.key_of[table])

    def facts(self, table: str) -> dict[str, Any]:
        """What the store says of a table that is made."""
        manifest = self.manifest(table)
        if manifest is None:
            raise KeyError(table)
        return manifest

    def unfinished(self, table: str) -> bool:
        """Whether a table has rows that failed, or was made from such, and the next run is to try again."""
        manifest = self.manifest(table)
        return bool(manifest and manifest.get("unfinished"))

    def n_rows(self, table: str) -> int:
        """The number of rows of a table that is made."""
        return self.facts(table)["rows"]

    def file(self, table: str) -> Path:
        """The Parquet file of a table, whole and unchanged."""
        if table not in self._verified:
            self._verified[table] = self.store.verified(table, self.key_of[table])
        return self._verified[table]

    def __getitem__(self, table: str) -> pa.Table:
        return load(self.file(table), table)

    def __iter__(self) -> Iterator[str]:
        return iter(self.key_of)

    def __len__(self) -> int:
        return len(self.key_of)

    __eq__, __hash__ = object.__eq__, object.__hash__  # not by the rows


class Part(Made):
    """The tables of one part of a run: of one layer and end, planned under its settings."""

    def __init__(self, store: Store, planned: Mapping[str, Planned], config: Config) -> None:
        keys = {table: each.key for table, each in planned.items()}
        super().__init__(store, keys, config.one_layer, config.sign)
        self.planned, self.config = dict(planned), config

    def missing(self) -> list[Planned]:
        """The tables that the store does not have whole and finished, in order."""
        return [each for table, each in self.planned.items() if not self._is_whole(table)]

    def _is_whole(self, table: str) -> bool:
        try:
            return bool(self.manifest(table)) and not self.unfinished(table)
        except DamagedError:
            return False

    def set_damaged_aside(self) -> list[str]:
        """Put every damaged table aside, so that all of them are missing; what is wrong with each.

        Compares checksums, so it reads all files.
        """
        faults = []
        for table in self.planned:
            try:
                if self.manifest(table):
                    self.file(table)
            except DamagedError:
                faults.append(self.store.set_aside(table, self.key_of[table]))
        return [fault for fault in faults if fault]  # another run may have set it aside

    def inputs(self, stage: Stage) -> Inputs:
        """The tables that a stage declares, and where it may save itself."""
        unfinished = self.store.unfinished(stage.table, self.key_of[stage.table])
        return Inputs({table: self.file(table) for table in stage.reads}, stage.table, unfinished)


class Tables(Mapping[str, pa.Table]):
    """The tables of a run: those of its parts one after the other, and once what they share.

    `made` says whether any of them, or the database, had to be made; `failed` why there is nothing of some
    parts, by their place.
    """

    def __init__(self, parts: Sequence[Made], failed: Mapping[str, PipelineError] | None = None) -> None:
        self.parts, self.failed, self.made = list(parts), dict(failed or {}), False

    @property
    def store(self) -> Store:
        """Where they lie."""
        return self.parts[0].store

    def holders(self, table: str) -> list[Made]:
        """The parts that have a table of their own, in order; of those that share one the first."""
        found: dict[str, Made] = {}
        for each in self.parts:
            found.setdefault(each.key_of[table], each)
        return list(found.values())

    def files(self, table: str) -> list[Path]:
        """The Parquet files of a table, whole and unchanged."""
        return [each.file(table) for each in self.holders(table)]

    def n_rows(self, table: str) -> int:
        """The number of rows of a table."""
        holders = self.holders(table)
        if len(holders) > 1 and not TABLES[table].of_layers:
            return len(self[table])
        return sum(each.n_rows(table) for each in holders)

    def __getitem__(self, table: str) -> pa.Table:
        parts = [each[table] for each in self.holders(table)]
        if len(parts) == 1 or TABLES[table].of_layers:
            return pa.concat_tables(parts)
        return TABLES[table].once(pa.concat_tables(parts))

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts[0])

    def __len__(self) -> int:
        return len(self.parts[0])
