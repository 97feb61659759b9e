"""Whether windows of text fit a description, as a language model judges, or a count of words.

In: `windows`, `descriptions`, `vocabulary`. Out: `judgements`, empty unless descriptions are scored. A call
that fails leaves null with the reason in `status`, never a judgement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline import answers, budget, prompts, rules, scoring, tables
from pipeline.config import Config
from pipeline.engine import Worker
from pipeline.word_vectors import Vectors

_TABLE = tables.TABLES["judgements"]
_ASKED = pa.schema(
    [
        *(_TABLE.schema.field(name) for name in _TABLE.key),
        pa.field("description", pa.string()),
        pa.field("tokens", pa.list_(pa.list_(pa.string()))),
        pa.field("marked", pa.list_(pa.list_(pa.int32()))),
        pa.field("key", pa.string()),
    ]
)
shards = answers.shards


def asked(inputs: Mapping[str, pa.Table], config: Config) -> pa.Table:
    """A row per call: a description and the windows it is held against, by `key`."""
    said = [row for row in inputs["descriptions"].to_pylist() if row["description"] is not None]
    calls = scoring.calls(said, inputs["windows"], config)
    rows = [call | dict(key=answers.key(scoring.prompt(call), config)) for call in calls]
    return pa.Table.from_pylist(rows, schema=_ASKED)


def announce(rows: pa.Table, config: Config, inputs: Mapping[str, pa.Table]) -> None:
    """Say what the calls take."""
    budget.announce("judgements", [scoring.prompt(row) for row in rows.to_pylist()], config)


def worker(config: Config, inputs: Mapping[str, pa.Table]) -> Worker:
    """The function from calls to judgements by `key`; `config.describer` says whose."""
    if config.describer == "lexical":
        vectors = Vectors.from_table(inputs["vocabulary"])
        return answers.Each("judgements", lambda call: _counted(call, vectors))
    return answers.Each("judgements", answers.Paid(config, scoring.prompt, _read))


def _read(call: Mapping[str, Any], text: str) -> dict[str, Any]:
    found = prompts.judgements(text, len(call["tokens"]))
    if found is None:
        return dict(status="malformed", reason=f"it said {text[:100]!r}")
    return dict(answers=found)


def _counted(call: Mapping[str, Any], vectors: Vectors) -> dict[str, Any]:
    """What the words of a lexical description say of each window."""
    rule = rules.read(call["description"], vectors)
    marks = call["marked"] if call["method"] == "fuzzing" else [None] * len(call["tokens"])
    fits = [rule.fits(tokens, places) for tokens, places in zip(call["tokens"], marks, strict=True)]
    return dict(answers=fits, status="ok")
