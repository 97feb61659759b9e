-- Which substitutions raised or lowered one neuron most.
select kind, word, trim(replacement) as replacement, round(retention, 2) as retention, phrase
from retentions
join variants using (model, layer, neuron, rank, variant, kind)
where neuron = (select neuron from feature_neurons order by selectivity desc nulls last limit 1)
    and kind != 'baseline'
order by retention desc nulls last, rank, variant
limit 5;
