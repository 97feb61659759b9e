"""A description of each selected neuron.

In: `evidence`, `vocabulary`, and `windows` for what scoring will take. Out: `descriptions`. A describer
that fails leaves null with the reason in `status`, never a text; the lexical one always finds something.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline import answers, budget, evidence, fingerprint, lexical, prompts, scoring
from pipeline.config import Config
from pipeline.engine import Worker
from pipeline.prompts import Prompt
from pipeline.word_vectors import Vectors

_LIKE = "a description of about as many words as they have"  # for those that are not there yet
_LONGEST = 300  # letters of a description
shards = answers.shards


def asked(inputs: Mapping[str, pa.Table], config: Config) -> pa.Table:
    """The evidence of each neuron, by `key`: for a language model that of its prompt."""
    rows = inputs["evidence"]
    if config.describer == "lexical":
        keys = [fingerprint.of_table(rows.slice(row, 1)) for row in range(len(rows))]
    else:
        keys = [answers.key(_prompt(row, config), config) for row in rows.to_pylist()]
    return rows.append_column("key", pa.array(keys, pa.string()))


def announce(rows: pa.Table, config: Config, inputs: Mapping[str, pa.Table]) -> None:
    """Say what describing these neurons takes, and what scoring will take at most."""
    budget.announce("descriptions", [_prompt(row, config) for row in rows.to_pylist()], config)
    if config.score:
        neurons = inputs["evidence"].select(scoring.NEURON).to_pylist()
        said = [row | dict(description=f"{_LIKE} {i}") for i, row in enumerate(neurons)]
        calls = scoring.calls(said, inputs["windows"], config)
        budget.announce("then judgements, at most", [scoring.prompt(call) for call in calls], config)


def worker(config: Config, inputs: Mapping[str, pa.Table]) -> Worker:
    """The function from evidence to descriptions by `key`; `config.describer` says whose."""
    if config.describer == "lexical":
        vectors = Vectors.from_table(inputs["vocabulary"])

        def answer(row: Mapping[str, Any]) -> dict[str, Any]:
            shown = evidence.shown(row, scored=config.score)
            return dict(description=lexical.describe(shown, vectors), status="ok")
    else:
        answer = answers.Paid(config, lambda row: _prompt(row, config), _read)
    return answers.Each("descriptions", answer, describer=config.describer)


def _prompt(row: Mapping[str, Any], config: Config) -> Prompt:
    return prompts.describe(evidence.shown(row, scored=config.score))


def _read(row: Mapping[str, Any], text: str) -> dict[str, Any]:
    if len(text) > _LONGEST:
        return dict(status="malformed", reason=f"it said {len(text):,} letters: {text[:100]!r}")
    found = prompts.description(text)
    return dict(description=found, status="ok" if found else "no_feature")
