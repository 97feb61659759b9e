-- How many neurons each step left, and how many it took away and why. What decided is said here as in
-- candidates, which has no row of a layer without any.
-- reads:  similarity, chances, candidates, selected, settings
-- writes: funnel
-- grain:  one row per (model, layer, sign, step)
with given as (
    select
        max(value) filter (name = 'similarity') as similarity,
        max(value) filter (name = 'activation') as activation,
        max(value) filter (name = 'selectivity') as selectivity,
        max(value) filter (name = 'fdr') as fdr,
        max(value) filter (name = 'coverage') as coverage,
        max(value) filter (name = 'kinds') as kinds
    from settings
),
layers as (
    select distinct model, layer, sign, true as has_chance
    from chances
    where test = 'words'
),
reached as (
    select
        model, layer, sign,
        case
            when coalesce(has_chance, false) and given.similarity is null and given.activation is null
                then 'chance'
            else 'thresholds'
        end as way,
        similarity.similarity is not null as is_compared,
        candidates.neuron is not null as is_candidate,
        selected.neuron is not null as is_selected
    from similarity
    left join candidates using (model, layer, sign, neuron)
    left join selected using (model, layer, sign, neuron)
    left join layers using (model, layer, sign)
    cross join given
),
counted as (
    select
        model, layer, sign, way,
        unnest([
            {'step': 1, 'what': 'looked at', 'neurons': count(*)},
            {'step': 2, 'what': 'with a similarity', 'neurons': count(*) filter (is_compared)},
            {'step': 3, 'what': 'candidates', 'neurons': count(*) filter (is_candidate)},
            {'step': 4, 'what': 'feature neurons', 'neurons': count(*) filter (is_selected)}
        ], recursive := true)
    from reached
    group by model, layer, sign, way
)
select
    model, layer, sign, step, what, neurons::integer as neurons,
    coalesce(lag(neurons) over (partition by model, layer, sign order by step) - neurons, 0)::integer
        as taken_away,
    case
        when step = 1 then null
        when step = 2 then 'too few phrases'
        when step = 3 and way = 'chance' then format('not worth verifying: q above {}', 4 * fdr::double)
        when step = 3 then 'below SIMILARITY ' || coalesce(given.similarity, '0.6')
        when way = 'chance' then format('q above FDR {}, or below COVERAGE {}', fdr, coverage)
        else 'below ACTIVATION ' || coalesce(given.activation, '0.3')
    end
    || case when step = 4 then coalesce(' or SELECTIVITY ' || given.selectivity, '')
        || coalesce('; or not of KINDS ' || given.kinds, '') else '' end as why,
    way
from counted
cross join given
order by model, layer, sign, step
