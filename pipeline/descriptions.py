"""A description of each selected neuron.

In: `evidence`, `vocabulary`, and `windows` for what scoring will take. Out: `descriptions`.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from pipeline import answers, budget, describing, scoring
from pipeline.config import Config
from pipeline.engine import Worker

_LIKE = "a description of about as many words as they have"  # for those that are not there yet
shards = answers.shards


def asked(inputs: Mapping[str, pa.Table], config: Config) -> pa.Table:
    """The evidence of each neuron, by `key`."""
    return describing.keyed(inputs["evidence"], config)


def announce(rows: pa.Table, config: Config, inputs: Mapping[str, pa.Table]) -> None:
    """Say what describing these neurons takes, and what scoring will take at most."""
    budget.announce("descriptions", [describing.prompt(row, config) for row in rows.to_pylist()], config)
    if config.score:
        neurons = inputs["evidence"].select(scoring.NEURON).to_pylist()
        said = [row | dict(description=f"{_LIKE} {i}") for i, row in enumerate(neurons)]
        calls = scoring.calls(said, inputs["windows"], config)
        budget.announce("then judgements, at most", [scoring.prompt(call) for call in calls], config)


def worker(config: Config, inputs: Mapping[str, pa.Table]) -> Worker:
    """The function from evidence to descriptions by `key`."""
    return describing.each("descriptions", config, inputs)
