"""The tables of one plan: planned, in the store or not, and read from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.engine.stage import Inputs, Stage
from pipeline.errors import DamagedError
from pipeline.tables import fingerprint
from pipeline.tables.store import Store


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


class Tables(Mapping[str, pa.Table]):
    """The tables of one plan, read from the store when they are asked for.

    `made` says whether any of them, or the database, had to be made.
    """

    def __init__(self, store: Store, planned: dict[str, Planned]) -> None:
        self.store, self.planned = store, planned
        self.made = False
        self._read: dict[str, pa.Table] = {}
        self._verified: dict[str, Path] = {}

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
        for table, each in self.planned.items():
            try:
                if self.manifest(table):
                    self.file(table)
            except DamagedError:
                faults.append(self.store.set_aside(table, each.key))
        return [fault for fault in faults if fault]  # another run may have set it aside

    def manifest(self, table: str) -> dict[str, Any] | None:
        """What the store says of a table; None where it is not made yet."""
        return self.store.manifest(table, self.planned[table].key)

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
            self._verified[table] = self.store.verified(table, self.planned[table].key)
        return self._verified[table]

    def inputs(self, stage: Stage) -> Inputs:
        """The tables that a stage declares, and where it may save itself."""
        unfinished = self.store.unfinished(stage.table, self.planned[stage.table].key)
        return Inputs({table: self.file(table) for table in stage.reads}, stage.table, unfinished)

    def __getitem__(self, table: str) -> pa.Table:
        if table not in self._read:
            self._read[table] = self.store.read(table, self.planned[table].key)
        return self._read[table]

    def __iter__(self) -> Iterator[str]:
        return iter(self.planned)

    def __len__(self) -> int:
        return len(self.planned)
