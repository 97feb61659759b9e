-- The token that drives each neuron hardest, with its neighbours in the text, one per sample.
-- A MAP that has the MAT of a higher-ranking one and shares at least max_overlap of its words with it
-- is a duplicate; without blanks between words each character counts as one. A sample whose activation at
-- the MAT is no finite number has no peak and is left out.
-- reads:  samples
-- writes: maps
-- grain:  one row per (model, layer, neuron, rank)
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
with cut as (
    select
        model, layer, neuron, rank, mat_index, max_activation,
        least(mat_index, greatest(text_start, mat_index - $context_tokens))::integer as start,
        least(len(tokens), mat_index + 1 + $context_tokens)::integer as stop,
        tokens[start + 1 : stop] as tokens,
        activations[start + 1 : stop] as activations,
        samples.tokens[mat_index + 1] as mat,
        array_to_string(samples.tokens[greatest(1, start - 2) : start], '') as text_before,
        array_to_string(samples.tokens[stop + 1 : stop + 3], '') as text_after
    from samples
    where max_activation is not null
        and list_bool_or(list_transform($neurons, lambda pair: neuron between pair[1] and pair[2]))
),
phrases as materialized (
    select
        *,
        array_to_string(tokens, '') as phrase,
        lower(trim(mat)) as peak,
        list_distinct(regexp_extract_all(
            lower(phrase),
            '[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]|\p{L}+'
        )) as spoken
    from cut
),
same as (
    select later.model, later.layer, later.neuron, later.rank
    from phrases as earlier
    join phrases as later using (model, layer, neuron, phrase)
    where earlier.rank < later.rank
),
nearly as (
    select later.model, later.layer, later.neuron, later.rank
    from phrases as earlier
    join phrases as later using (model, layer, neuron, peak)
    where earlier.rank < later.rank
        and len(list_intersect(earlier.spoken, later.spoken))
            >= $max_overlap * greatest(1, len(list_distinct(earlier.spoken || later.spoken)))
),
duplicates as (
    from same
    union
    from nearly
)
select
    model, layer, neuron, rank, mat, mat_index, start, tokens, activations, phrase, max_activation,
    text_before, text_after,
    duplicates.rank is not null as duplicate
from phrases
left join duplicates using (model, layer, neuron, rank)
order by model, layer, neuron, rank
