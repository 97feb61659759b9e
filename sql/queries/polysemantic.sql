-- Neurons whose MAPs are of several kinds, each with MATs of its own.
select neuron, round(coverage, 2) as coverage, [g.description for g in groups] as things
from polysemantic_neurons()
where mats_apart
order by all
limit 5;
