"""A description of each selected neuron, and where DESCRIBE_GROUPS asks, of each clean group of its MAPs.

In: `evidence` and `windows` (to announce what scoring will take), or `group_evidence`; `vocabulary` without
a language model. Out: `descriptions`, `group_descriptions`. A describer that fails leaves null with the
reason in `status`, never a text; the lexical one never fails. A group is described as if its neuron had no
other MAPs; nothing of it is held out, since groups are not scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pyarrow as pa

from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Keep, Stage, runs_of
from pipeline.generation import answers, budget, evidence, judgement_calls, lexical, prompts
from pipeline.generation.prompts import Prompt
from pipeline.language.hypernyms import hypernyms
from pipeline.language.word_vectors import Vectors
from pipeline.tables import TABLES
from pipeline.tables.columns import NEURON_KEY

_LONGEST = 300  # characters of a description
_LIKE = "a description of about as many words as they have"  # stands for one that is not made yet


def prompt(row: Mapping[str, Any], *, scored: bool) -> Prompt:
    """The prompt for a row of evidence."""
    return prompts.describe(evidence.shown(row, scored=scored))


def read(row: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The columns that the text of an answer gives."""
    description = prompts.description(text)
    if description is None:
        return dict(description=None, status="no_feature")
    if not description:
        return dict(status="empty", reason=f"it said '{text}'")
    if len(description) > _LONGEST:
        return dict(status="malformed", reason=f"it said {len(description):,} letters: '{text}'")
    return dict(description=description, status="ok")


def _lexical(table: str, scored: bool, inputs: Inputs) -> Worker:
    """The function from evidence to rows of `table` without a language model."""
    vectors, kinds = Vectors.from_table(inputs["vocabulary"]), hypernyms()

    def answer(row: Mapping[str, Any]) -> dict[str, Any]:
        shown = evidence.shown(row, scored=scored)
        return dict(description=lexical.describe(shown, vectors, kinds), status="ok")

    return answers.Each(TABLES[table].schema, answer, describer="lexical")


def _asked(rows: pa.Table, scored: bool, settings: Config) -> pa.Table:
    """Evidence with a column `key`, that of its prompt."""
    keys = [answers.key(prompt(row, scored=scored), settings) for row in rows.to_pylist()]
    return rows.append_column("key", pa.array(keys, pa.string()))


def _paid(table: str, scored: bool, settings: Config) -> Worker:
    """The function from evidence to rows of `table` by `key`, with a language model."""
    ask = answers.Paid(settings, partial(prompt, scored=scored), read)
    return answers.Each(TABLES[table].kept, ask, describer=settings.describer)


def _announce(rows: pa.Table, inputs: Inputs, settings: Config) -> None:
    """Announce what describing these neurons takes, and what scoring will take at most."""
    asked = [prompt(row, scored=settings.score) for row in rows.to_pylist()]
    budget.announce("descriptions", asked, settings)
    if settings.score:
        neurons = inputs["evidence"].select(list(NEURON_KEY)).to_pylist()
        said = [row | dict(description=f"{_LIKE} {i}") for i, row in enumerate(neurons)]
        calls = judgement_calls.calls(said, inputs["windows"], settings)
        asked = [judgement_calls.prompt(call) for call in calls]
        budget.announce("then judgements, at most", asked, settings)


def _announce_groups(rows: pa.Table, inputs: Inputs, settings: Config) -> None:
    """Announce what describing these groups takes."""
    asked = [prompt(row, scored=False) for row in rows.to_pylist()]
    budget.announce("group_descriptions", asked, settings)


LEXICAL = Stage(
    __name__,
    "350",
    "descriptions",
    reads=("evidence", "vocabulary"),
    where={"describer": "lexical"},
    settings=("score",),
    shards=runs_of("evidence", 64),
    worker=lambda inputs, settings: _lexical("descriptions", settings.score, inputs),
    note=answers.note,
)
PAID = Stage(
    __name__,
    "350",
    "descriptions",
    reads=("evidence", "windows"),
    where={"describer": "openai"},
    settings=("describer_model", "score"),
    uses=(*answers.USES, *judgement_calls.SETTINGS),
    worker=lambda inputs, settings: _paid("descriptions", settings.score, settings),
    keep=Keep(
        answers.ANSWERED_AS,
        lambda inputs, settings: _asked(inputs["evidence"], settings.score, settings),
        answers.shards,
        paid=True,
        announce=_announce,
    ),
    ready=answers.ready,
    note=answers.note,
    warn=answers.warn,
)
LEXICAL_GROUPS = Stage(
    __name__,
    "360",
    "group_descriptions",
    reads=("group_evidence", "vocabulary"),
    where={"describer": "lexical"},
    shards=runs_of("group_evidence", 64),
    worker=lambda inputs, settings: _lexical("group_descriptions", False, inputs),
    note=answers.note,
)
PAID_GROUPS = Stage(
    __name__,
    "360",
    "group_descriptions",
    reads=("group_evidence",),
    where={"describer": "openai"},
    settings=("describer_model",),
    uses=answers.USES,
    worker=lambda inputs, settings: _paid("group_descriptions", False, settings),
    keep=Keep(
        answers.ANSWERED_AS,
        lambda inputs, settings: _asked(inputs["group_evidence"], False, settings),
        answers.shards,
        paid=True,
        announce=_announce_groups,
    ),
    ready=answers.ready,
    note=answers.note,
    warn=answers.warn,
)
