-- What speaks for each clean group of MAPs of a neuron that has several, where groups are to be described.
-- reads:  groups, marked
-- writes: group_evidence
-- grain:  one row per (model, layer, neuron, number)
-- params: describe_groups   whether they are
with several as (
    select model, layer, neuron
    from groups
    where clean and $describe_groups
    group by model, layer, neuron
    having count(*) > 1
),
members as (
    select model, layer, neuron, number, unnest(ranks) as rank
    from groups
    join several using (model, layer, neuron)
    where clean
)
select
    model, layer, neuron, number,
    list(mat order by rank) as mats,
    list(mat_word order by rank) as mat_words,
    list(phrase order by rank) as max_phrases,
    list(marked_phrase order by rank) as marked_phrases,
    list(rank order by rank) as ranks
from members
join marked using (model, layer, neuron, rank)
group by model, layer, neuron, number
order by model, layer, neuron, number
