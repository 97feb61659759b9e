-- Each variant beside the unmodified text it was made from.
-- A synonym raises the neuron when it activates it more by a ten-thousandth at least: in batches of
-- other sizes the same text differs by rounding.
-- reads:  variants, encodings, activations
-- writes: retentions
-- grain:  one row per (model, layer, neuron, rank, variant)
select
    model, layer, neuron, rank, variants.variant,
    variants.kind, variants.is_mat, variants.upto_mat, measured.activation,
    original.activation as baseline,
    case when original.activation > 0
        then measured.activation::double / original.activation end as retention,
    coalesce(
        variants.kind = 'synonym'
        and measured.activation::double
            > original.activation::double + 1e-4 * abs(original.activation::double),
        false
    ) as raised,
    encodings.tokens
from variants
join encodings using (model, layer, neuron, rank, variant)
join activations as measured using (model, layer, neuron, rank, variant)
join activations as original using (model, layer, neuron, rank)
where original.variant = 0
order by model, layer, neuron, rank, variants.variant
