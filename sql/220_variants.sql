-- What is measured: each distinct MAP of a candidate as it is, with each of its words replaced by
-- each synonym, and with the MAT's word replaced by relatives and by unrelated words too.
-- Each word of a MAP has a block of numbers, one for each neighbour that a word may have. Of its relatives and
-- controls one MAP has as many as the settings say, and the next MAP of the same word those that come after,
-- so that more different words tell what one word's neuron responds to.
-- reads:  candidates, maps, words, synonyms
-- writes: variants
-- grain:  one row per (model, layer, neuron, rank, variant)
-- params: relatives  words of its kind put into the place of the MAT's word of a MAP
--         controls   unrelated words put into that place
with phrases as (
    select model, layer, neuron, rank, tokens, start, (start + len(tokens))::integer as stop
    from maps
    join candidates using (model, layer, neuron)
    where not duplicate
),
neighbours as (
    select
        word,
        list(neighbour order by kind desc, rank) as as_it_is,
        list(upper(neighbour) order by kind desc, rank) as in_capitals,
        list(upper(neighbour[1]) || neighbour[2:] order by kind desc, rank) as capitalised,
        count(*) filter (kind = 'synonym') as n_synonyms,
        count(*) filter (kind = 'relative') as n_relatives,
        count(*) filter (kind = 'control') as n_controls
    from synonyms
    group by word
),
places as (
    select
        model, layer, neuron, rank, word_index, word, blank, first_token, end_token, is_mat, upto_mat,
        start, stop, n_synonyms, n_relatives, n_controls,
        row_number() over (partition by model, layer, neuron, word, is_mat order by rank, word_index) - 1 as turn,
        array_to_string(tokens[1 : first_token - start], '') as before,
        array_to_string(tokens[end_token - start + 1 :], '') as after,
        case
            when length(text) > 1 and text = upper(text) then in_capitals
            when text[1] != lower(text[1]) then capitalised
            else as_it_is
        end as neighbours,
        word_index * (select max(len(as_it_is)) from neighbours) as n_before
    from words
    join neighbours using (word)
    join phrases using (model, layer, neuron, rank)
    where replaceable
),
turns as (
    select
        *,
        n_synonyms + n_relatives as n_related,
        n_synonyms + $relatives * (turn % greatest(1, ceil(n_relatives / $relatives)))::bigint as first_relative,
        n_related + $controls * (turn % greatest(1, ceil(n_controls / $controls)))::bigint as first_control
    from places
),
numbered as (
    select
        *,
        unnest(
            generate_series(1, n_synonyms)
            || case when is_mat
                then generate_series(first_relative + 1, least(first_relative + $relatives, n_related))
                    || generate_series(first_control + 1, least(first_control + $controls, len(neighbours)))
                else [] end
        ) as number
    from turns
),
replaced as (
    select * exclude (neighbours), blank || neighbours[number] as replacement
    from numbered
)
select
    model, layer, neuron, rank,
    (n_before + number)::integer as variant,
    case when number <= n_synonyms then 'synonym' when number <= n_related then 'relative' else 'control' end
        as kind,
    word_index, word, replacement, first_token, end_token,
    start as phrase_start,
    stop as phrase_end,
    before || replacement || after as phrase,
    is_mat, upto_mat
from replaced
union all by name
select
    model, layer, neuron, rank, 0 as variant, 'baseline' as kind,
    start as phrase_start, stop as phrase_end, array_to_string(tokens, '') as phrase
from phrases
order by model, layer, neuron, rank, variant
