-- How far each text's baseline, measured here, is from what its source says. A wrong model, hook or page
-- parser shows here.
-- reads:  activations, samples
-- writes: baseline_differences
-- grain:  one row per text measured: how far its baseline is from the source's
select
    model, layer, sign, neuron, rank, activation, max_activation,
    abs(activation::double - max_activation) / greatest(abs(max_activation::double), 1e-9) as off
from activations
join samples using (model, layer, sign, neuron, rank)
where variant = 0 and activation is not null and max_activation is not null
order by model, layer, sign, neuron, rank
