"""The tables of a run as a data set: a folder that `load_dataset`, DuckDB and the Hub read as it is.

It holds `<table>/train-00000-of-00001.parquet`, the card `README.md`, `neurons.sql` with views and macros,
and `feature-neurons.json`, which says what every table was made from. Equal results give equal bytes.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline import __version__
from pipeline.config import EMBEDDED, KINDS, THRESHOLDS, Config
from pipeline.engine.made import Tables
from pipeline.resources import resource
from pipeline.results import database, folders
from pipeline.results.publish import card
from pipeline.tables import TABLES, VERSION, VIEWS, fingerprint
from pipeline.tables.columns import CALL

_FILES = re.compile(r"[a-z_]+/train-\d{5}-of-\d{5}\.parquet|README\.md|neurons\.sql|LICENSE-WordNet\.txt")
_SHARD_BYTES = 512 * 2**20
_WORDNET = "LICENSE-WordNet.txt"
_CALL = {column.name for column in CALL}  # when it was asked, and at what price
# settings that views read
_ASKED = ("fdr", "coverage", "kinds", "similarity", "activation", "selectivity", "windows_per_call")


@dataclass(frozen=True)
class Dataset:
    """A data set on disk: its folder, the tag of its rows, and the size in bytes of each file by name."""

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
            files = shards(tables.file(table), new / table)
            manifest = tables.facts(table)
            made[table] = dict(key=planned.key, rows=manifest["rows"], files=files)
            made[table] |= {name: manifest[name] for name in ("made_of", "packages", "python")}
        tag = tag_of(tables)
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
    sizes = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    return Dataset(folder, tag, dict(sorted(sizes.items())))


def tag_of(tables: Tables) -> str:
    """The version of the tables and a fingerprint of what decides their rows: equal rows have equal ones.

    Bytes do not decide: an activation differs in its seventh digit with the batches, the machine and the
    packages that it was measured with. Of what a language model answered, the answers decide; nothing
    decides of a table without rows.
    """
    decides: dict[str, str] = {}
    for table, planned in tables.planned.items():
        if not tables.n_rows(table):
            decides[table] = ""
        elif planned.stage.keep and planned.stage.keep.paid:
            call = [name for name in TABLES[table].schema.names if name in _CALL]
            decides[table] = fingerprint.of_table(tables[table].drop_columns(call))
        else:
            keys = planned.made_of["inputs"].items()
            inputs = {name: decides[name] if key == tables.planned[name].key else key for name, key in keys}
            decides[table] = fingerprint.of_value({**planned.made_of, "inputs": inputs})
    return f"v{VERSION}-{fingerprint.of_value(decides)[:8]}"


def settings(tables: Tables) -> dict[str, Any]:
    """The settings that decided any row, as the plan has them: a fingerprint in place of a file's path."""
    decided: dict[str, Any] = {}
    for planned in tables.planned.values():
        decided |= planned.made_of["settings"]
    return dict(sorted(decided.items()))


def shards(part: Path, folder: Path, max_bytes: int = _SHARD_BYTES) -> dict[str, str]:
    """Put a table's Parquet file into `folder`, whole or in pieces of about `max_bytes`.

    Returns the SHA-256 of each file by name.
    """
    folder.mkdir()
    source = pq.ParquetFile(part)
    groups = source.num_row_groups
    count = max(1, min(groups, -(-part.stat().st_size // max_bytes)))
    names = [f"train-{i:05}-of-{count:05}.parquet" for i in range(count)]
    if count == 1:
        shutil.copyfile(part, folder / names[0])
    else:
        for i, name in enumerate(names):
            with pq.ParquetWriter(folder / name, source.schema_arrow, compression="zstd") as writer:
                for group in range(i * groups // count, (i + 1) * groups // count):
                    writer.write_table(source.read_row_group(group))
    return {name: fingerprint.sha256(folder / name) for name in names}


def _views(made: dict[str, Any], tables: Tables) -> str:
    """SQL that makes a view of each table, with comments, the settings, views over them, and the macros."""
    decided = _given(settings(tables))
    values = ",\n".join(
        f"        ({_quoted(name)}, {'null' if decided.get(name) is None else _quoted(str(decided[name]))})"
        for name in _ASKED
    )
    return "\n".join(
        [
            "-- In this folder: duckdb -init neurons.sql",
            *(f"create or replace view {table} as from '{table}/*.parquet';" for table in made),
            "create or replace view settings as",
            f"    from (values\n{values}\n    ) as settings (name, value);",
            *database.views(),
            *database.comments("view", [*(TABLES[table] for table in made), *VIEWS.values()]),
            "",
            database.macros(),
        ]
    )


def _given(decided: dict[str, Any]) -> dict[str, Any]:
    """The settings that somebody gave, as they were given; without those whose value is that of none."""
    given = {name: value for name, value in decided.items() if value != "-inf"}
    if given["by_chance"]:
        given |= dict.fromkeys(THRESHOLDS)
    return given | dict(kinds=None if set(given["kinds"]) == set(KINDS) else ",".join(given["kinds"]))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
