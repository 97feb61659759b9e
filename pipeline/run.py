"""Run the plan: make what is missing in the store, in order."""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Generator, Iterator
from contextlib import closing, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.config import Config
from pipeline.engine.engines import Engine, InProcess
from pipeline.engine.kept import Kept, all_answered
from pipeline.engine.made import Planned, Tables
from pipeline.engine.processes import Processes
from pipeline.engine.stage import Inputs, Runs
from pipeline.errors import UserError
from pipeline.output import tell
from pipeline.plan import packages, plan
from pipeline.progress import progress
from pipeline.tables import VERSION, empty, query
from pipeline.tables.rows import Rows
from pipeline.tables.store import Store


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


def run(config: Config, engine: Engine | None = None, *, until: str | None = None) -> Tables:
    """Make every table of the plan that is not in the store; `until` names the last one to make.

    Returns the plan's own tables. One summary line per stage goes to stderr. Raises PipelineError; whatever
    was whole stays whole.
    """
    tables = _planned(config, until)
    for each in tables.missing():  # mistakes are told before the site, the model or the disk is touched
        each.stage.ready(each.stage.handed(config))
    fetching = [each.stage for each in tables.planned.values() if each.stage.fetch]
    for stage in fetching:
        if stage.fetch:
            stage.fetch.get(stage.handed(config))
    if fetching:
        tables = _planned(config, until)
    for fault in tables.set_damaged_aside():
        tell(f"WARNING: {fault}")
    missing = tables.missing()
    tables.made = bool(missing)
    if missing:
        tables.store.prepare()
    kept = Kept(config, tables.store)
    for each in missing:
        make(each, tables, kept, engine or InProcess())
    for table in tables:
        for warning in tables.facts(table)["warnings"]:
            tell(f"WARNING: {warning}")
    return tables


def _planned(config: Config, until: str | None) -> Tables:
    planned = plan(config)
    names = list(planned)
    wanted = names[: names.index(until) + 1] if until else names
    return Tables(store_of(config), {name: planned[name] for name in wanted})


def make(planned: Planned, tables: Tables, kept: Kept, engine: Engine) -> None:
    """Make one table, store it with its manifest, and say so in a line."""
    stage, config = planned.stage, kept.config
    start = time.monotonic()
    inputs, settings = tables.inputs(stage), stage.handed(config)
    files = {table: inputs.file(table) for table in stage.reads}
    data: pa.Table | Iterator[pa.Table]
    if stage.sql:
        values = config.values(stage.settings)
        if refusal := query.check(stage.sql, files, values):
            raise UserError(refusal)
        data = query.stream(stage.sql, files, values)
    else:
        data = _rows(planned, inputs, kept, engine)
    facts = {
        "table": stage.table,
        "key": planned.key,
        "version": VERSION,
        "made_of": planned.made_of,
        "created": datetime.now(UTC).isoformat(),
        "seconds": time.monotonic() - start,
        "config": dataclasses.asdict(config),
        "unfinished": any(tables.unfinished(table) for table in stage.reads),
        "warnings": [],
        "packages": packages(stage),
        "python": platform.python_version(),
    }

    def written(file: Path) -> dict[str, Any]:
        """The facts, with what the rows themselves tell."""
        if stage.sql:
            return facts
        made = Rows(file, stage.table)
        failed = bool(stage.keep and stage.keep.paid and not all_answered(made["status"]))
        told = dict(warnings=stage.warn(made, inputs, settings), unfinished=facts["unfinished"] or failed)
        return facts | told

    with closing(data) if isinstance(data, Generator) else nullcontext():
        tables.store.write(stage.table, planned.key, data, written)
    seconds = time.monotonic() - start
    source = f"from {tables.n_rows(stage.reads[0]):,} {stage.reads[0]}" if stage.reads else ""
    if stage.sql:
        note = query.note(stage.sql, {**files, stage.table: tables.file(stage.table)})
    else:
        note = stage.note(Rows(tables.file(stage.table), stage.table), inputs, settings)
    made = f"{stage.number} {stage.table:<18} {tables.n_rows(stage.table):>9,} rows {source:<24}"
    tell(f"{made} {seconds:6.1f} s  {note}".rstrip())


def _rows(planned: Planned, inputs: Inputs, kept: Kept, engine: Engine) -> pa.Table | Iterator[pa.Table]:
    """The rows of a table that is made in Python: whole where there is but one shard, else in parts."""
    stage, settings = planned.stage, planned.stage.handed(kept.config)
    if stage.worker is None:
        return empty(stage.table)
    if stage.keep:
        return kept.rows(planned, inputs, engine)
    make, shards = partial(stage.worker, inputs, settings), stage.shards(inputs, settings)
    if not stage.is_cut:
        [whole] = engine.map(make, shards)
        return whole
    if isinstance(stage.shards, Runs):
        total = len(inputs.rows(stage.shards.table))
        shards = progress(shards, stage.table, unit="row", total=total)
    if stage.spread and isinstance(engine, InProcess):
        engine = Processes()
    return engine.map(make, shards)
