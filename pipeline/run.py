"""Run the plan: make what is missing in the store, in order, then the database of results."""

from __future__ import annotations

import dataclasses
import importlib
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import (
    answers,
    collect,
    database,
    dear,
    language_model,
    model_folder,
    notes,
    pages,
    select,
    texts,
)
from pipeline.config import Config
from pipeline.engine import Engine, InProcess
from pipeline.errors import PipelineError, UserError
from pipeline.plan import PAID, Planned, Stage, plan
from pipeline.printable import plain
from pipeline.store import Store
from pipeline.tables import VERSION, empty

_PACKAGES = ("torch", "transformer-lens", "gensim", "duckdb", "pyarrow", "datasets", "tokenizers")


def store_of(config: Config) -> Store:
    """The store of a run; raises UserError where its folder cannot be one."""
    for folder in (Path(config.data), Path(config.data) / "store"):
        if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
            raise UserError(f"DATA: {folder} is not a folder; give another with DATA (--data)")
    whole = Path(config.data).absolute()  # other libraries take x:y for an address, and ~ for a home
    if "?" in str(whole) or not _is_text(str(whole)):
        raise UserError(f"DATA: {str(whole)!r}: no database can have such a path; give another")
    return Store(whole / "store")


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


class Tables(Mapping[str, pa.Table]):
    """The tables of one plan, read from the store when they are asked for.

    `made` says whether any of them, or the database, had to be made.
    """

    def __init__(self, store: Store, planned: dict[str, Planned]) -> None:
        self.store, self.planned = store, planned
        self.made = False
        self.n_calls, self.spent_usd = 0, 0.0  # of a language model, so far
        self._read: dict[str, pa.Table] = {}
        self._verified: dict[str, Path] = {}

    def missing(self) -> list[Planned]:
        """The tables that the store does not have, in order."""
        return [
            each
            for table, each in self.planned.items()
            if not self.manifest(table) or self.unfinished(table)
        ]

    def manifest(self, table: str) -> dict | None:
        """What the store says of a table; null where it is not made yet."""
        return self.store.manifest(table, self.planned[table].key)

    def unfinished(self, table: str) -> bool:
        """Whether a table has rows that failed, or was made from such, and the next run is to try again."""
        manifest = self.manifest(table)
        return bool(manifest and manifest.get("unfinished"))

    def n_rows(self, table: str) -> int:
        """The number of rows of a table that is made."""
        return self.manifest(table)["rows"]

    def file(self, table: str) -> Path:
        """The Parquet file of a table, whole and unchanged."""
        if table not in self._verified:
            self._verified[table] = self.store.verified(table, self.planned[table].key)
        return self._verified[table]

    def column(self, table: str, name: str) -> pa.ChunkedArray:
        """One column of a table that may be large."""
        return pq.read_table(self.file(table), columns=[name])[name]

    def __getitem__(self, table: str) -> pa.Table:
        if table not in self._read:
            self._read[table] = self.store.read(table, self.planned[table].key)
        return self._read[table]

    def __iter__(self) -> Iterator[str]:
        return iter(self.planned)

    def __len__(self) -> int:
        return len(self.planned)


def run(config: Config, engine: Engine | None = None, *, until: str | None = None) -> Tables:
    """Make every table of the plan that is not in the store, and the database if it is another's.

    `until` names the last table to make; the database is then left as it is. Returns the plan's own
    tables, whatever other runs do to the database meanwhile. One summary line per stage goes to stderr.
    Raises PipelineError; whatever was whole stays whole.
    """
    model_folder.check(config)
    tables = Tables(store_of(config), _planned(config, until))
    if missing := tables.missing():  # mistakes are told before the site, the model or the disk is touched
        _refuse_early(config, {p.stage.table for p in missing})
    if config.source == "neuroscope":
        collect.collect(config)
        tables = Tables(tables.store, _planned(config, until))
    missing = tables.missing()
    tables.made = bool(missing) or not (until or database.is_current(config, tables.planned, tables.store))
    if tables.made:
        tables.store.prepare()
    # published vectors come first: a file of another form is refused before the model works
    missing.sort(key=lambda p: p.stage.table != "vocabulary" or config.fasttext == "train")
    for each in missing:
        if each.stage.table == "maps" and config.source == "scan":
            model_folder.check_range(config, None, _n_neurons(tables["samples"]))
        _make(each, config, tables, engine or InProcess())
    for table in tables:
        for warning in tables.manifest(table)["warnings"]:
            _tell(f"WARNING: {warning}")
    if tables.made and not until:
        database.build(config, tables.planned, tables.store)
    return tables


def _planned(config: Config, until: str | None) -> dict[str, Planned]:
    planned = plan(config)
    names = list(planned)
    return {name: planned[name] for name in (names[: names.index(until) + 1] if until else names)}


def _refuse_early(config: Config, missing: set[str]) -> None:
    """Look at what will be needed later, so that what is odd or missing is refused at once."""
    if ("samples" in missing and config.source == "scan") or (
        "vocabulary" in missing and config.fasttext == "train"
    ):
        next(texts.stream(config.text, config.text_path))
    if "encodings" in missing and config.exact_tokens_path:
        texts.Tokenised(config)
    if config.describer == "openai" and not config.dry_run and missing & PAID.keys():
        from pipeline import describer

        describer.key()
    if config.device != "auto" and missing & {"samples", "encodings", "activations"}:
        language_model.device(config.device)


def _make(planned: Planned, config: Config, tables: Tables, engine: Engine) -> None:
    """Make one table, store it with its manifest, and say so in a line."""
    stage = planned.stage
    start = time.monotonic()
    if stage.sql:
        inputs = {table: tables.file(table) for table in stage.reads}
        data = select.stream(select.query(stage.sql), inputs, config.values(stage.settings))
        warnings = []
    else:
        data = _data(planned, config, tables, engine)
        warnings = notes.warnings(stage.table, data, tables, config)
    facts = {
        "table": stage.table,
        "key": planned.key,
        "version": VERSION,
        "made_of": planned.made_of,
        "created": datetime.now(UTC).isoformat(),
        "seconds": time.monotonic() - start,
        "config": dataclasses.asdict(config),
        "unfinished": _unfinished(stage, data, tables),
        "warnings": warnings,
        "packages": {name: version(name) for name in _PACKAGES},
        "python": platform.python_version(),
    }
    tables.store.write(stage.table, planned.key, data, facts)
    seconds = time.monotonic() - start
    source = f"from {tables.n_rows(stage.reads[0]):,} {stage.reads[0]}" if stage.reads else ""
    made = f"{stage.number} {stage.table:<18} {tables.n_rows(stage.table):>9,} rows {source:<24}"
    _tell(f"{made} {seconds:6.1f} s  {notes.note(stage.table, tables)}".rstrip())


def _data(planned: Planned, config: Config, tables: Tables, engine: Engine) -> pa.Table:
    """The rows of a table that is made in Python."""
    table = planned.stage.table
    if table == "pages":
        return _pages(config)
    if table == "samples":
        return _scan(config) if config.source == "scan" else pages.samples(config, tables["pages"])
    if table == "vocabulary":
        return _vocabulary(config)
    return _mapped(planned, config, tables, engine)


def _pages(config: Config) -> pa.Table:
    """The pages asked for; raises PipelineError where none of them can be read."""
    if config.source == "scan":
        return empty("pages")
    found = pages.table(config)
    bad = found.filter(pc.field("status") != "ok")
    if len(found) == len(bad):
        raise PipelineError(
            f"SITE: none of the {len(found)} pages asked for can be read; the first: {bad['reason'][0]}; "
            "the same command tries what failed again, REFRESH=1 (--refresh) also what is missing"
        )
    return found


def _scan(config: Config) -> pa.Table:
    from pipeline import scan

    model = language_model.load(config)
    return scan.scan(config, model, texts.stream(config.text, config.text_path))


def _vocabulary(config: Config) -> pa.Table:
    from pipeline import vocabulary

    return vocabulary.vocabulary(config, texts.stream(config.text, config.text_path))


def _mapped(planned: Planned, config: Config, tables: Tables, engine: Engine) -> pa.Table:
    """Map a stage's function over its shards."""
    table = planned.stage.table
    module = importlib.import_module(f"pipeline.{table}")
    if planned.stage.dear:
        left = _left(config, tables) if planned.stage.paid else config
        data, made = dear.rows(planned, module, left, tables, engine)
        if planned.stage.paid:
            tables.n_calls += pc.sum(made["tries"]).as_py() or 0
            tables.spent_usd += pc.sum(made["most_usd"]).as_py() or 0.0
        return data
    return _joined(table, engine.map(partial(module.worker, config, tables), module.shards(tables)))


def _left(config: Config, tables: Tables) -> Config:
    """The config with the limits that are left of the run's."""
    calls, cost = config.max_calls, config.max_cost
    return dataclasses.replace(
        config,
        max_calls=None if calls is None else max(0, calls - tables.n_calls),
        max_cost=None if cost is None else max(0.0, cost - tables.spent_usd),
    )


def _unfinished(stage: Stage, data: pa.Table, tables: Tables) -> bool:
    """Whether a table has rows that failed, or was made from such a one."""
    if stage.paid and len(answers.known(data)) < len(data):
        return True
    return any(tables.unfinished(table) for table in stage.reads)


def _joined(table: str, parts: Iterable[pa.Table]) -> pa.Table:
    return pa.concat_tables([empty(table), *parts]).combine_chunks()


def _n_neurons(samples: pa.Table) -> int:
    return (pc.max(samples["neuron"]).as_py() or 0) + 1


def _tell(line: str) -> None:
    print(plain(line), file=sys.stderr, flush=True)
