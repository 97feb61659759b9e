-- Macros of neurons.duckdb.

-- The feature neurons at other thresholds, as a run with these thresholds would find them: the layer's
-- maximum is taken over the neurons at or above min_similarity. Neurons below the similarity of the
-- last run were never verified, so asking for less is an error. A description is null where the last
-- run selected no such neuron.
create or replace macro feature_neurons_at(
    min_similarity, min_activation, min_selectivity := '-infinity'::double
) as table
with verified as (
    select
        averages.*, candidates.similarity, candidates.mat_similarity,
        max(avg_activation) over (partition by model, layer) as strongest
    from averages
    join candidates using (model, layer, neuron)
    where candidates.similarity >= case
        when min_similarity < (select value::double from settings where name = 'similarity')
            then error(
                'neurons were verified from similarity '
                || (select value from settings where name = 'similarity')
                || ' upwards; run again with a lower SIMILARITY'
            )::double
        else min_similarity
    end
),
scored as (
    select
        model, layer, neuron, avg_activation,
        case when strongest > 0 then avg_activation / strongest end as normalised_activation,
        selectivity, similarity, mat_similarity, retention, n_lossy
    from verified
),
phrases as (
    select model, layer, neuron, list(phrase order by rank) as max_phrases
    from maps
    where not duplicate
    group by model, layer, neuron
)
select scored.*, descriptions.description, phrases.max_phrases
from scored
join phrases using (model, layer, neuron)
left join descriptions using (model, layer, neuron)
where normalised_activation >= min_activation
    and coalesce(selectivity, '-infinity'::double) >= min_selectivity
order by avg_activation desc, neuron;
