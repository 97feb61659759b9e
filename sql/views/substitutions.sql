-- What each substitution left of the activation, ranked for each neuron and kind. Words after the MAT are
-- left out: the model is causal, so they cannot change the MAT's activation.
-- reads:  retentions, variants
-- writes: substitutions
-- grain:  one row per variant that can change the MAT, ranked by its retention
select
    model, layer, sign, neuron, rank, variant, kind, word, trim(replacement) as replacement, retention, phrase,
    (row_number() over (
        partition by model, layer, sign, neuron, kind order by retention desc, rank, variant
    ))::integer as from_above,
    (row_number() over (
        partition by model, layer, sign, neuron, kind order by retention, rank, variant
    ))::integer as from_below
from retentions
join variants using (model, layer, sign, neuron, rank, variant, kind)
where kind != 'baseline' and retention is not null and coalesce(retentions.upto_mat, true)
order by model, layer, sign, neuron, rank, variant
