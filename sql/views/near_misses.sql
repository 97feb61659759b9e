-- The neurons that are not found but come near to it, the nearest first, with the setting that would have to
-- differ and the value at which the neuron would be found. Last come those that are found but not asked for.
-- reads:  verdicts, chances, normalised, selected, similarity, settings
-- writes: near_misses
-- grain:  one row per (model, layer, sign, neuron) that is not found and comes near
with given as (
    select
        max(value) filter (name = 'fdr')::double as fdr,
        max(value) filter (name = 'coverage')::double as least_coverage,
        coalesce(max(value) filter (name = 'similarity')::double, 0.6) as least_similarity,
        coalesce(max(value) filter (name = 'activation')::double, 0.3) as least_activation,
        max(value) filter (name = 'selectivity')::double as least_selectivity,
        string_split_regex(max(value) filter (name = 'kinds'), '\s*,\s*') as kinds,
        count(value) filter (name in ('similarity', 'activation')) = 0 as by_chance
    from settings
),
layers as (
    select distinct model, layer, sign, true as has_chance
    from chances
    where test = 'words'
),
missed as (
    select
        model, layer, sign, neuron, likely_kind, verdicts.p, verdicts.q, verdicts.coverage,
        similarity.similarity, normalised.normalised_activation, normalised.selectivity, verdicts.kind, given.*,
        case when given.by_chance and coalesce(has_chance, false) then 'chance' else 'thresholds' end as way
    from verdicts
    join similarity using (model, layer, sign, neuron)
    left join normalised using (model, layer, sign, neuron)
    left join layers using (model, layer, sign)
    left join selected using (model, layer, sign, neuron)
    cross join given
    where selected.q is null
),
asked as (
    select
        *,
        case way
            when 'chance' then kind != 'none'
            else similarity >= least_similarity and normalised_activation >= least_activation
        end as is_found,
        kinds is null or list_contains(kinds, case when way = 'chance' then likely_kind else kind end) as is_asked,
        -- what was not verified may yet be selective
        least_selectivity is null
        or coalesce(selectivity >= least_selectivity, normalised_activation is null) as is_selective
    from missed
),
reasons as (
    select
        *,
        case
            when not is_asked then case when is_found then 'KINDS' end
            when not is_selective then case when is_found then 'SELECTIVITY' end
            when way = 'chance' and q > fdr and q <= 0.5 and coverage >= least_coverage then 'FDR'
            when way = 'chance' and q <= fdr and coverage < least_coverage and coverage >= 0.2 then 'COVERAGE'
            when way = 'thresholds' and similarity < least_similarity then 'SIMILARITY'
            when way = 'thresholds' and normalised_activation between 0 and least_activation then 'ACTIVATION'
        end as setting
    from asked
),
valued as (
    select
        *,
        case setting
            -- what was not verified needs more, if verification adds nothing
            when 'FDR'
                then ceil(least(1, q / case when normalised_activation is null then 0.75 else 1 end) * 1000) / 1000
            when 'COVERAGE' then floor(coverage * 100) / 100
            when 'ACTIVATION' then floor(normalised_activation * 100) / 100
            when 'SIMILARITY' then floor(similarity * 100) / 100
            when 'SELECTIVITY' then floor(selectivity * 100) / 100
        end as value,
        case setting
            when 'FDR' then ln(q / fdr)
            when 'COVERAGE' then ln(least_coverage / coverage)
            when 'ACTIVATION' then least_activation - normalised_activation
            when 'SIMILARITY' then 2 + least_similarity - similarity
            when 'SELECTIVITY' then 10 + coalesce(least_selectivity - selectivity, 10)
            else 100
        end as distance
    from reasons
    where setting is not null
)
select
    model, layer, sign, neuron, likely_kind, p, q, coverage, similarity, normalised_activation, setting, value,
    case setting
        when 'KINDS' then 'it is found, but its kind is not among KINDS'
        when 'FDR' then format('q is {:.3g}: FDR={} would take it', q, value)
        when 'COVERAGE' then format('it covers {:.1f} %: COVERAGE={} would take it', 100 * coverage, value)
        when 'ACTIVATION' then format(
            'normalised activation is {:.3f}: ACTIVATION={} would take it', normalised_activation, value
        )
        when 'SIMILARITY' then format(
            'similarity is {:.3f}: SIMILARITY={} would make it a candidate', similarity, value
        )
        else coalesce(
            format('selectivity is {:.3f}: SELECTIVITY={} would take it', selectivity, value),
            'it is found, but has no selectivity, as SELECTIVITY asks'
        )
    end as reason,
    (row_number() over (partition by model, layer, sign order by distance, neuron))::integer as nearness
from valued
order by model, layer, sign, neuron
