"""The runs of a store, so that results of several can be looked at beside each other.

`runs/<id>.json`, beside the store, says with which settings a run was made, and which versions of the
tables are its own. The store keeps all versions, so these are there as long as nobody deletes them.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.config import DEFAULTS, Config
from pipeline.engine.made import Made, Tables
from pipeline.errors import DamagedError, UserError
from pipeline.tables import TABLES, VERSION, disk, fingerprint
from pipeline.tables.store import Store

_SHORT = 8  # digits of an id


@dataclass(frozen=True)
class Past:
    """A run of before: its id, when it was made last, its settings and found neurons, and of each of its
    parts layer, sign and the keys of the tables."""

    id: str
    made: str
    version: str
    settings: Mapping[str, Any]
    model: str
    layers: tuple[int, ...]
    signs: tuple[str, ...]
    n_found: int
    keys: tuple[Mapping[str, str], ...]

    @property
    def config(self) -> Config:
        """Its settings; raises UserError where they name what is no longer there."""
        return Config(**{name: value for name, value in self.settings.items() if name in DEFAULTS})

    @property
    def changed(self) -> dict[str, Any]:
        """Its settings that are not the default, but for those which the list shows apart."""
        apart = ("model", "layer", "sign", "data")
        found = self.settings.items()
        return {name: each for name, each in found if name not in apart and each != DEFAULTS.get(name)}


def record(config: Config, tables: Tables) -> None:
    """Keep what was run, once; again where something was made. Raises StoreError."""
    keys = [part.key_of for part in tables.parts]
    settings = dataclasses.asdict(config)
    found = dict(
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        version=VERSION,
        settings=settings,
        model=config.model_name,
        layers=[part.layer for part in tables.parts],
        signs=[part.sign for part in tables.parts],
        n_found=tables.n_rows("feature_neurons"),
        keys=keys,
    )
    given = {name: value for name, value in settings.items() if name != "data"}
    folder = _folder(tables.store)
    path = folder / f"{fingerprint.of_value([given, keys])[:_SHORT]}.json"
    if path.exists() and not tables.made:
        return
    with disk.told(folder):
        disk.make(folder)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as temporary:
            new = Path(temporary) / path.name
            new.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
            disk.put(new, path)


def _folder(store: Store) -> Path:
    return store.folder.parent / "runs"


def runs(store: Store) -> list[Past]:
    """All runs of a store, the newest first."""
    return sorted(map(_read, _folder(store).glob("*.json")), key=lambda run: run.made, reverse=True)


def _read(path: Path) -> Past:
    try:
        found = json.loads(path.read_bytes())
        found |= {name: tuple(found[name]) for name in ("layers", "signs", "keys")}
        return Past(id=path.stem, **found)
    except (ValueError, TypeError, KeyError) as exc:
        raise DamagedError(f"{path} is damaged ({exc}); delete it") from exc


def tables(store: Store, asked: str) -> tuple[Past, Tables]:
    """A run by its id, or the beginning of it, and its tables.

    Raises UserError where there is no such run, or where its tables are of another version or gone.
    """
    known = runs(store)
    found = [run for run in known if run.id.startswith(asked)] if asked else []
    if len(found) != 1:
        there = ", ".join(run.id for run in known[:5]) or "none yet"
        what = "several runs begin with" if found else "there is no run"
        raise UserError(f"RUN: {what} {asked!r}; `python -m pipeline runs` lists them ({there})")
    [run] = found
    if run.version != VERSION or any(keys.keys() - TABLES.keys() for keys in run.keys):
        raise UserError(
            f"RUN: {run.id} was made by another version of feature-neurons; run again with its settings"
        )
    parts = [Made(store, *each) for each in zip(run.keys, run.layers, run.signs, strict=True)]
    if gone := [table for part in parts for table in part if part.manifest(table) is None]:
        raise UserError(f"RUN: {gone[0]} of {run.id} is gone; run again with its settings")
    return run, Tables(parts)
