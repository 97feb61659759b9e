-- The groups of each neuron's MAPs, with their descriptions where groups were described.
-- reads:  groups, group_descriptions
-- writes: described_groups
-- grain:  one row per group of a neuron's distinct MAPs, with its description if there is one
select
    model, layer, sign, neuron, number, "by", n_maps, score, p, groups.coverage, clean, ranks, mats, description
from groups
left join group_descriptions using (model, layer, sign, neuron, number)
order by model, layer, sign, neuron, number
