-- How well a neuron's activation survives substitution: averages over all that was checked.
-- Controls count in their own columns only, relatives in none. A word after the MAT cannot change the MAT's activation
-- (the model is causal), so its retention stands apart.
-- In one thread the floats of a neuron are added in the order of the rows, and so give the same every time.
-- reads:  retentions
-- writes: averages
-- grain:  one row per (model, layer, sign, neuron)
-- threads: 1
with neurons as (
    select
        model, layer, sign, neuron,
        (count(activation) filter (kind = 'baseline'))::integer as n_originals,
        (count(activation) filter (kind = 'synonym'))::integer as n_variants,
        (count(*) filter (raised))::integer as n_raised,
        (count(*) filter (activation is null))::integer as n_lost,
        (count(activation) filter (tokens = 'lossy'))::integer as n_lossy,
        avg(activation::double) filter (kind in ('baseline', 'synonym')) as avg_activation,
        avg(retentions.retention) filter (kind = 'synonym' and upto_mat) as retention,
        avg(retentions.retention) filter (kind = 'synonym' and not upto_mat) as retention_after,
        avg(retentions.retention) filter (kind = 'synonym' and is_mat) as retention_mat,
        avg(retentions.retention) filter (kind = 'control') as retention_controls
    from retentions
    group by model, layer, sign, neuron
)
select *, retention_mat - retention_controls as selectivity
from neurons
order by model, layer, sign, neuron
