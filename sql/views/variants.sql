-- Each text that is measured: a MAP as it is, and with each replacement in the place of one of its words.
-- reads:  places, maps
-- writes: variants
-- grain:  one row per (model, layer, sign, neuron, rank, variant)
with numbered as (
    select
        * exclude (variants, replacements),
        unnest(variants) as variant,
        blank || unnest(replacements) as replacement,
        generate_subscripts(variants, 1) as number
    from places
)
select
    model, layer, sign, neuron, rank, variant,
    kind_of(place, number, n_synonyms, n_relatives) as kind,
    nullif(place - 1, -1) as word_index,
    word, replacement, first_token, end_token, phrase_start, phrase_end,
    case place
        when 0 then array_to_string(tokens, '')
        else with_text(tokens, phrase_start, first_token, end_token, replacement)
    end as phrase,
    is_mat, upto_mat
from numbered
join maps using (model, layer, sign, neuron, rank)
order by model, layer, sign, neuron, rank, variant
