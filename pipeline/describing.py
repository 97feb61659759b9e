"""How evidence becomes a description, of a neuron or of a group of its MAPs.

A describer that fails leaves null with the reason in `status`, never a text; the lexical one always finds
something.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline import answers, evidence, fingerprint, lexical, prompts
from pipeline.config import Config
from pipeline.prompts import Prompt
from pipeline.word_vectors import Vectors

_LONGEST = 300  # letters of a description


def keyed(rows: pa.Table, config: Config) -> pa.Table:
    """Evidence by `key`: for a language model that of its prompt."""
    if config.describer == "lexical":
        keys = [fingerprint.of_table(rows.slice(row, 1)) for row in range(len(rows))]
    else:
        keys = [answers.key(prompt(row, config), config) for row in rows.to_pylist()]
    return rows.append_column("key", pa.array(keys, pa.string()))


def each(table: str, config: Config, inputs: Mapping[str, pa.Table]) -> answers.Each:
    """Makes rows of `table` of evidence; `config.describer` says who describes."""
    if config.describer == "lexical":
        vectors = Vectors.from_table(inputs["vocabulary"])

        def answer(row: Mapping[str, Any]) -> dict[str, Any]:
            shown = evidence.shown(row, scored=config.score)
            return dict(description=lexical.describe(shown, vectors), status="ok")
    else:
        answer = answers.Paid(config, lambda row: prompt(row, config), _read)
    return answers.Each(table, answer, describer=config.describer)


def prompt(row: Mapping[str, Any], config: Config) -> Prompt:
    """What a language model is asked about a row of evidence."""
    return prompts.describe(evidence.shown(row, scored=config.score))


def _read(row: Mapping[str, Any], text: str) -> dict[str, Any]:
    if len(text) > _LONGEST:
        return dict(status="malformed", reason=f"it said {len(text):,} letters: {text[:100]!r}")
    found = prompts.description(text)
    return dict(description=found, status="ok" if found else "no_feature")
