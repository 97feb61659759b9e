-- The token that drives each neuron hardest, with its neighbours in the text, one per sample.
-- A MAP that shares at least max_overlap of its words with a higher-ranking one is a duplicate.
-- reads:  samples
-- writes: maps
-- grain:  one row per (model, layer, neuron, rank)
-- params: neurons          pairs of first and last neuron asked for
--         context_tokens   tokens on each side of the MAT
--         max_overlap      shared words / all words from which two MAPs count as one, 0..1
with cut as (
    select
        model, layer, neuron, rank, tokens, activations, mat_index, max_activation,
        least(mat_index, greatest(text_start, mat_index - $context_tokens))::integer as start,
        least(len(tokens), mat_index + 1 + $context_tokens)::integer as stop
    from samples
    where list_bool_or(list_transform($neurons, lambda pair: neuron between pair[1] and pair[2]))
),
phrases as (
    select
        *,
        array_to_string(tokens[start + 1 : stop], '') as phrase,
        list_distinct(regexp_extract_all(lower(phrase), '\p{L}+')) as spoken
    from cut
),
duplicates as (
    select distinct later.model, later.layer, later.neuron, later.rank
    from phrases as earlier
    join phrases as later
        on earlier.model = later.model
        and earlier.layer = later.layer
        and earlier.neuron = later.neuron
        and earlier.rank < later.rank
    where earlier.phrase = later.phrase
        or len(list_intersect(earlier.spoken, later.spoken))
            >= $max_overlap * greatest(1, len(list_distinct(earlier.spoken || later.spoken)))
)
select
    model, layer, neuron, rank,
    tokens[mat_index + 1] as mat,
    mat_index,
    start,
    tokens[start + 1 : stop] as tokens,
    activations[start + 1 : stop] as activations,
    phrase,
    max_activation,
    case when start > 0 then tokens[start] end as token_before,
    tokens[stop + 1] as token_after,
    duplicates.rank is not null as duplicate
from phrases
left join duplicates using (model, layer, neuron, rank)
order by model, layer, neuron, rank
