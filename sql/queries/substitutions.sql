-- Which substitutions raised or lowered one neuron most.
select kind, word, replacement, round(retention, 2) as retention, phrase
from substitutions
where (model, layer, sign, neuron) = (
    select (model, layer, sign, neuron) from feature_neurons order by selectivity desc nulls last limit 1
)
order by retention desc, rank, variant
limit 5;
