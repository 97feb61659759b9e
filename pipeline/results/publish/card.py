"""The card of a published data set: what it holds, of what it was made, and how to query it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import __version__
from pipeline.config import EMBEDDED, Config
from pipeline.engine.made import Tables
from pipeline.results import database, findings, render
from pipeline.results.publish import hub
from pipeline.samples.neuroscope import pages
from pipeline.tables import TABLES, VERSION

_SHOWN = 10
_UNKNOWN = "not known here; ask its publisher before you pass it on"
# What the collections that Neuroscope's texts come from say about themselves.
_TEXT_SETS = {
    r"\bc4\b": "ODC-By 1.0; the texts are those of web pages, under Common Crawl's terms of use",
    r"\bpile\b": "a collection of many sources, each under a licence of its own",
    r"\bopenwebtext\b": "CC0 1.0 for the collection; the texts are those of web pages",
    r"\bcode\b": "source code, each file under its repository's licence",
}
_OURS = {
    "model": "MIT, as feature-neurons",
    "text": "WordNet licence (LICENSE-WordNet.txt), glosses of WordNet 3.0",
}


def text(config: Config, tables: Tables, repo: str, tag: str) -> str:
    """The card in Markdown, with front matter that names a config for every table with rows."""
    rows = {table: tables.n_rows(table) for table in tables}
    name = findings.asked(config)
    with database.over(config, tables) as con:
        layers, surest = findings.layers(con), findings.neurons(con)[:_SHOWN]
        steps = findings.rows(con, "from funnel order by model, layer, sign, step")
    return render.markdown("card.md").render(
        front_matter=hub.front_matter(
            _facts(name, repo, rows) | dict(language=languages(tables["samples"]["text_set"]))
        ),
        name=name,
        config=config,
        repo=repo,
        tag=tag,
        version=VERSION,
        made_by=__version__,
        rows=rows,
        first=_first(rows),
        tables=[TABLES[table] for table in tables],
        found=[
            "; ".join([findings.headline(layer, config), *findings.remarks(layer, config)])
            for layer in layers
        ],
        ways={layer.way for layer in layers},
        given=config.values(("similarity", "activation")),
        steps=steps,
        surest=surest,
        percent=findings.percent,
        sources=sources(config, tables),
    )


def _facts(name: str, repo: str, rows: dict[str, int]) -> dict[str, Any]:
    """The front matter. A table without rows has no config: `load_dataset` cannot read one."""
    return dict(
        pretty_name=f"Feature neurons of {name}",
        license="other",
        license_name="see-sources-and-licences",
        license_link=f"https://huggingface.co/datasets/{repo}#sources-and-licences",
        size_categories=[size(sum(rows.values()))],
        tags=["interpretability", "neurons", "feature-neurons"],
        configs=[
            dict(
                config_name=table,
                **({"default": True} if table == _first(rows) else {}),
                version=VERSION,
                data_files=[dict(split="train", path=f"{table}/*.parquet")],
            )
            for table in sorted(rows, key=lambda table: table != _first(rows))
            if rows[table]
        ],
    )


def languages(text_sets: pa.ChunkedArray) -> list[str]:
    """The languages as the Hub names them: what is said of neurons is English, and texts may be code."""
    named = (name or "" for name in text_sets.unique().to_pylist())
    return ["en", *(["code"] if any(re.search(r"\bcode\b", name, re.I) for name in named) else [])]


def size(n_rows: int) -> str:
    """A number of rows as one of the Hub's size categories."""
    bounds = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    place = sum(n_rows >= 1000 * 10**i for i in range(len(bounds)))
    if place == 0:
        return "n<1K"
    return "n>1T" if place == len(bounds) else f"{bounds[place - 1]}<n<{bounds[place]}"


def _first(rows: dict[str, int]) -> str:
    """The table to look at first: the result, unless it has no rows."""
    return "feature_neurons" if rows["feature_neurons"] else "similarity"


def sources(config: Config, tables: Mapping[str, pa.Table]) -> list[tuple[str, str, str]]:
    """What the rows were made from, as (what, which, licence)."""
    scanned = config.source == "scan"
    ours = config.text == EMBEDDED if scanned else pages.address(config) == pages.RECORDED
    named = tables["samples"]["text_set"].unique().to_pylist()
    sources = [("model", config.model_name, _OURS["model"] if config.model == EMBEDDED else _UNKNOWN)]
    for name in sorted(name or "" for name in named):
        licence = _OURS["text"] if ours else _texts(name, local=scanned and config.text_path is not None)
        sources.append(("texts of samples", name or "not named by the pages", licence))
    if not scanned:
        sources.append(("pages", pages.address(config), _OURS["model"] if ours else _UNKNOWN))
    if config.fasttext == "train":
        read = config.text == EMBEDDED
        licence = _OURS["text"] if read else _texts(config.text_name, local=config.text_path is not None)
        sources.append(("word vectors", f"trained on {config.text_name}", licence))
    else:
        sources.append(("word vectors", Path(config.fasttext).name, _UNKNOWN))
    if config.describer == "openai":
        sources.append(("descriptions", config.describer_model, "the terms of the server that wrote them"))
    return sources


def _texts(name: str, *, local: bool) -> str:
    """The licence of a collection of texts; that of a local file is not known, whatever its name."""
    for pattern, licence in () if local else _TEXT_SETS.items():
        if re.search(pattern, name, re.IGNORECASE):
            return licence
    return _UNKNOWN
