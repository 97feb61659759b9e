-- The result: each feature neuron with its scores, its description and its phrases.
-- reads:  selected, candidates, averages, evidence, descriptions, scores
-- writes: feature_neurons
-- grain:  one row per (model, layer, neuron)
with scored as (
    select
        model, layer, neuron,
        max(f1) filter (method = 'detection') as detection_f1,
        max(f1) filter (method = 'fuzzing') as fuzzing_f1
    from scores
    where control = 'none'
    group by model, layer, neuron
)
select
    model, layer, neuron,
    selected.avg_activation, selected.normalised_activation, selected.selectivity,
    candidates.similarity, candidates.mat_similarity, averages.retention, averages.n_lossy,
    descriptions.description, descriptions.describer, scored.detection_f1, scored.fuzzing_f1,
    evidence.mats, evidence.max_phrases, evidence.raised_phrases
from selected
join candidates using (model, layer, neuron)
join averages using (model, layer, neuron)
join evidence using (model, layer, neuron)
join descriptions using (model, layer, neuron)
left join scored using (model, layer, neuron)
order by model, layer, neuron
