"""The tables of a run as a data set: a folder that `load_dataset`, DuckDB and the Hub read as it is.

`<table>/train-00000-of-00001.parquet`, the card `README.md`, `neurons.sql` with views and macros, and
`feature-neurons.json`, which says what every table was made from. Equal results give equal bytes.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline import __version__, card, database, fingerprint, folders
from pipeline.config import EMBEDDED, Config
from pipeline.resources import resource
from pipeline.run import Tables
from pipeline.tables import VERSION

_FILES = re.compile(r"[a-z_]+/train-\d{5}-of-\d{5}\.parquet|README\.md|neurons\.sql|LICENSE-WordNet\.txt")
_SHARD_BYTES = 512 * 2**20
_WORDNET = "LICENSE-WordNet.txt"


@dataclass(frozen=True)
class Dataset:
    """A data set on disk: its folder, the tag of what it holds, and its files by name with their bytes."""

    folder: Path
    tag: str
    files: dict[str, int]


def is_ours(folder: Path) -> bool:
    """Whether a folder is a data set that was written here, with nothing else in it."""
    return folders.is_a("dataset")(folder) and all(
        _FILES.fullmatch(path.relative_to(folder).as_posix()) or path.name == folders.MARK
        for path in folder.rglob("*")
        if not path.is_dir()
    )


def write(config: Config, tables: Tables, folder: Path, repo: str) -> Dataset:
    """Write the tables of a finished run into `folder`, in place of an earlier data set there.

    Raises UserError where the folder holds something else, StoreError where the disk refuses.
    """
    made = {}
    with folders.replaced(folder, is_ours) as new:
        for table, planned in tables.planned.items():
            files = _shards(tables.file(table), new / table)
            manifest = tables.manifest(table)
            made[table] = dict(key=planned.key, rows=manifest["rows"], files=files)
            made[table] |= {name: manifest[name] for name in ("made_of", "packages", "python")}
        tag = f"v{VERSION}-{fingerprint.of_value([made[table]['files'] for table in made])[:8]}"
        (new / "neurons.sql").write_text(_views(made, tables), encoding="utf-8")
        if EMBEDDED in (config.model, config.text):
            shutil.copyfile(resource("data/demo") / _WORDNET, new / _WORDNET)
        text = card.text(config, tables, repo, tag)
        (new / "README.md").write_text(text, encoding="utf-8", newline="\n")
        folders.mark(
            new,
            "dataset",
            feature_neurons=__version__,
            tables_version=VERSION,
            tag=tag,
            settings=settings(tables),
            tables=made,
        )
    found = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    return Dataset(folder, tag, dict(sorted(found.items())))


def settings(tables: Tables) -> dict[str, Any]:
    """The settings that decided any row, as the plan knows them: files by their fingerprint, no path."""
    found: dict[str, Any] = {}
    for planned in tables.planned.values():
        found |= planned.made_of["settings"]
    return dict(sorted(found.items()))


def _shards(part: Path, folder: Path, most: int = _SHARD_BYTES) -> dict[str, str]:
    """Put a table's Parquet file into `folder`, whole or in pieces of about `most` bytes; the SHA-256 of
    each."""
    folder.mkdir()
    source = pq.ParquetFile(part)
    groups = source.num_row_groups
    count = max(1, min(groups, -(-part.stat().st_size // most)))
    names = [f"train-{i:05}-of-{count:05}.parquet" for i in range(count)]
    if count == 1:
        shutil.copyfile(part, folder / names[0])
    else:
        for i, name in enumerate(names):
            with pq.ParquetWriter(folder / name, source.schema_arrow, compression="zstd") as writer:
                for group in range(i * groups // count, (i + 1) * groups // count):
                    writer.write_table(source.read_row_group(group))
    return {name: _sha256(folder / name) for name in names}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _views(made: dict[str, Any], tables: Tables) -> str:
    """SQL that makes a view of each table, with comments, the settings that macros need, and the macros."""
    views = [f"create or replace view {table} as from '{table}/*.parquet';" for table in made]
    similarity = settings(tables)["similarity"]
    return "\n".join(
        [
            "-- In this folder: duckdb -init neurons.sql",
            *views,
            "create or replace view settings as",
            f"    select 'similarity' as name, '{float(similarity)}' as value;",
            *database.comments("view", list(made)),
            "",
            (resource("sql") / "macros.sql").read_text(encoding="utf-8"),
        ]
    )
