"""Invented results of whole layers, as large as is asked for: a store and a database that hold them.

A tenth of the neurons are candidates, more in later layers, and half of these feature neurons; each neuron
has MAPs of 11 tokens, each candidate variants and judged windows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline.config import Config
from pipeline.engine.made import Tables
from pipeline.results import database
from pipeline.run import part_of
from pipeline.tables import TABLES, empty, query

MODEL = "solu-8l-pile"
_FACTS = dict(created="2026-01-01T00:00:00", warnings=[], made_of={})
_WORDS = re.findall(
    r"\S+",
    """the of and a river water stone bridge winter summer spring autumn red green blue yellow king queen
    bishop castle Paris Berlin Madrid London one two three seven hundred paper ink letter word sentence
    cat horse sparrow eagle whale maple oak willow he she they it was were had been walked running -ing
    <b>bold</b> "quoted" & // {{ braces }} naïve 北京 Москва""",
)
_LISTED = "[" + ", ".join("'" + word.replace("'", "''") + "'" for word in _WORDS) + "]"
_KEYS = "model, layer, sign, neuron"


@dataclass(frozen=True)
class Size:
    """How much is invented: the share of candidates, MAPs of a neuron, variants of a MAP; and how many
    neurons each layer has less than the one before."""

    layers: int
    neurons: int
    share: float = 0.1
    maps: int = 20
    variants: int = 55
    fewer: int = 0

    @property
    def n_neurons(self) -> int:
        """Neurons in all layers."""
        return sum(self.neurons - self.fewer * layer for layer in range(self.layers))


_NEURONS = f"""
create table neurons as
with drawn as (
    select
        '{MODEL}' as model, (n // $neurons)::integer as layer, 'positive' as sign,
        (n % $neurons)::integer as neuron, n,
        draw(n, 1) as u, draw(n, 2) as v, draw(n, 3) as w,
        $share * (0.5 + (n // $neurons + 0.5) / $layers) as border
    from range($layers * $neurons) as each(n)
    where n % $neurons < $neurons - $fewer * (n // $neurons)
)
select
    *, u < border as is_candidate, u < border / 2 as is_found,
    case
        when u < border / 2 then power(10, -1.4 - 5 * v)
        when u < border then 0.051 + 0.14 * v
        else 0.21 + 0.79 * v
    end as q,
    ['set', 'word', 'token', 'spelling', 'phrase', 'several'][1 + (n * 7 + layer) % 6] as thing
from drawn
"""
_MAPS = f"""
select
    {_KEYS}, rank::integer as rank, said(n, rank, 5) as mat,
    50::integer as mat_index, 45::integer as start,
    list_transform(range(11), lambda i: said(n, rank, i)) as tokens,
    list_transform(
        range(11), lambda i: case when i = 5 then 3 - rank / 20 else 1.2 * draw(n + i, rank) - 0.6 end
    )::float[] as activations,
    array_to_string(tokens, '') as phrase, (3 - rank / 20)::float as max_activation,
    ' before it' as text_before, ' after it' as text_after, rank % 9 = 8 as duplicate
from neurons, range($maps) as each(rank)
order by {_KEYS}, rank
"""
_VARIANTS = f"""
with each as (
    select
        {_KEYS}, rank::integer as rank, variant::integer as variant, n,
        case when variant = 0 then 'baseline' when variant % 3 = 0 then 'control' else 'synonym' end
            as kind,
        (3 - rank / 20)::float as baseline, draw(n * 64 + variant, rank) * 1.1 as retention
    from neurons, range($maps) as ranks(rank), range($variants + 1) as variants(variant)
    where is_candidate
)
"""
_ROWS = {
    "maps": _MAPS,
    "similarity": f"""
        select {_KEYS}, $maps::integer as n_maps, $maps::integer as n_distinct, w - 0.1 as similarity,
            w as mat_similarity, null as reason
        from neurons order by {_KEYS}
    """,
    "chances": f"""
        select {_KEYS}, 'words' as test, 'set' as kind, q as p, q as weighed_p, w as coverage,
            [0, 1]::integer[] as ranks, 0::integer as n_groups, true as is_evidence
        from neurons order by {_KEYS}
    """,
    "candidates": f"""
        select {_KEYS}, w as similarity, w as mat_similarity, q as p, q, 'chance' as way
        from neurons where is_candidate order by {_KEYS}
    """,
    "places": f"""{_VARIANTS}
        select {_KEYS}, rank, variant as place, 'word' as word, ' ' as blank, 48::integer as first_token,
            49::integer as end_token, 45::integer as phrase_start, 56::integer as phrase_end,
            variant < 9 as is_mat, variant < 30 as upto_mat, [variant]::integer[] as variants,
            [case when variant > 0 then 'other' || variant end] as replacements,
            (kind = 'synonym')::integer as n_synonyms, 0::integer as n_relatives
        from each order by {_KEYS}, rank, place
    """,
    "retentions": f"""{_VARIANTS}
        select {_KEYS}, rank, variant, kind, variant < 9 as is_mat, variant < 30 as upto_mat,
            (retention * baseline)::float as activation, baseline, retention, retention > 1 as raised,
            'exact' as tokens
        from each order by {_KEYS}, rank, variant
    """,
    "verdicts": f"""
        select {_KEYS}, case when is_found then thing else 'none' end as kind, q / 4 as p, q,
            case when q < 0.9 then 0.3 + 0.7 * w end as coverage,
            case when q < 0.9 then thing else 'none' end as likely_kind, q / 3 as p_words, null as p_group,
            q / 2 as p_phrases, q / 4 as p_token, null as p_spelling, null as p_substitution,
            [0, 2, 5]::integer[] as ranks
        from neurons order by {_KEYS}
    """,
    "normalised": f"""
        select {_KEYS}, 3 * v as avg_activation, v as normalised_activation,
            case when n % 5 > 0 then w - v * 0.3 end as selectivity
        from neurons where is_candidate order by {_KEYS}
    """,
    "groups": f"""
        select {_KEYS}, number::integer as number, 'words' as "by", 5::integer as n_maps,
            5::integer as n_units,
            4.5 as score, q as p, 0.4 as coverage, true as clean,
            [2 * number, 2 * number + 1]::integer[] as ranks, [said(n, 0, 5), said(n, 1, 5)] as mats
        from neurons, range(2) as each(number) where is_candidate order by {_KEYS}, number
    """,
    "selected": f"""
        select {_KEYS}, avg_activation, normalised_activation, selectivity, kind, p, q, coverage
        from verdicts join normalised using ({_KEYS}) where kind != 'none' order by {_KEYS}
    """,
    "descriptions": f"""
        select {_KEYS}, 'lexical' as describer, 'words such as ' || said(n, 0, 5) as description,
            'ok' as status
        from neurons where is_found order by {_KEYS}
    """,
    "feature_neurons": f"""
        select {_KEYS}, kind, p, q, coverage, avg_activation, normalised_activation, selectivity,
            similarity, mat_similarity, 0.7 as retention, 0::integer as n_lossy, description,
            0.5 as description_coverage, describer, 0.8 as detection_f1, null as fuzzing_f1,
            [mat] as mats, max_phrases, max_phrases[:3] as raised_phrases
        from selected
        join descriptions using ({_KEYS})
        join similarity using ({_KEYS})
        join (
            select {_KEYS}, any_value(mat) as mat, list(phrase order by rank) as max_phrases
            from maps group by {_KEYS}
        ) using ({_KEYS})
        order by {_KEYS}
    """,
    "windows": f"""
        select {_KEYS}, w::integer as "window",
            case when w % 2 = 0 then 'activating' else 'other' end as kind,
            neuron as from_neuron, 0::integer as from_rank, 0::integer as start,
            list_transform(range(32), lambda i: said(n, w, i)) as tokens,
            list_transform(range(32), lambda i: (1.4 * draw(n + i, w) - 0.7)::float) as activations,
            0.7::float as activation, [5]::integer[] as marked
        from (select {_KEYS}, n from neurons where is_found), range(10) as each(w) order by {_KEYS}, w
    """,
}


def make(folder: Path, size: Size) -> Config:
    """Write the tables and the database into a folder; the config that they are the results of."""
    config = Config(source="scan", data=str(folder))
    tables = Tables([part_of(config)])
    tables.store.prepare()
    given = dict(neurons=size.neurons, layers=size.layers, share=size.share, fewer=size.fewer)
    with query.connect() as con:
        con.execute("create macro draw(a, b) as (hash(a, b) % 1000003) / 1000003.0")
        con.execute(
            "create macro said(n, rank, i) as "
            f"' ' || {_LISTED}[(1 + hash(n, rank, i) % {len(_WORDS)})::bigint]"
        )
        con.execute(_NEURONS, given)
        for name, key in tables.parts[0].key_of.items():
            rows = _rows(con, name, size) if name in _ROWS else empty(name)
            tables.store.write(name, key, rows, _FACTS)
            if name in _ROWS:
                query.parquet(con, *tables.files(name)).create_view(name)
    database.build(config, tables)
    return config


def _rows(con, name: str, size: Size) -> pa.Table:
    """The rows of a table, of which columns that are not invented are null."""
    text = _ROWS[name]
    given = {key: value for key, value in vars(size).items() if f"${key}" in text}
    found = con.sql(text, params=given).to_arrow_table()
    schema = TABLES[name].schema
    columns = [
        found[f.name].cast(f.type) if f.name in found.column_names else pa.nulls(len(found), f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
