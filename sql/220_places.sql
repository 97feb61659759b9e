-- What is measured: each distinct MAP of a candidate as it is, which is place 0, and each of its words that
-- has neighbours, with what is put there: each synonym, and in the place of the MAT's word relatives and
-- unrelated words too, in the word's casing.
-- Each word of a MAP has a block of numbers, one for each neighbour that a word may have. Of its relatives and
-- controls one MAP has as many as the settings say, and the next MAP of the same word those that come after,
-- so that more different words tell what one word's neuron responds to.
-- reads:  candidates, maps, words, synonyms
-- writes: places
-- grain:  one row per (model, layer, sign, neuron, rank, place)
-- params: relatives  words of its kind put into the place of the MAT's word of a MAP
--         controls   unrelated words put into that place
-- note:   select format('{:,} variants', coalesce(sum(len(variants)), 0)::bigint) from places
with phrases as (
    select model, layer, sign, neuron, rank, start as phrase_start, (start + len(tokens))::integer as phrase_end
    from maps
    join candidates using (model, layer, sign, neuron)
    where not duplicate
),
neighbours as (
    select
        word,
        list(neighbour order by kind desc, rank) as neighbours,
        (count(*) filter (kind = 'synonym'))::integer as n_synonyms,
        (count(*) filter (kind != 'control'))::integer as n_related,
        count(*) as n_neighbours
    from synonyms
    group by word
),
turns as (
    select
        model, layer, sign, neuron, rank, word_index,
        row_number() over (partition by model, layer, sign, neuron, word order by rank, word_index) - 1 as turn
    from words
    semi join neighbours using (word)
    semi join phrases using (model, layer, sign, neuron, rank)
    where replaceable and is_mat
),
turned as (
    select
        model, layer, sign, neuron, rank, word_index, word, text, blank, first_token, end_token,
        phrase_start, phrase_end, is_mat, upto_mat, neighbours, n_synonyms, n_related, n_neighbours,
        n_synonyms + $relatives * (turn % greatest(1, ceil((n_related - n_synonyms) / $relatives)))::bigint
            as first_relative,
        n_related + $controls * (turn % greatest(1, ceil((n_neighbours - n_related) / $controls)))::bigint
            as first_control
    from words
    join neighbours using (word)
    join phrases using (model, layer, sign, neuron, rank)
    left join turns using (model, layer, sign, neuron, rank, word_index)
    where replaceable
),
numbered as (
    select
        *,
        case when is_mat then generate_series(first_relative + 1, least(first_relative + $relatives, n_related))
            else [] end as relatives,
        case when is_mat then generate_series(first_control + 1, least(first_control + $controls, n_neighbours))
            else [] end as controls,
        generate_series(1, n_synonyms) || relatives || controls as numbers
    from turned
),
replaced as (
    select
        *,
        list_select(neighbours, numbers) as chosen,
        word_index * (select max(n_neighbours) from neighbours) as n_before
    from numbered
)
select
    model, layer, sign, neuron, rank, word_index + 1 as place, word, blank, first_token, end_token,
    phrase_start, phrase_end, is_mat, upto_mat,
    list_transform(numbers, lambda number: (n_before + number)::integer) as variants,
    case
        when length(text) > 1 and text = upper(text) then list_transform(chosen, lambda each: upper(each))
        when text[1] != lower(text[1]) then list_transform(chosen, lambda each: upper(each[1]) || each[2:])
        else chosen
    end as replacements,
    n_synonyms,
    len(relatives)::integer as n_relatives
from replaced
union all by name
select
    model, layer, sign, neuron, rank, 0 as place, phrase_start, phrase_end,
    [0] as variants, [null::varchar] as replacements, 0 as n_synonyms, 0 as n_relatives
from phrases
order by model, layer, sign, neuron, rank, place
