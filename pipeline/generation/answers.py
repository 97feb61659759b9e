"""How a language model's answers become rows: kept by prompt and model, paid once, null on failure.

Shared by the stages that may ask a language model; without one they only use `Each`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import Config
from pipeline.engine.stage import Inputs
from pipeline.generation import chat
from pipeline.generation.budget import Budget
from pipeline.generation.chat import server
from pipeline.generation.prompts import Prompt
from pipeline.printable import line
from pipeline.tables import fingerprint
from pipeline.tables.columns import ANSWERED
from pipeline.tables.rows import Columns, counted
from pipeline.web import environment

Row = Mapping[str, Any]
# The version of the method by which an answer becomes columns: raised by hand when the same answer would
# give other columns, so that it is asked for again. tests/generation/test_stored_answers.py says when.
ANSWERED_AS = 3
_LONGEST = 200  # characters of a reason that a warning shows
# settings that asking reads and that decide no row
USES = ("price", "max_calls", "max_cost", "dry_run", "answer_tokens", "answer_timeout_s")


def key(prompt: Prompt, settings: Config) -> str:
    """The key under which an answer is kept: of the prompt, and of the model and server asked."""
    return fingerprint.of_value([prompt.sha256, settings.describer_model, server()])


def shards(rows: pa.Table, wanted: pa.Array) -> Iterator[pa.Table]:
    """One table for each wanted row (a mask), so that each answer is kept as soon as it arrives."""
    chosen = rows.filter(wanted)
    for row in range(len(chosen)):
        yield chosen.slice(row, 1)


class Each:
    """Makes a row in `schema` for every row of a shard: the shard's own columns, those that `answer`
    returns for the row, and the values of `same` in every row."""

    def __init__(self, schema: pa.Schema, answer: Callable[[Row], dict[str, Any]], **same: Any) -> None:
        self.schema = schema
        self.answer, self.same = answer, dict.fromkeys(schema.names) | same

    def __call__(self, shard: pa.Table) -> pa.Table:
        """The rows for a shard, in order."""
        own = [name for name in self.schema.names if name in shard.column_names]
        rows = [
            self.same | {name: row[name] for name in own} | self.answer(row) for row in shard.to_pylist()
        ]
        return pa.Table.from_pylist(rows, schema=self.schema)

    def stop(self) -> None:
        """Ask for no more answers."""
        if isinstance(self.answer, Paid):
            self.answer.budget.stop()


class Paid:
    """Asks a language model about a row, within the limits of a run; several threads may ask.

    `read` makes columns of an answer's text, and may reject it with a `status` of its own.
    """

    def __init__(
        self, settings: Config, prompt: Callable[[Row], Prompt], read: Callable[[Row, str], dict[str, Any]]
    ) -> None:
        self.budget = Budget(settings)
        self.prompt, self.read = prompt, read

    def __call__(self, row: Row) -> dict[str, Any]:
        """The columns for a row; without those of the answer where the call failed."""
        text, call = self.budget.ask(self.prompt(row))
        return call if text is None else call | self.read(row, text)


def ready(settings: Config) -> None:
    """Raise UserError where there is no valid API key, or no way to the server."""
    if not settings.dry_run:
        chat.key()
        environment.for_httpx(chat.server())


def note(data: Columns, inputs: Inputs, settings: Config) -> str:
    """The number of rows by status, without those that are ok."""
    return _told([each for each in counted(data["status"]) if each[0] != "ok"])


def warn(data: Columns, inputs: Inputs, settings: Config) -> list[str]:
    """The number of missing answers with the reasons; nothing for a dry run, which asks for none."""
    lost = pc.invert(pc.is_in(data["status"], pa.array(ANSWERED)))
    statuses = data["status"].filter(lost)
    if settings.dry_run or not len(statuses):
        return []
    first = data["reason"].filter(lost).drop_null()
    said = f" ({line(first[0].as_py())[:_LONGEST]})" if len(first) else ""
    return [
        f"{len(statuses)} of {len(data)} rows are missing: {_told(counted(statuses))}{said}; "
        "the same command asks again"
    ]


def _told(counts: list[tuple[str, int]]) -> str:
    return "; ".join(f"{n} {status}" for status, n in counts)
