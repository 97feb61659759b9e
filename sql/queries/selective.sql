-- The most selective feature neurons.
select neuron, round(similarity, 2) as similarity, round(selectivity, 2) as selectivity, description
from feature_neurons
order by feature_neurons.selectivity desc nulls last, neuron
limit 5;
