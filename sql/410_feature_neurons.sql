-- The result: each feature neuron with its scores, its description and its phrases.
-- Of a neuron that stands for several things each is described.
-- reads:  selected, candidates, averages, evidence, descriptions, covered, group_descriptions, scores
-- writes: feature_neurons
-- grain:  one row per (model, layer, sign, neuron)
with scored as (
    select
        model, layer, sign, neuron,
        max(f1) filter (method = 'detection') as detection_f1,
        max(f1) filter (method = 'fuzzing') as fuzzing_f1
    from scores
    where control = 'none'
    group by model, layer, sign, neuron
),
several as (
    select
        model, layer, sign, neuron,
        case when count(description) > 0 then
            count(*) || ' things: ' || string_agg(coalesce(description, '-'), '; ' order by number)
        end as description
    from group_descriptions
    group by model, layer, sign, neuron
)
select
    model, layer, sign, neuron,
    selected.kind, selected.p, selected.q, selected.coverage,
    selected.avg_activation, selected.normalised_activation, selected.selectivity,
    candidates.similarity, candidates.mat_similarity, averages.retention, averages.n_lossy,
    case when selected.kind = 'several' then coalesce(several.description, descriptions.description)
        else descriptions.description end as description,
    case when selected.kind = 'several' then selected.coverage else covered.coverage end
        as description_coverage,
    descriptions.describer, scored.detection_f1, scored.fuzzing_f1,
    evidence.mats, evidence.max_phrases, evidence.raised_phrases
from selected
join candidates using (model, layer, sign, neuron)
join averages using (model, layer, sign, neuron)
join evidence using (model, layer, sign, neuron)
join descriptions using (model, layer, sign, neuron)
left join covered using (model, layer, sign, neuron)
left join several using (model, layer, sign, neuron)
left join scored using (model, layer, sign, neuron)
order by model, layer, sign, neuron
