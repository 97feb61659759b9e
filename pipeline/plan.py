"""The plan: which stages there are, in which order, and what each one's result depends on.

The only place that knows the order. A table's key is the fingerprint of its stage's own code, its own
settings and the keys of the tables it reads, so a changed threshold makes anew what depends on it and
nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from pipeline import describer, fingerprint, model_folder, pages, select, sources, tables, texts
from pipeline.config import Config
from pipeline.store import Store


@dataclass(frozen=True)
class Stage:
    """How one table is made.

    `settings` are fields of Config; `code` the modules whose source decides the rows; `sql` the file
    in sql/ where the stage is a SELECT. `dear` stages keep their rows by what decides them, so
    that nothing is measured or paid twice; `shared` are the tables that every one of them sees as a whole.
    Those of a `paid` stage are decided by their keys alone, and what failed is asked again. `by_content`
    are tables of which only a part counts, whose fingerprint stands among the settings.
    """

    number: str
    table: str
    reads: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    sql: str | None = None
    dear: bool = False
    shared: tuple[str, ...] = ()
    by_content: tuple[str, ...] = ()
    paid: bool = False


def _sql(file: str) -> Stage:
    found = select.query(file)
    return Stage(file[:3], found.writes, found.reads, found.params, sql=file)


SCAN = Stage(
    "010",
    "samples",
    settings=("source", "model", "layer", "text", "samples", "max_tokens", "batch_tokens"),
    code=("scan", "batches", "language_model", "shuffled", "texts"),
)
_MEASURING = ("measurement", "phrases", "blocks", "resume", "passes", "batches", "language_model")
PAID_AS = "answers"  # what paid rows are kept as, whatever the code: their keys say all
_ANSWERING = ("answers", "prompts", "evidence", "describer", "budget")
_COUNTING = ("answers", "prompts", "evidence", "lexical", "rules", "word_vectors", "word")
_ASKED = ("describer", "describer_model")


def _said(stage: Stage, *, announced_by: tuple[str, ...] = ()) -> tuple[Stage, Stage]:
    """A stage of a describer: without a language model, which looks words up, and with one, which is paid
    and announced with the help of more tables."""
    counted = replace(
        stage,
        reads=(*stage.reads, "vocabulary"),
        settings=("describer", *stage.settings),
        code=(*stage.code, *_COUNTING),
        dear=True,
        shared=("vocabulary",),
    )
    asked = replace(
        stage,
        reads=(*stage.reads, *announced_by),
        settings=(*_ASKED, *stage.settings),
        code=(*stage.code, *_ANSWERING),
        dear=True,
        paid=True,
    )
    return counted, asked


_SAID = (
    _said(
        Stage(
            "130", "descriptions", ("evidence",), settings=("score",), code=("descriptions", "describing")
        ),
        announced_by=("windows",),
    ),
    _said(
        Stage(
            "132",
            "group_descriptions",
            ("group_evidence",),
            code=("group_descriptions", "describing"),
        )
    ),
    _said(
        Stage(
            "134",
            "judgements",
            ("windows", "descriptions"),
            settings=("score_control", "windows_per_call", "seed"),
            code=("judgements", "scoring"),
        )
    ),
)
PAID = {asked.table: asked for _, asked in _SAID}
STAGES = (
    Stage("005", "pages", settings=("source", "site"), code=("pages", "sources")),
    Stage(
        "010",
        "samples",
        ("pages",),
        settings=("source", "site", "samples"),
        code=("neuroscope", "pages"),
        by_content=("pages",),  # why a page failed makes no sample anew
    ),
    _sql("020_maps.sql"),
    Stage("030", "words", ("maps",), code=("words", "word")),
    Stage(
        "035",
        "vocabulary",
        settings=("fasttext", "seed"),
        code=("vocabulary", "fasttext", "word_vectors", "word"),
    ),
    Stage(
        "040",
        "vectors",
        ("maps", "words", "vocabulary"),
        settings=("phrases", "seed"),
        code=("vectors", "word_vectors"),
    ),
    _sql("050_similarity.sql"),
    Stage(
        "055",
        "groups",
        ("maps", "vectors"),
        settings=("group_similarity", "group_maps", "similarity"),
        code=("groups",),
    ),
    _sql("060_candidates.sql"),
    Stage(
        "070",
        "synonyms",
        ("candidates", "maps", "words", "vocabulary"),
        settings=("synonyms", "inflections", "controls", "control_share", "seed"),
        code=("synonyms", "fasttext", "word_vectors", "word"),
    ),
    _sql("080_variants.sql"),
    Stage(
        "085",
        "encodings",
        ("variants", "samples"),
        settings=("model", "exact_tokens"),
        code=("encodings", "identities", "language_model", "texts"),
    ),
    Stage(
        "090",
        "activations",
        ("encodings",),
        settings=("model", "layer", "precision"),
        code=_MEASURING,
        dear=True,
    ),
    Stage(
        "092",
        "deviations",
        ("encodings", "activations"),
        settings=("model", "layer", "precision"),
        code=("deviations", *_MEASURING),
    ),
    _sql("095_retentions.sql"),
    _sql("100_averages.sql"),
    _sql("110_normalised.sql"),
    _sql("120_selected.sql"),
    _sql("124_marked.sql"),
    _sql("125_evidence.sql"),
    Stage(
        "127",
        "windows",
        ("evidence", "samples", "vectors"),
        settings=("score", "model", "layer", "precision", "exact_tokens", "seed"),
        code=("windows", "evidence", "identities", "batches", "language_model"),
    ),
    _sql("128_group_evidence.sql"),
    *(counted for counted, _ in _SAID),
    _sql("136_scores.sql"),
    _sql("140_feature_neurons.sql"),
)


@dataclass(frozen=True)
class Planned:
    """A stage with the key of its table under one config, and what the key is made of."""

    stage: Stage
    key: str
    made_of: Mapping[str, Any]

    @property
    def own(self) -> str:
        """Fingerprint of what a row's key does not show: code, settings, shared tables."""
        if self.stage.paid:
            return PAID_AS
        shared = {table: self.made_of["inputs"][table] for table in self.stage.shared}
        return fingerprint.of_value({**self.made_of, "inputs": shared})


def stages(config: Config) -> tuple[Stage, ...]:
    """The stages of a run; one that scans makes its samples with the model, from no pages; a language model
    describes without a vocabulary."""
    other = {"samples": SCAN} if config.source == "scan" else {}
    other |= PAID if config.describer == "openai" else {}
    return tuple(other.get(stage.table, stage) for stage in STAGES)


def plan(config: Config) -> dict[str, Planned]:
    """The planned stages by table, in order. Reads only files: those the config names, and kept pages."""
    contents = {"model": _model(config), "text": _text(config)}
    contents["exact_tokens"] = _exact_tokens(config)
    contents["fasttext"] = _fasttext(config, contents["text"])
    if config.describer == "openai":
        contents["describer_model"] = {"name": config.describer_model, "server": describer.server()}
    sites = _sites(config)
    planned: dict[str, Planned] = {}
    for stage in stages(config):
        settings = config.values(stage.settings)
        contents["site"] = sites.get(stage.table)
        made_of = {
            "settings": {name: contents.get(name, value) for name, value in settings.items()},
            "code": _code(stage),
            "inputs": {table: planned[table].key for table in stage.reads if table not in stage.by_content},
        }
        made_of["settings"] = {k: _plain(v) for k, v in made_of["settings"].items()}
        planned[stage.table] = Planned(stage, fingerprint.of_value(made_of), made_of)
    return planned


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
    changed += ["its code has changed"] if before["code"] != now["code"] else []
    changed += [f"{t} changed" for t, key in now["inputs"].items() if before["inputs"].get(t) != key]
    return "; ".join(changed) or "calls failed or were not made"


def _code(stage: Stage) -> dict[str, str]:
    folder = Path(__file__).parent
    schema = fingerprint.of_value(str(tables.TABLES[stage.table].schema))
    if stage.sql:
        return {stage.sql: fingerprint.of_file(select.query(stage.sql).path), "schema": schema}
    sources = {name: fingerprint.of_file(folder / f"{name}.py") for name in stage.code}
    return {**sources, "schema": schema}


def _model(config: Config) -> dict[str, Any]:
    folder = config.model_folder
    files = {n: fingerprint.of_file(folder / n) for n in _model_files(folder)} if folder else {}
    return {"name": config.model_name, "weights": config.weights, **files}


def _model_files(folder: Path) -> list[str]:
    return [n for n in (*model_folder.FILES, "tokenizer_config.json") if (folder / n).is_file()]


def _text(config: Config) -> dict[str, Any]:
    path = config.text_path
    if path is None:
        return {"name": config.text}
    return {str(f.relative_to(path.parent)): fingerprint.of_file(f) for f in texts.files(path)}


def _exact_tokens(config: Config) -> dict[str, str]:
    """The tokenised data sets by name, or the files of one."""
    path = config.exact_tokens_path
    if path is None:
        return {name: "of the Hub" for name in config.exact_tokens_names}
    return {str(f.relative_to(path)): fingerprint.of_file(f) for f in texts.tokenised_files(path)}


def _sites(config: Config) -> dict[str, dict[str, str]]:
    """What is kept of the pages asked for, for each table that it decides; when it came does not matter."""
    if config.source == "scan":
        return {}
    name, kept = sources.address(config), pages.table(config)
    ok = kept.filter(pc.field("status") == "ok").select(["neuron", "page_sha256"])
    all_ = kept.select(["neuron", "status", "reason", "page_sha256"])
    return {
        table: {"name": name, "pages": fingerprint.of_table(rows)}
        for table, rows in (("pages", all_), ("samples", ok))
    }


def _fasttext(config: Config, text: dict[str, Any]) -> dict[str, Any]:
    if config.fasttext == "train":
        return {"trained on": text}
    return {"file": fingerprint.of_file(Path(config.fasttext))}


def _plain(value: Any) -> Any:
    return str(value) if value == float("-inf") else value


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 40 else text[:37] + "..."
