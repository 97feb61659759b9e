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
from pipeline.engine.made import Made, Tables
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
        for table in tables:
            files = shards(tables, table, new / table)
            facts = [each.facts(table) for each in tables.holders(table)]
            of_each = ("key", "made_of", "packages", "python")
            made[table] = dict(rows=tables.n_rows(table), files=files)
            made[table] |= dict(parts=[{name: each[name] for name in of_each} for each in facts])
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
    decides = [_deciding(part) for part in tables.parts]
    return f"v{VERSION}-{fingerprint.of_value(decides[0] if len(decides) == 1 else decides)[:8]}"


def _deciding(part: Made) -> dict[str, str]:
    """What decides the rows of each table of one layer."""
    decides: dict[str, str] = {}
    for table in part:
        made_of = part.facts(table)["made_of"]
        if not part.n_rows(table):
            decides[table] = ""
        elif table in database.PAID:
            call = [name for name in TABLES[table].schema.names if name in _CALL]
            decides[table] = fingerprint.of_table(part[table].drop_columns(call))
        else:
            keys = made_of["inputs"].items()
            inputs = {name: decides[name] if key == part.key_of[name] else key for name, key in keys}
            decides[table] = fingerprint.of_value({**made_of, "inputs": inputs})
    return decides


def settings(tables: Tables) -> dict[str, Any]:
    """The settings that decided any row, as the plan has them: a fingerprint in place of a file's path, and
    of several layers a list."""
    decided: dict[str, Any] = {}
    layers = []
    for part in tables.parts:
        for table in part:
            decided |= part.facts(table)["made_of"]["settings"]
        layers.append(decided.get("layer"))
    return dict(sorted((decided | ({"layer": layers} if len(layers) > 1 else {})).items()))


def shards(tables: Tables, table: str, folder: Path, max_bytes: int = _SHARD_BYTES) -> dict[str, str]:
    """Put the Parquet files of a table into `folder`, each whole or in pieces of about `max_bytes`.

    Returns the SHA-256 of each file by name.
    """
    folder.mkdir()
    if len(tables.holders(table)) > 1 and not TABLES[table].of_layers:
        pq.write_table(tables[table], folder / "rows", compression="zstd")
        pieces = _pieces(folder / "rows", max_bytes)
    else:
        pieces = [piece for file in tables.files(table) for piece in _pieces(file, max_bytes)]
    names = [f"train-{i:05}-of-{len(pieces):05}.parquet" for i in range(len(pieces))]
    for name, (source, groups) in zip(names, pieces, strict=True):
        if groups is None:
            shutil.copyfile(source, folder / name)
            continue
        read = pq.ParquetFile(source)
        with pq.ParquetWriter(folder / name, read.schema_arrow, compression="zstd") as writer:
            for group in groups:
                writer.write_table(read.read_row_group(group))
    (folder / "rows").unlink(missing_ok=True)
    return {name: fingerprint.sha256(folder / name) for name in names}


def _pieces(file: Path, max_bytes: int) -> list[tuple[Path, range | None]]:
    """A file, whole (None) or as runs of its row groups."""
    groups = pq.read_metadata(file).num_row_groups
    count = max(1, min(groups, -(-file.stat().st_size // max_bytes)))
    if count == 1:
        return [(file, None)]
    return [(file, range(i * groups // count, (i + 1) * groups // count)) for i in range(count)]


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
