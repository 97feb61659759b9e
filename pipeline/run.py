"""Run the plan of each layer: make what is missing in the store, in order."""

from __future__ import annotations

import dataclasses
import platform
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import parts
from pipeline.config import Config
from pipeline.engine.choice import chosen
from pipeline.engine.engines import Engine, InProcess, shown
from pipeline.engine.kept import Kept, Spent, all_answered
from pipeline.engine.made import Part, Planned, Tables
from pipeline.engine.processes import Processes
from pipeline.engine.stage import Inputs, Runs
from pipeline.errors import DamagedError, NoLayerError, PipelineError, StoreError, UserError
from pipeline.output import tell
from pipeline.plan import packages, plan
from pipeline.tables import TABLES, VERSION, disk, empty, fingerprint, query
from pipeline.tables.rows import Rows
from pipeline.tables.store import Store

_TOGETHER = "made-together"  # the keys of tables that one scan made, while they are written


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
    """Make every table of the run that is not in the store; `until` names the last one to make.

    Returns the run's own tables. One summary line per stage goes to stderr. Where one of several layers
    fails, the others are made all the same, and `failed` says why. Raises PipelineError where none can be
    made, for mistakes in the settings, and where the store fails; whatever was whole stays whole.
    """
    with chosen(config, engine, here=InProcess()) as given:
        return _run(config, given, until)


def _run(config: Config, engine: Engine, until: str | None) -> Tables:
    store = store_of(config)
    planned = [part_of(each, until) for each in parts.of(config)]
    for part in planned:  # mistakes are told before the site, the model or the disk is touched
        for each in part.missing():
            each.stage.ready(each.stage.handed(part.config))
    if any(part.missing() for part in planned if not left_out(part)):
        engine.ready()
    layers = _Layers(config, len(planned))
    if any(each.stage.fetch for each in planned[0].planned.values()):
        planned = [part for part in planned if layers.tried(part, partial(_fetch, part))]
        planned = [part_of(part.config, until) for part in planned]
    for fault in dict.fromkeys(fault for part in planned for fault in part.set_damaged_aside()):
        tell(f"WARNING: {fault}")
    planned = [part for part in planned if not left_out(part)]
    made = any(part.missing() for part in planned)
    with parts.loaded_once([part.config for part in planned]):
        if made:
            store.prepare()
            _make_together(planned, engine)
        spent, whole = Spent(), []
        for part in [part for part in planned if not left_out(part)]:
            layers.head(part)
            if layers.tried(part, partial(_make_missing, part, spent, engine)):
                whole.append(part)
    tables = Tables(whole, layers.failed)
    tables.made = made
    for warning in _warnings(tables):
        tell(f"WARNING: {warning}")
    return tables


class _Layers:
    """The layers of one run while they are made: which failed, and where the screen is."""

    def __init__(self, config: Config, count: int) -> None:
        self.config, self.count, self.left = config, count, count
        self.failed: dict[str, PipelineError] = {}

    def head(self, part: Part) -> None:
        """Say which layer comes next, where there are several and something is left to do."""
        if self.count > 1 and part.missing():
            tell(part.place)

    def tried(self, part: Part, work: Callable[[], None]) -> bool:
        """Whether the work for one layer succeeds. Raises what makes it fail where no other layer is left,
        or where each of them would fail alike."""
        try:
            work()
            return True
        except PipelineError as exc:
            lacking = isinstance(exc, NoLayerError)
            alike = isinstance(exc, UserError | StoreError) and not lacking
            self.left -= 1
            if self.left == 0 or (alike and not isinstance(exc, DamagedError)):
                raise
            if lacking and self.config.layers is None:
                tell(f"WARNING: {part.place} is left out: {exc}")
            else:
                tell(f"{part.place} failed, the others go on: {exc}")
                self.failed[part.place] = exc
            return False


def left_out(part: Part) -> bool:
    """Whether the scan found that the negative ends of a layer are not worth looking at."""
    by_default = part.sign == "negative" and part.config.signs is None
    scanned = [table for table, each in part.planned.items() if each.stage.together]
    return by_default and any(part.manifest(each) and part.n_rows(each) == 0 for each in scanned)


def _fetch(part: Part) -> None:
    for planned in part.planned.values():
        if planned.stage.fetch:
            planned.stage.fetch.get(planned.stage.handed(part.config))


def _make_together(planned: list[Part], engine: Engine) -> None:
    """Make the tables that several parts miss and one stage makes at once."""
    for table in planned[0].planned:
        missing = [part for part in planned if table in {each.stage.table for each in part.missing()}]
        stage = planned[0].planned[table].stage
        if stage.together and missing:
            asked, folder = _begun(table, planned, missing)
            start = time.monotonic()
            made = stage.together([stage.handed(part.config) for part in asked], folder, engine)
            if len(asked) > 1:  # it is needed until the last of them is written
                disk.make(folder)
                (folder / _TOGETHER).write_text("\n".join(part.key_of[table] for part in asked))
            for part, rows in zip(asked, made, strict=True):
                if part in missing:
                    _write(part.planned[table], part, rows, start)
                    note = part.place if len(planned) > 1 else ""
                    _tell(part.planned[table], part, time.monotonic() - start, note)
                start = time.monotonic()
            shutil.rmtree(folder, ignore_errors=True)


def _begun(table: str, planned: list[Part], missing: list[Part]) -> tuple[list[Part], Path]:
    """Which parts are made at once, and where what there is of them is saved.

    Those that are missing; where a run was killed while it wrote them, all that it had made.
    """
    store, keys = missing[0].store, {part.key_of[table] for part in missing}
    for folder in (store.folder / table).glob(f".unfinished-*/{_TOGETHER}"):
        before = set(folder.read_text().split())
        if keys <= before <= {part.key_of[table] for part in planned}:
            return [part for part in planned if part.key_of[table] in before], folder.parent
    name = next(iter(keys)) if len(keys) == 1 else fingerprint.of_value(sorted(keys))
    return missing, store.unfinished(table, name)


def _make_missing(part: Part, spent: Spent, engine: Engine) -> None:
    kept = Kept(part.config, part.store, spent)
    for each in part.missing():
        make(each, part, kept, InProcess() if each.stage.stays else engine)


def _warnings(tables: Tables) -> list[str]:
    """What must not be overlooked, each once; of several layers with the layer where it differs."""
    several, told = len(tables.parts) > 1, []
    for table in tables:
        for part in tables.holders(table):
            at = f"{part.place}: " if several and TABLES[table].of_layers else ""
            told += [f"{at}{warning}" for warning in part.facts(table)["warnings"]]
    return list(dict.fromkeys(told))


def part_of(config: Config, until: str | None = None) -> Part:
    """The tables of one layer, made or not; up to `until`."""
    planned = plan(config)
    names = list(planned)
    wanted = names[: names.index(until) + 1] if until else names
    return Part(store_of(config), {name: planned[name] for name in wanted}, config)


def make(planned: Planned, part: Part, kept: Kept, engine: Engine) -> None:
    """Make one table, store it with its manifest, and say so in a line."""
    stage, config = planned.stage, part.config
    start = time.monotonic()
    inputs, settings = part.inputs(stage), stage.handed(config)
    files = {table: inputs.file(table) for table in stage.reads}
    data: pa.Table | Iterator[pa.Table]
    if stage.sql:
        values = config.values(stage.settings)
        if refusal := query.check(stage.sql, files, values):
            raise UserError(refusal)
        data = query.stream(stage.sql, files, values)
    else:
        data = _rows(planned, inputs, kept, engine)
    unfinished = any(part.unfinished(table) for table in stage.reads)

    def written(file: Path) -> dict[str, Any]:
        """What the rows themselves tell."""
        if stage.sql:
            return dict(unfinished=unfinished)
        made = Rows(file, stage.table)
        failed = bool(stage.keep and stage.keep.paid and not all_answered(made["status"]))
        return dict(warnings=stage.warn(made, inputs, settings), unfinished=unfinished or failed)

    with closing(data) if isinstance(data, Generator) else nullcontext():
        _write(planned, part, data, start, written)
    seconds = time.monotonic() - start
    if stage.sql:
        note = query.note(stage.sql, {**files, stage.table: part.file(stage.table)})
    else:
        note = stage.note(Rows(part.file(stage.table), stage.table), inputs, settings)
    _tell(planned, part, seconds, note)


def _nothing_more(file: Path) -> dict[str, Any]:
    return {}


def _write(
    planned: Planned,
    part: Part,
    data: pa.Table | Iterator[pa.Table],
    start: float,
    written: Callable[[Path], dict[str, Any]] = _nothing_more,
) -> None:
    """Store one table with its manifest; `written` gives what the written file tells for it."""
    stage = planned.stage
    manifest = {
        "table": stage.table,
        "key": planned.key,
        "version": VERSION,
        "made_of": planned.made_of,
        "created": datetime.now(UTC).isoformat(),
        "seconds": time.monotonic() - start,
        "config": dataclasses.asdict(part.config),
        "unfinished": False,
        "warnings": [],
        "packages": packages(stage),
        "python": platform.python_version(),
    }
    part.store.write(stage.table, planned.key, data, lambda file: manifest | written(file))


def _tell(planned: Planned, part: Part, seconds: float, note: str) -> None:
    stage = planned.stage
    source = f"from {part.n_rows(stage.reads[0]):,} {stage.reads[0]}" if stage.reads else ""
    made = f"{stage.number} {stage.table:<18} {part.n_rows(stage.table):>9,} rows {source:<24}"
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
    if stage.spread and isinstance(engine, InProcess):
        engine = Processes()
    if isinstance(stage.shards, Runs):
        return shown(engine, make, shards, stage.table, len(inputs.rows(stage.shards.table)))
    return engine.map(make, shards)
