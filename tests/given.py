"""Tables by hand as the inputs of a stage: in files, as a run gives them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.engine.stage import Inputs


class Given(Inputs):
    """Inputs whose files are there as long as this is."""

    def __init__(self, tables: Mapping[str, pa.Table]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="given-")
        files = {name: Path(self._folder.name) / f"{name}.parquet" for name in tables}
        for name, file in files.items():
            pq.write_table(tables[name], file, row_group_size=1000)
        super().__init__(files, "given")
