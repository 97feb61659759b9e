-- Verified neurons in whose MAPs no word could be replaced, and why: of these only the MAPs themselves were
-- measured, so their averages say nothing of what other words keep.
-- reads:  candidates, maps, words, places
-- writes: unreplaced
-- grain:  one row per (model, layer, sign, neuron) of whose MAPs no word could be replaced
-- note:   select string_agg(format('in {} nothing could be replaced: {}', n, reason), '; ' order by n desc, reason)
--         from (select reason, count(*) as n from unreplaced group by reason)
with counted as (
    select
        model, layer, sign, neuron,
        count(word_index)::integer as n_words,
        (count(*) filter (replaceable))::integer as n_replaceable
    from candidates
    join maps using (model, layer, sign, neuron)
    left join words using (model, layer, sign, neuron, rank)
    where not duplicate
    group by model, layer, sign, neuron
),
replaced as (
    select distinct model, layer, sign, neuron
    from places
    where place > 0
)
select
    model, layer, sign, neuron, n_words, n_replaceable,
    case
        when n_words = 0 then 'its MAPs hold no word'
        when n_replaceable = 0 then 'no word has letters only and tokens of its own'
        else 'no word that has letters only and tokens of its own has a vector'
    end as reason
from counted
anti join replaced using (model, layer, sign, neuron)
order by model, layer, sign, neuron
