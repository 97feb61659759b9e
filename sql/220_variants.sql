-- What is measured: each distinct MAP of a candidate as it is, with each of its words replaced by
-- each neighbour, and with the MAT's word replaced by unrelated ones.
-- Each word of a MAP has a block of numbers, one for each neighbour that a word may have.
-- reads:  candidates, maps, words, synonyms
-- writes: variants
-- grain:  one row per (model, layer, neuron, rank, variant)
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
        count(*) as n_neighbours
    from synonyms
    group by word
),
places as (
    select
        model, layer, neuron, rank, word_index, word, blank, first_token, end_token, is_mat, upto_mat,
        start, stop, n_synonyms,
        array_to_string(tokens[1 : first_token - start], '') as before,
        array_to_string(tokens[end_token - start + 1 :], '') as after,
        (
            case
                when length(text) > 1 and text = upper(text) then in_capitals
                when text[1] != lower(text[1]) then capitalised
                else as_it_is
            end
        )[: case when is_mat then n_neighbours else n_synonyms end] as neighbours,
        word_index * (select max(n_neighbours) from neighbours) as n_before
    from words
    join neighbours using (word)
    join phrases using (model, layer, neuron, rank)
    where replaceable
),
replaced as (
    select
        * exclude (neighbours),
        blank || unnest(neighbours) as replacement,
        generate_subscripts(neighbours, 1) as number
    from places
)
select
    model, layer, neuron, rank,
    (n_before + number)::integer as variant,
    case when number <= n_synonyms then 'synonym' else 'control' end as kind,
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
