"""Whether windows of text fit a description, judged by a language model or by the description's own words.

In: `windows`, `descriptions`. Out: `judgements`, empty unless descriptions are scored. A call that fails
leaves null with the reason in `status`, never a judgement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Keep, Stage
from pipeline.generation import answers, budget, judgement_calls, lexical_rules, prompts
from pipeline.language.hypernyms import Hypernyms, hypernyms
from pipeline.tables.columns import NEURON_KEY

_SHARD_ROWS = 1024
_TABLE = tables.TABLES["judgements"]
_CALL = pa.schema(
    [
        *(_TABLE.schema.field(name) for name in _TABLE.key),
        pa.field("description", pa.string()),
        pa.field("tokens", pa.list_(pa.list_(pa.string()))),
        pa.field("marked", pa.list_(pa.list_(pa.int32()))),
    ]
)


def _calls(inputs: Inputs, settings: Config) -> pa.Table:
    """A row per call: a description and the windows it is compared with."""
    said = [row for row in inputs["descriptions"].to_pylist() if row["description"] is not None]
    windows = inputs.columns("windows", [*NEURON_KEY, "window", "tokens", "marked"])
    calls = judgement_calls.calls(said, windows, settings)
    calls.sort(key=lambda call: tuple(call[name] for name in _TABLE.key))
    return pa.Table.from_pylist(calls, schema=_CALL)


def _shards(inputs: Inputs, settings: Config) -> Iterator[pa.Table]:
    """Runs of calls."""
    calls = _calls(inputs, settings)
    for start in range(0, len(calls), _SHARD_ROWS):
        yield calls.slice(start, _SHARD_ROWS)


def _lexical(inputs: Inputs, settings: Config) -> Worker:
    """The function from calls to judgements, by the words of lexical descriptions."""
    kinds = hypernyms()
    return answers.Each(_TABLE.schema, lambda call: _counted(call, kinds))


def _asked(inputs: Inputs, settings: Config) -> pa.Table:
    """The calls with a column `key`, that of their prompt."""
    calls = _calls(inputs, settings)
    keys = [answers.key(judgement_calls.prompt(call), settings) for call in calls.to_pylist()]
    return calls.append_column("key", pa.array(keys, pa.string()))


def _paid(inputs: Inputs, settings: Config) -> Worker:
    """The function from calls to judgements by `key`, with a language model."""
    return answers.Each(_TABLE.kept, answers.Paid(settings, judgement_calls.prompt, read))


def _announce(rows: pa.Table, inputs: Inputs, settings: Config) -> None:
    """Announce what the calls take."""
    asked = [judgement_calls.prompt(row) for row in rows.to_pylist()]
    budget.announce("judgements", asked, settings)


def read(call: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The columns that the text of an answer gives."""
    judged = prompts.judgements(text, len(call["tokens"]))
    if judged is None:
        return dict(status="malformed", reason=f"it said '{text}'")
    return dict(answers=judged)


def _counted(call: Mapping[str, Any], kinds: Hypernyms) -> dict[str, Any]:
    """Whether each window fits the rule that a lexical description states."""
    rule = lexical_rules.read(call["description"], kinds)
    marks = call["marked"] if call["method"] == "fuzzing" else [None] * len(call["tokens"])
    fits = [rule.fits(tokens, places) for tokens, places in zip(call["tokens"], marks, strict=True)]
    return dict(answers=fits, status="ok")


LEXICAL = Stage(
    __name__,
    "370",
    "judgements",
    reads=("windows", "descriptions"),
    where={"describer": "lexical"},
    settings=judgement_calls.SETTINGS,
    shards=_shards,
    worker=_lexical,
    note=answers.note,
)
PAID = Stage(
    __name__,
    "370",
    "judgements",
    reads=("windows", "descriptions"),
    where={"describer": "openai"},
    settings=("describer_model", *judgement_calls.SETTINGS),
    uses=answers.USES,
    worker=_paid,
    keep=Keep(answers.ANSWERED_AS, _asked, answers.shards, paid=True, announce=_announce),
    ready=answers.ready,
    note=answers.note,
    warn=answers.warn,
)
