-- How far each neuron came, with its scores and its description if it has one.
-- reads:  similarity, candidates, normalised, verdicts, selected, descriptions, feature_neurons, groups, pages
-- writes: overview
-- grain:  one row per (model, layer, sign, neuron) looked at: how far it came and why
with clean_groups as (
    select model, layer, sign, neuron, count(*)::integer as n_clean_groups
    from groups
    where clean
    group by model, layer, sign, neuron
)
select
    model, layer, sign, neuron,
    verdicts.kind, verdicts.likely_kind, verdicts.p, verdicts.q, verdicts.coverage,
    similarity.similarity, similarity.reason,
    normalised.avg_activation, normalised.normalised_activation, normalised.selectivity,
    candidates.neuron is not null as is_candidate,
    selected.neuron is not null as is_selected,
    feature_neurons.description, feature_neurons.description_coverage, descriptions.status,
    feature_neurons.detection_f1, feature_neurons.fuzzing_f1, feature_neurons.max_phrases,
    coalesce(n_clean_groups, 0) as n_clean_groups,
    pages.address
from similarity
left join candidates using (model, layer, sign, neuron)
left join verdicts using (model, layer, sign, neuron)
left join normalised using (model, layer, sign, neuron)
left join selected using (model, layer, sign, neuron)
left join descriptions using (model, layer, sign, neuron)
left join feature_neurons using (model, layer, sign, neuron)
left join clean_groups using (model, layer, sign, neuron)
left join pages using (model, layer, sign, neuron)
order by model, layer, sign, neuron
