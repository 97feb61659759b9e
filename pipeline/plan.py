"""The plan: which stages there are, in which order, and what the result of each depends on.

The stages of the four steps and the SELECTs of `sql/`, in the order of their numbers. A table's key is the
fingerprint of its stage's code, its settings and the keys of the tables it reads, so that a change makes
anew what depends on it and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.engine import code
from pipeline.engine.made import Planned
from pipeline.engine.stage import Stage, of_sql
from pipeline.generation import chat
from pipeline.generation.stages import STAGES as GENERATION
from pipeline.identification.stages import STAGES as IDENTIFICATION
from pipeline.language import fasttext, texts, tokenised
from pipeline.models import folder
from pipeline.resources import resource
from pipeline.samples.neuroscope import pages
from pipeline.samples.stages import STAGES as SAMPLES
from pipeline.tables import TABLES, fingerprint
from pipeline.tables.query import query
from pipeline.tables.store import Store
from pipeline.verification.stages import STAGES as VERIFICATION

# What stands in a key for a setting that names something: the fingerprint of what it names.
CONTENTS: dict[str, Callable[[Config], Any]] = {
    "model": folder.contents,
    "text": texts.contents,
    "fasttext": fasttext.contents,
    "exact_tokens": tokenised.contents,
    "site": pages.address,
    "describer_model": chat.contents,
}
_SHORT = 40  # letters of a value that a reason shows


def _stages() -> tuple[Stage, ...]:
    files = sorted(path.name for path in resource("sql").glob("[0-9]*.sql"))
    found = [*SAMPLES, *IDENTIFICATION, *VERIFICATION, *GENERATION, *(of_sql(query(f)) for f in files)]
    return tuple(sorted(found, key=lambda stage: stage.number))


STAGES = _stages()  # every one, also where several make one table
NUMBERS = {stage.table: stage.number for stage in STAGES}


def stages(config: Config) -> tuple[Stage, ...]:
    """The stage of each table under these settings, in order.

    Of a table that the settings leave empty it is one that makes nothing.
    """
    found: dict[str, Stage] = {}
    for stage in STAGES:
        if stage.table not in found and stage.applies(config):
            found[stage.table] = stage
    return tuple(found.get(table) or _empty(table) for table in NUMBERS)


def _empty(table: str) -> Stage:
    """The stage of a table that no stage makes under the settings that decide so."""
    names = {name for stage in STAGES if stage.table == table for name in stage.where}
    return Stage("", NUMBERS[table], table, settings=tuple(sorted(names)))


def plan(config: Config) -> dict[str, Planned]:
    """The planned stages by table, in order. Reads only files: those the config names, and kept pages."""
    contents = cache(lambda name: CONTENTS[name](config))
    contents("model")  # a MODEL that is not one is refused before a SITE that cannot have it
    planned: dict[str, Planned] = {}
    for stage in stages(config):
        made_of = {
            "settings": _settings(stage, config, contents),
            "code": _code(stage),
            "inputs": {
                table: stage.decided_by[table](config) if table in stage.decided_by else planned[table].key
                for table in stage.reads
            },
        }
        planned[stage.table] = Planned(stage, fingerprint.of_value(made_of), made_of)
    return planned


def _settings(stage: Stage, config: Config, contents: Callable[[str], Any]) -> dict[str, Any]:
    """The settings of a stage as its key has them."""
    values = config.values(stage.decisive)
    for name in values:
        if name in stage.decided_by:
            values[name] = stage.decided_by[name](config)
        elif name in CONTENTS and name not in stage.where:
            values[name] = contents(name)
        elif values[name] == float("-inf"):
            values[name] = "-inf"
    return values


def _code(stage: Stage) -> dict[str, str]:
    """Fingerprints of the code that decides the rows: modules, or SQL; and the schema."""
    schema = {"schema": fingerprint.of_value(str(TABLES[stage.table].schema))}
    if stage.sql:
        return {stage.sql.path.name: fingerprint.of_value(stage.sql.code), **schema}
    return {**(code.of_module(stage.module) if stage.module else {}), **schema}


def packages(stage: Stage) -> dict[str, str]:
    """The packages that decide the numbers of a stage's table, with the versions that are installed."""
    names = ["duckdb"] if stage.sql else code.packages(stage.module) if stage.module else []
    return {name: version(name) for name in names}


def other_packages(planned: Planned, manifest: Mapping[str, Any]) -> str:
    """With which other versions of packages that decide numbers a table was made; empty where with none."""
    made_with = manifest.get("packages", {})
    return ", ".join(
        f"made with {name} {made_with[name]}, here is {here}"
        for name, here in packages(planned.stage).items()
        if made_with.get(name, here) != here
    )


def reason(planned: Planned, store: Store) -> str:
    """Why a table has to be made: what differs from its newest version in the store."""
    versions = store.versions(planned.stage.table)
    if not versions:
        return "never made"
    before, now = versions[0]["made_of"], planned.made_of
    changed = [
        f"{name} {_short(before['settings'].get(name))} -> {_short(value)}"
        for name, value in now["settings"].items()
        if before["settings"].get(name) != value
    ]
    modules = [
        name for name in sorted({*before["code"], *now["code"]}) if _differs(before, now, "code", name)
    ]
    if modules:
        named = ", ".join(Path(name).name.removeprefix("pipeline.") for name in modules[:3])
        changed.append(f"its code has changed ({named}{' and others' if len(modules) > 3 else ''})")
    changed += [f"{table} changed" for table in now["inputs"] if _differs(before, now, "inputs", table)]
    return "; ".join(changed) or "calls failed or were not made"


def _differs(before: Mapping[str, Any], now: Mapping[str, Any], part: str, name: str) -> bool:
    return before[part].get(name) != now[part].get(name)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < _SHORT else text[: _SHORT - 3] + "..."
