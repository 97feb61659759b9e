-- The neurons that are worth verifying. By chance: those whose tests together have a q of at most six times
-- FDR, since verification can still add evidence, those of which one word has two thirds of the activation,
-- as only verification tells whether related words would do, and those whose MAPs are as alike as the
-- method's threshold asks, so that the answer by thresholds can be told too. Where thresholds are given, or a
-- layer has too few neurons to tell what is by chance: those whose MAPs are alike enough.
-- The p of a neuron is the smallest of its tests as one of several, its q as in verdicts.
-- reads:  similarity, chances
-- writes: candidates
-- grain:  one row per (model, layer, sign, neuron)
-- params: fdr         false discovery rate of feature neurons, 0..1
--         by_chance   whether no threshold is given
--         similarity  least mean cosine of a candidate, -1..1
-- note:   select format('{} are not', (select count(*) from similarity) - count(*)) || coalesce(
--             '; decided by ' || max(way), ''
--         )
--         from candidates
with neurons as (
    select
        model, layer, sign, neuron, similarity, mat_similarity,
        least(1, coalesce(min(weighed_p) filter (is_evidence), 1)) as p,
        coalesce(bool_or(test = 'word' and is_evidence), false) as has_one_word
    from similarity
    left join chances using (model, layer, sign, neuron)
    group by all
),
shared as (
    select *, share_of_none(p, model, layer, sign) as share
    from neurons
),
rated as (
    select *, q_of(share, p, model, layer, sign) as q
    from shared
),
layers as (
    select distinct model, layer, sign, true as has_chance
    from chances
    where test = 'words'
)
select
    model, layer, sign, neuron, similarity, mat_similarity, p, q,
    case when $by_chance and coalesce(has_chance, false) then 'chance' else 'thresholds' end as way
from rated
left join layers using (model, layer, sign)
where similarity >= $similarity or (way = 'chance' and (q <= 6 * $fdr or has_one_word))
order by model, layer, sign, neuron
