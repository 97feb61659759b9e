-- How many neurons each step left, and how many it took away and why.
-- reads:  similarity, candidates, selected, settings
-- writes: funnel
-- grain:  one row per (model, layer, step)
with reached as (
    select
        model, layer,
        similarity.similarity is not null as is_compared,
        candidates.neuron is not null as is_candidate,
        selected.neuron is not null as is_selected
    from similarity
    left join candidates using (model, layer, neuron)
    left join selected using (model, layer, neuron)
),
counted as (
    select
        model, layer,
        unnest([
            {'step': 1, 'what': 'looked at', 'neurons': count(*), 'why': null},
            {
                'step': 2, 'what': 'with a similarity', 'neurons': count(*) filter (is_compared),
                'why': 'too few phrases'
            },
            {
                'step': 3, 'what': 'candidates', 'neurons': count(*) filter (is_candidate),
                'why': 'below SIMILARITY ' || (select value from settings where name = 'similarity')
            },
            {
                'step': 4, 'what': 'feature neurons', 'neurons': count(*) filter (is_selected),
                'why': 'below ACTIVATION ' || (select value from settings where name = 'activation')
                    || coalesce(
                        ' or SELECTIVITY ' || (select value from settings where name = 'selectivity'), ''
                    )
            }
        ], recursive := true)
    from reached
    group by model, layer
)
select
    model, layer, step, what, neurons::integer as neurons,
    coalesce(lag(neurons) over (partition by model, layer order by step) - neurons, 0)::integer
        as taken_away,
    why
from counted
order by model, layer, step
