-- Neurons that are no candidates because they stand for two things: their MAPs fall into clean groups.
select neuron, round(similarity, 2) as similarity, n_grouped || ' of ' || n_distinct as maps,
    list_transform(groups, lambda g: g.mats[:3]) as mats
from polysemantic_neurons()
where similarity < 0.5
limit 5;
