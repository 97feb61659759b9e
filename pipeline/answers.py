"""How rows come from a language model's answers: kept by prompt and model, paid once, failures null.

What stages share that may ask one; the same stages without a language model only use `each`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import fingerprint, tables
from pipeline.budget import Budget
from pipeline.config import Config
from pipeline.describer import server
from pipeline.prompts import Prompt

Row = Mapping[str, Any]
KNOWN = ("ok", "no_feature")  # answered: what else is asked again by the next run


def key(prompt: Prompt, config: Config) -> str:
    """What an answer is kept by: the prompt, and the model and server it is asked of."""
    who = [config.describer_model, server()] if config.describer == "openai" else [config.describer]
    return fingerprint.of_value([prompt.sha256, *who])


def known(rows: pa.Table) -> pa.Table:
    """Those of the rows that were answered."""
    return rows.filter(pc.is_in(rows["status"], pa.array(KNOWN)))


def called(rows: pa.Table) -> pa.Table:
    """Those of the rows for which a model was asked, whatever came of it."""
    return rows.filter(rows["called"].is_valid())


def shards(rows: pa.Table, wanted: pa.Array) -> Iterator[pa.Table]:
    """One table for each row wanted (a mask), so that each answer is kept as soon as it is there."""
    found = rows.filter(wanted)
    for row in range(len(found)):
        yield found.slice(row, 1)


class Each:
    """Makes a row of `table`, by `key`, of every row of a shard, by what `answer` says of it; `same` stands
    in all of them."""

    def __init__(self, table: str, answer: Callable[[Row], dict[str, Any]], **same: Any) -> None:
        self.schema = tables.TABLES[table].kept
        self.answer, self.same = answer, dict.fromkeys(self.schema.names) | same

    def __call__(self, shard: pa.Table) -> pa.Table:
        """The rows made of a shard's."""
        found = [self.same | dict(key=row["key"]) | self.answer(row) for row in shard.to_pylist()]
        return pa.Table.from_pylist(found, schema=self.schema)

    def stop(self) -> None:
        """No more answers are wanted."""
        if isinstance(self.answer, Paid):
            self.answer.budget.stop()


class Paid:
    """What a language model says of a row, within the limits of a run; several threads may ask.

    `read` makes columns of a good answer's text, and may find that it is none with a `status` of its own.
    """

    def __init__(
        self, config: Config, prompt: Callable[[Row], Prompt], read: Callable[[Row, str], dict[str, Any]]
    ) -> None:
        self.budget = Budget(config)
        self.prompt, self.read = prompt, read

    def __call__(self, row: Row) -> dict[str, Any]:
        """The columns of a row; those of the answer are null unless `status` says that there is one."""
        text, call = self.budget.ask(self.prompt(row))
        return call if text is None else call | self.read(row, text)
