"""What a run says about a table it made: what was left out and why, and what is suspicious."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import answers, select, synonyms
from pipeline.config import Config

if TYPE_CHECKING:
    from pipeline.run import Tables

_MEDIAN = 0.02  # pages were computed in bfloat16: medians of baselines differ by about 0.5 %
_SINGLE = 0.05  # and single values by up to 3 %

_BASELINES = """
select neuron, rank, activation, max_activation,
    abs(activation - max_activation) / greatest(abs(max_activation), 1e-9) as off
from activations
join samples using (model, layer, neuron, rank)
where variant = 0 and activation is not null
order by off desc, neuron, rank
"""


def note(table: str, tables: Mapping[str, pa.Table]) -> str:
    """What was left out of a table and why, in a few words; empty where there is nothing to say."""
    if table not in _NOTES:
        return ""
    return _NOTES[table](tables[table], tables)


def _maps(data: pa.Table, tables: Tables) -> str:
    flat = tables.column("samples", "max_activation").null_count
    told = f"{_true(data['duplicate'])} near duplicates count once"
    return told + (f"; {flat} samples have no finite peak" if flat else "")


def _words(data: pa.Table, tables: Mapping[str, pa.Table]) -> str:
    return f"{len(data) - _true(data['replaceable'])} cannot be replaced (digits, odd tokens)"


def _vectors(data: pa.Table, tables: Mapping[str, pa.Table]) -> str:
    words, known = (pc.sum(data[column]).as_py() or 0 for column in ("n_words", "n_known"))
    without = data["vector"].null_count
    return f"{words - known:,} of {words:,} words unknown, {without} MAPs without a vector"


def _similarity(data: pa.Table, tables: Mapping[str, pa.Table]) -> str:
    return "; ".join(f"{n} have {why}" for why, n in _counted(data["reason"]) if why)


def _synonyms(data: pa.Table, tables: Mapping[str, pa.Table]) -> str:
    asked = sum(len(shard) for shard in synonyms.shards(tables))
    return f"{asked - len(pc.unique(data['word'])):,} of {asked:,} words have no vector"


def _candidates(data: pa.Table, tables: Mapping[str, pa.Table]) -> str:
    return f"{len(tables['similarity']) - len(data)} below SIMILARITY or without one"


def _selected(data: pa.Table, tables: Mapping[str, pa.Table]) -> str:
    return f"{len(tables['normalised']) - len(data)} below ACTIVATION or SELECTIVITY"


def _status(data: pa.Table, tables: Mapping[str, pa.Table]) -> str:
    return "; ".join(f"{n} {why}" for why, n in _counted(data["status"]) if why != "ok")


def _encodings(data: pa.Table, tables: Mapping[str, pa.Table]) -> str:
    told = "; ".join(f"{n:,} {how}" for how, n in _counted(data["tokens"]))
    lost = _status(data, tables)
    return told + (f"; not measured: {lost}" if lost else "")


def _deviations(data: pa.Table, tables: Mapping[str, pa.Table]) -> str:
    """How far the precision is from float32, relative to each value."""
    if not len(data):
        return ""
    exact = data["exact"].to_numpy()
    off = np.abs(data["activation"].to_numpy() - exact) / np.maximum(np.abs(exact), 1e-9)
    middle, high = np.quantile(off, [0.5, 0.99])
    name = data["precision"][0].as_py()
    return f"{name} differs from float32 by {middle:.2%} in the median, {high:.1%} in 1 of 100"


def _windows(data: pa.Table, tables: Mapping[str, pa.Table]) -> str:
    without = len(tables["evidence"]) - len(pc.unique(data["neuron"]))
    kinds = "; ".join(f"{n:,} {kind}" for kind, n in _counted(data["kind"]))
    return kinds + (f"; {without} neurons have none to be judged by" if len(data) and without else "")


def _scores(data: pa.Table, tables: Mapping[str, pa.Table]) -> str:
    """Mean F1 and balanced accuracy of each method, the control beside it."""
    told = []
    for method in dict.fromkeys(data["method"].to_pylist()):
        own = data.filter(pc.field("method") == method)
        means = {
            control: [pc.mean(part[name]).as_py() or 0.0 for name in ("f1", "balanced_accuracy")]
            for control in ("none", "other")
            if len((part := own.filter(pc.field("control") == control))["f1"].drop_null())
        }
        beside = (
            " ({:.2f}, {:.2f} with another neuron's)".format(*means["other"]) if "other" in means else ""
        )
        if "none" in means:
            told += ["{} F1 {:.2f}, balanced accuracy {:.2f}".format(method, *means["none"]) + beside]
    return "; ".join(told)


def warnings(table: str, data: pa.Table, tables: Mapping[str, pa.Table], config: Config) -> list[str]:
    """What must not be overlooked about a table, a line each; usually nothing."""
    if table == "pages":
        return _pages_left_out(data)
    if table == "encodings":
        return _not_exact(data, config)
    if table in ("descriptions", "group_descriptions", "judgements"):
        return [] if config.dry_run else _not_answered(table, data)
    return _baselines(data, tables, config) if table == "activations" and len(data) else []


def _pages_left_out(data: pa.Table) -> list[str]:
    n_missing = data["status"].to_pylist().count("missing")
    rows = [row for row in data.to_pylist() if row["status"] not in ("ok", "missing")]
    stale = data.filter((pc.field("status") == "ok") & ~pc.field("reason").is_null())["reason"].to_pylist()
    told = [f"{len(stale)} pages are as they were before: {stale[0]}"] if stale else []
    if n_missing:
        told.append(
            f"{n_missing} of {len(data)} pages do not exist, though the site's index counts their neurons; "
            "REFRESH=1 (--refresh) asks for them again"
        )
    if not rows:
        return told
    worst = "; ".join(f"neuron {row['neuron']}: {row['reason']}" for row in rows[:3])
    return [
        *told,
        f"{len(rows)} of {len(data)} pages could not be read ({worst}): their neurons are left out, and "
        "the layer's maximum is that of the others; the same command tries them again",
    ]


def _not_exact(data: pa.Table, config: Config) -> list[str]:
    """Whether the tokenised data set is another one than the pages were made from."""
    texts = data.filter(pc.field("variant") == 0)
    other = len(texts) - texts["tokens"].to_pylist().count("exact")
    if not config.exact_tokens or other <= len(texts) / 2:
        return []
    return [
        f"EXACT_TOKENS: {other} of {len(texts)} texts read otherwise in {config.exact_tokens}, or are not "
        "there: is it the data set that the pages' Data Index counts in?"
    ]


def _not_answered(table: str, data: pa.Table) -> list[str]:
    """How many answers are missing, and why."""
    lost = data.filter(pc.invert(pc.is_in(data["status"], pa.array(answers.KNOWN))))
    if not len(lost):
        return []
    why = "; ".join(f"{n} {status}" for status, n in _counted(lost["status"]))
    first = lost["reason"].drop_null()
    said = f" ({first[0].as_py()})" if len(first) else ""
    return [f"{len(lost)} of {len(data)} {table} are missing: {why}{said}; the same command asks again"]


def _baselines(data: pa.Table, tables: Mapping[str, pa.Table], config: Config) -> list[str]:
    """Whether baselines measured here differ from the source's.

    It is how a wrong model, a wrong hook or misread pages are noticed.
    """
    with select.connect() as con:
        con.register("activations", data)
        con.register(
            "samples",
            tables["samples"].select(["model", "layer", "neuron", "rank", "max_activation"]),
        )
        rows = con.sql(_BASELINES).fetchall()
    if not rows:
        return []
    median = rows[len(rows) // 2][-1]
    far = [row for row in rows if row[-1] > _SINGLE]
    if median <= _MEDIAN and len(far) <= len(rows) / 100:
        return []
    worst = "; ".join(f"neuron {n} text {r}: {got:.3g} for {want:.3g}" for n, r, got, want, _ in far[:3])
    return [
        f"activations measured here differ from the source's by {median:.1%} in the median, and in "
        f"{len(far)} of {len(rows)} texts by more than {_SINGLE:.0%} (model {config.model_name}, layer "
        f"{config.layer}; worst: {worst}): is it the right model, layer and hook?"
    ]


def _true(column: pa.ChunkedArray) -> int:
    return pc.sum(column).as_py() or 0


def _counted(column: pa.ChunkedArray) -> list[tuple[str | None, int]]:
    return Counter(column.to_pylist()).most_common()


_NOTES = {
    "pages": _status,
    "maps": _maps,
    "words": _words,
    "vectors": _vectors,
    "similarity": _similarity,
    "candidates": _candidates,
    "synonyms": _synonyms,
    "encodings": _encodings,
    "activations": _status,
    "deviations": _deviations,
    "selected": _selected,
    "windows": _windows,
    "descriptions": _status,
    "group_descriptions": _status,
    "judgements": _status,
    "scores": _scores,
}
