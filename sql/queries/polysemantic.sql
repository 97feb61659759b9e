-- Neurons that are not candidates because their MAPs are of several kinds, each with MATs of its own.
select neuron, round(similarity, 2) as similarity, n_grouped || ' of ' || n_distinct as maps,
    list_transform(groups, lambda g: g.mats[:3]) as mats
from polysemantic_neurons()
where similarity < 0.6 and mats_apart
limit 5;
