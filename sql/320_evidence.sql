-- What speaks for each selected neuron: its MATs and distinct MAPs, and the variants that activate it
-- more than their originals, each with the rank of its MAP. The MAPs that show what it stands for are its own;
-- all are where nothing was found that it stands for.
-- reads:  selected, verdicts, marked, maps, places, retentions
-- writes: evidence
-- grain:  one row per (model, layer, sign, neuron)
with phrases as (
    select
        model, layer, sign, neuron,
        list(mat order by rank) as mats,
        list(mat_word order by rank) as mat_words,
        list(phrase order by rank) as max_phrases,
        list(marked_phrase order by rank) as marked_phrases,
        list(rank order by rank) as ranks,
        list(max_activation order by rank) as activations
    from marked
    group by model, layer, sign, neuron
),
replaced as (
    select
        model, layer, sign, neuron, rank, blank, first_token, end_token,
        unnest(variants) as variant,
        unnest(replacements) as replacement
    from places
),
raised as materialized (
    select
        model, layer, sign, neuron, rank, variant, activation, first_token, end_token,
        blank || replacement as replacement
    from retentions
    join replaced using (model, layer, sign, neuron, rank, variant)
    where raised
),
above as (
    select
        model, layer, sign, neuron,
        list(
            with_text(tokens, start, first_token, end_token, replacement)
            order by activation desc, rank, variant
        ) as raised_phrases,
        list(rank order by activation desc, rank, variant) as raised_ranks
    from raised
    join maps using (model, layer, sign, neuron, rank)
    group by model, layer, sign, neuron
)
select
    model, layer, sign, neuron, selected.kind, mats, mat_words, max_phrases, marked_phrases, phrases.ranks, activations,
    case selected.kind when 'none' then phrases.ranks else verdicts.ranks end as own_ranks,
    coalesce(raised_phrases, []::varchar[]) as raised_phrases,
    coalesce(raised_ranks, []::integer[]) as raised_ranks
from selected
join verdicts using (model, layer, sign, neuron)
join phrases using (model, layer, sign, neuron)
left join above using (model, layer, sign, neuron)
order by model, layer, sign, neuron
