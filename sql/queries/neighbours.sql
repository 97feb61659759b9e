-- The neurons whose phrases are most like those of the most selective one.
select neuron, round(similarity, 2) as similarity, description
from neighbours_of((select neuron from feature_neurons order by selectivity desc nulls last limit 1), most := 5);
