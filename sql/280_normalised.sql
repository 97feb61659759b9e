-- The average activation relative to the strongest verified neuron of the layer.
-- A layer whose maximum is not positive normalises to null.
-- reads:  averages
-- writes: normalised
-- grain:  one row per (model, layer, sign, neuron)
with layers as (
    select model, layer, sign, max(avg_activation) as strongest
    from averages
    group by model, layer, sign
)
select
    model, layer, sign, neuron, avg_activation,
    case when strongest > 0 then avg_activation / strongest end as normalised_activation,
    selectivity
from averages
join layers using (model, layer, sign)
order by model, layer, sign, neuron
