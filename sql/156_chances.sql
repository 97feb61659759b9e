-- What each neuron may stand for by the tests of step 1: how likely each is by chance, and how much of the
-- neuron's activation it accounts for. A token, word or spelling is evidence only where it has twice the
-- activation of all else: several unrelated words may stand out too, each for itself.
-- The weights of a neuron's tests sum to at most 1; a p divided by its weight is that of the test as one of
-- several (Bonferroni, weighted). Token and word are one test where they are the same.
-- reads:  likeness, dominance, groups
-- writes: chances
-- grain:  one row per (model, layer, sign, neuron, test)
with parts as (
    select
        model, layer, sign, neuron, "by",
        (count(*) filter (clean))::integer as n_groups,
        sum(coverage) filter (clean or number = 0) as coverage,
        list_sort(flatten(list(ranks) filter (clean or number = 0))) as ranks
    from groups
    group by model, layer, sign, neuron, "by"
),
tests as (
    select
        likeness.model, likeness.layer, likeness.sign, likeness.neuron, test,
        case when test = 'words' then 'set' else 'phrase' end as kind,
        p, case when test = 'words' then 0.5 else 0.06 end as weight,
        coverage, ranks, n_groups, true as is_evidence
    from likeness
    left join parts on (parts.model, parts.layer, parts.sign, parts.neuron, "by")
        = (likeness.model, likeness.layer, likeness.sign, likeness.neuron, test)
    where test = 'words' or "by" is not null
    union all by name
    select
        model, layer, sign, neuron, 'group' as test,
        case when "by" = 'words' then 'set' else 'phrase' end as kind,
        p, case when "by" = 'words' then 0.08 else 0.01 end as weight, groups.coverage, groups.ranks, n_groups, true as is_evidence
    from groups
    join parts using (model, layer, sign, neuron, "by")
    where clean
    qualify row_number() over (partition by model, layer, sign, neuron order by groups.coverage desc, number) = 1
    union all by name
    select
        model, layer, sign, neuron, test, case when test = 'before' then 'phrase' else test end as kind,
        p,
        case
            when test = 'spelling' then 0.05
            when test = 'before' then 0.1
            when count(distinct p) filter (test in ('token', 'word')) over (partition by model, layer, sign, neuron) > 1
                then 0.1
            else 0.2
        end as weight,
        coverage, ranks, 0 as n_groups, coverage >= 2 / 3 as is_evidence
    from dominance
)
select
    model, layer, sign, neuron, test, kind, p, least(1, p / weight) as weighed_p, coverage,
    coalesce(ranks, []::integer[]) as ranks, coalesce(n_groups, 0)::integer as n_groups, is_evidence
from tests
order by model, layer, sign, neuron, test
