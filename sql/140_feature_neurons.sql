-- The result: each feature neuron with its scores, its description and its phrases.
-- reads:  selected, candidates, averages, evidence, descriptions
-- writes: feature_neurons
-- grain:  one row per (model, layer, neuron)
select
    model, layer, neuron,
    selected.avg_activation, selected.normalised_activation, selected.selectivity,
    candidates.similarity, candidates.mat_similarity, averages.retention, averages.n_lossy,
    descriptions.description, descriptions.describer,
    evidence.mats, evidence.max_phrases, evidence.raised_phrases
from selected
join candidates using (model, layer, neuron)
join averages using (model, layer, neuron)
join evidence using (model, layer, neuron)
join descriptions using (model, layer, neuron)
order by model, layer, neuron
