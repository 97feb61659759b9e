-- The token that drives each neuron hardest, with its neighbours in the text, one per sample.
-- A MAP that has the MAT of a higher-ranking one and shares at least max_overlap of its words with it
-- is a duplicate; without blanks between words each character counts as one. A sample whose activation at
-- the MAT is no finite number has no peak and is left out.
-- reads:  samples
-- writes: maps
-- grain:  one row per (model, layer, sign, neuron, rank)
-- params: neurons          pairs of first and last neuron asked for
--         context_tokens   tokens on each side of the MAT
--         max_overlap      shared words / all words from which two MAPs count as one, 0..1
-- check:  select format(
--             'NEURONS asks for neuron {}; layer {} of {} has {} neurons, 0 to {}',
--             last, layer, model, n_neurons, n_neurons - 1
--         )
--         from (select max(pair[2]) as last from (select unnest($neurons) as pair))
--         join (
--             select any_value(model) as model, any_value(layer) as layer, max(neuron) + 1 as n_neurons
--             from samples
--             where source = 'scan'
--         ) on last between n_neurons and 2147483646
-- note:   select format('{} near duplicates count once', count(*) filter (duplicate)) || (
--             select case when count(*) > 0
--                 then format('; {} samples have no finite peak', count(*)) else '' end
--             from samples
--             where max_activation is null
--         )
--         from maps
with spans as (
    select
        *,
        least(mat_index, greatest(text_start, mat_index - $context_tokens))::integer as start,
        least(len(tokens), mat_index + 1 + $context_tokens)::integer as stop
    from samples
    where max_activation is not null
        and list_bool_or(list_transform($neurons, lambda pair: neuron between pair[1] and pair[2]))
),
cut as (
    select  -- what is needed of a long text, by list_select: a slice copies the whole of it
        model, layer, sign, neuron, rank, mat_index, max_activation, start, stop,
        greatest(1, start - 2) as place,
        list_select(tokens, generate_series(place, least(len(tokens), stop + 3))) as around,
        list_select(activations, generate_series(start + 1, stop)) as activations
    from spans
),
phrases as materialized (
    select
        model, layer, sign, neuron, rank, mat_index, max_activation, start, activations,
        around[start + 2 - place : stop + 1 - place] as tokens,
        around[mat_index + 2 - place] as mat,
        array_to_string(around[1 : start + 1 - place], '') as text_before,
        array_to_string(around[stop + 2 - place :], '') as text_after,
        array_to_string(tokens, '') as phrase,
        lower(trim(mat)) as peak,
        list_distinct(regexp_extract_all(
            lower(phrase),
            '[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]|\p{L}+'
        )) as spoken
    from cut
),
same as (
    select later.model, later.layer, later.sign, later.neuron, later.rank
    from phrases as earlier
    join phrases as later using (model, layer, sign, neuron, phrase)
    where earlier.rank < later.rank
),
alike as materialized (
    select
        later.model, later.layer, later.sign, later.neuron, later.rank,
        len(earlier.spoken) + len(later.spoken) as n_spoken,
        len(list_intersect(earlier.spoken, later.spoken)) as n_shared
    from phrases as earlier
    join phrases as later using (model, layer, sign, neuron, peak)
    where earlier.rank < later.rank
),
nearly as (
    select model, layer, sign, neuron, rank
    from alike
    where n_shared >= $max_overlap * greatest(1, n_spoken - n_shared)
),
duplicates as (
    from same
    union
    from nearly
)
select
    model, layer, sign, neuron, rank, mat, mat_index, start, tokens, activations, phrase, max_activation,
    text_before, text_after,
    duplicates.rank is not null as duplicate
from phrases
left join duplicates using (model, layer, sign, neuron, rank)
order by model, layer, sign, neuron, rank
