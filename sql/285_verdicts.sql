-- What each neuron stands for, and how sure that is: the tests of step 1 and that of substitution in one.
-- That related words keep the activation counts with the likeness of the MATs' words: the product of both p is
-- Fisher's (1932), and a neuron has the better of the first alone and both together, each with its weight. Where
-- there is but one word to compare, the test of substitution stands in its place.
-- q is over the layer (prelude.sql). A thing that covers less than COVERAGE is not found. Of the kinds that are
-- as unlikely as what is found, a neuron is the simplest that covers nearly as much as any; what its MATs are
-- goes before what they come after.
-- reads:  similarity, chances, substitution
-- writes: verdicts
-- grain:  one row per (model, layer, sign, neuron)
-- params: fdr         false discovery rate, 0..1
--         coverage    least share of its activation that a thing a neuron stands for accounts for, 0..1
-- note:   select string_agg(format('{} {}', n, kind), ', ' order by n desc, kind)
--         from (select kind, count(*) as n from verdicts where kind != 'none' group by kind)
with tested as (
    select
        chances.*, substitution.p as p_substitution,
        bool_or(test = 'words') over (partition by model, layer, sign, neuron) as has_words
    from chances
    left join substitution using (model, layer, sign, neuron)
),
joined as (
    select
        * exclude (p_substitution, has_words),
        case
            when test = 'words' and p_substitution is not null then least(
                1, weighed_p / 0.6, p * p_substitution * (1 - ln(p * p_substitution)) / 0.5 / 0.25
            )
            else weighed_p
        end as final_p
    from tested
    union all by name
    select
        model, layer, sign, neuron, 'substitution' as test, 'set' as kind, p_substitution as p,
        least(1, p_substitution / 0.5) as weighed_p, coverage, ranks, 0 as n_groups, true as is_evidence,
        least(1, p_substitution / 0.5 / case when has_words then 0.15 else 1 end) as final_p
    from tested
    where test = 'word' and is_evidence and p_substitution is not null
),
neurons as (
    select
        model, layer, sign, neuron,
        least(1, coalesce(min(final_p) filter (is_evidence), 1)) as p,
        min(joined.p) filter (test = 'words') as p_words,
        min(joined.p) filter (test = 'group') as p_group,
        min(joined.p) filter (test in ('phrases', 'before')) as p_phrases,
        min(joined.p) filter (test in ('token', 'word')) as p_token,
        min(joined.p) filter (test = 'spelling') as p_spelling
    from similarity
    left join joined using (model, layer, sign, neuron)
    group by model, layer, sign, neuron
),
shared as (
    select *, share_of_none(p, model, layer, sign) as share, n_of_none(p, model, layer, sign) as n_none
    from neurons
),
rated as (
    select *, q_of(share, p, model, layer, sign) as q
    from shared
),
limits as (
    select *, $fdr * count(*) filter (q <= $fdr) over (partition by model, layer, sign) / n_none as found_p
    from rated
),
likely as (
    select
        joined.*, found_p,
        is_evidence and coverage >= $coverage as is_able,
        max(case when test = 'before' then 0.85 * coverage else coverage end)
            filter (is_able and final_p <= found_p) over (partition by model, layer, sign, neuron) as most,
        case kind when 'word' then 1 when 'token' then 2 when 'spelling' then 3 when 'set' then 4 else 5 end
            as simplicity
    from joined
    join limits using (model, layer, sign, neuron)
),
chosen as (
    select
        model, layer, sign, neuron, coverage, ranks, test,
        is_able and final_p <= found_p as is_found,
        case when kind in ('set', 'phrase') and n_groups > 1 then 'several' else kind end as likely_kind
    from likely
    qualify row_number() over (
        partition by model, layer, sign, neuron
        order by
            is_found desc, case when is_found and coverage >= 0.85 * most then simplicity else 9 end,
            is_evidence desc, final_p, coverage desc nulls last, test
    ) = 1
)
select
    model, layer, sign, neuron,
    case when is_found then likely_kind else 'none' end as kind,
    limits.p, q, chosen.coverage, coalesce(likely_kind, 'none') as likely_kind,
    p_words, p_group, p_phrases, p_token, p_spelling, substitution.p as p_substitution,
    coalesce(ranks, []::integer[]) as ranks
from limits
left join chosen using (model, layer, sign, neuron)
left join substitution using (model, layer, sign, neuron)
order by model, layer, sign, neuron
