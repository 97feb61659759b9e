-- How well a neuron's activation survives substitution: averages over all that was checked.
-- Controls count in their own columns only. Retention is variant / baseline, where the baseline is
-- positive. A word after the MAT cannot change the MAT's activation (the model is causal), so its
-- retention stands apart.
-- reads:  variants, activations
-- writes: averages
-- grain:  one row per (model, layer, neuron)
with measured as (
    select variants.*, activations.activation
    from variants
    join activations using (model, layer, neuron, rank, variant)
),
compared as (
    select
        measured.*,
        original.activation as baseline,
        case when original.activation > 0
            then measured.activation::double / original.activation end as retained
    from measured
    join measured as original using (model, layer, neuron, rank)
    where original.variant = 0
),
neurons as (
    select
        model, layer, neuron,
        (count(activation) filter (kind = 'baseline'))::integer as n_originals,
        (count(activation) filter (kind = 'synonym'))::integer as n_variants,
        (count(*) filter (kind = 'synonym' and activation > baseline))::integer as n_raised,
        (count(*) filter (activation is null))::integer as n_lost,
        avg(activation::double order by rank, variant)
            filter (kind != 'control') as avg_activation,
        avg(retained order by rank, variant)
            filter (kind = 'synonym' and upto_mat) as retention,
        avg(retained order by rank, variant)
            filter (kind = 'synonym' and not upto_mat) as retention_after,
        avg(retained order by rank, variant)
            filter (kind = 'synonym' and is_mat) as retention_mat,
        avg(retained order by rank, variant)
            filter (kind = 'control') as retention_controls
    from compared
    group by model, layer, neuron
)
select *, retention_mat - retention_controls as selectivity
from neurons
order by model, layer, neuron
