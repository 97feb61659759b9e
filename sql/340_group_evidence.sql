-- What speaks for each clean group of MAPs: of neurons that stand for several things, and of any other with
-- several clean groups where those are to be described too.
-- reads:  groups, selected, marked
-- writes: group_evidence
-- grain:  one row per (model, layer, sign, neuron, number)
-- params: describe_groups   whether they are
with several as (
    select model, layer, sign, neuron, coalesce(any_value(kind) = 'several', false) as is_several
    from groups
    left join selected using (model, layer, sign, neuron)
    where clean
    group by model, layer, sign, neuron
    having count(*) > 1
),
members as (
    select
        model, layer, sign, neuron, number, case "by" when 'words' then 'set' else 'phrase' end as kind,
        unnest(ranks) as rank
    from groups
    join several using (model, layer, sign, neuron)
    where clean and (is_several or $describe_groups)
)
select
    model, layer, sign, neuron, number, any_value(kind) as kind,
    list(mat order by rank) as mats,
    list(mat_word order by rank) as mat_words,
    list(phrase order by rank) as max_phrases,
    list(marked_phrase order by rank) as marked_phrases,
    list(rank order by rank) as ranks,
    list(max_activation order by rank) as activations,
    list(rank order by rank) as own_ranks
from members
join marked using (model, layer, sign, neuron, rank)
group by model, layer, sign, neuron, number
order by model, layer, sign, neuron, number
