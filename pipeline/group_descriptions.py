"""A description of each clean group of MAPs of a neuron that has several, where DESCRIBE_GROUPS asks.

In: `group_evidence`, `vocabulary`. Out: `group_descriptions`. A group is described as if it were all there
is of its neuron; nothing of it is held out, for nobody scores it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pyarrow as pa

from pipeline import answers, budget, describing
from pipeline.config import Config
from pipeline.engine import Worker

shards = answers.shards


def asked(inputs: Mapping[str, pa.Table], config: Config) -> pa.Table:
    """The evidence of each group, by `key`."""
    return describing.keyed(inputs["group_evidence"], _unscored(config))


def announce(rows: pa.Table, config: Config, inputs: Mapping[str, pa.Table]) -> None:
    """Say what describing these groups takes."""
    prompts = [describing.prompt(row, _unscored(config)) for row in rows.to_pylist()]
    budget.announce("group_descriptions", prompts, config)


def worker(config: Config, inputs: Mapping[str, pa.Table]) -> Worker:
    """The function from a group's evidence to its description by `key`."""
    return describing.each("group_descriptions", _unscored(config), inputs)


def _unscored(config: Config) -> Config:
    return dataclasses.replace(config, score=False)
