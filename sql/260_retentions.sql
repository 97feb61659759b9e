-- Each variant beside the unmodified text it was made from.
-- A synonym raises the neuron when it activates it more by a ten-thousandth at least: in batches of
-- other sizes the same text differs by rounding.
-- Places, encodings and activations hold the same variants in the order of their keys. They are laid beside each
-- other row by row, which keeps that order and takes a third of the time of joining and sorting them; where keys
-- differ it is an error.
-- reads:  places, encodings, activations
-- writes: retentions
-- grain:  one row per (model, layer, sign, neuron, rank, variant)
with beside as (
    select places.*, original.activation as baseline
    from places
    join activations as original using (model, layer, sign, neuron, rank)
    where original.variant = 0
    order by model, layer, sign, neuron, rank, place
),
numbered as (
    select
        * exclude (variants, replacements),
        unnest(variants) as variant,
        generate_subscripts(variants, 1) as number
    from beside
),
measured as (
    select
        activations.*, baseline, is_mat, upto_mat, encodings.tokens,
        case
            when activations.variant = encodings.variant and activations.variant = numbered.variant
                and activations.rank = encodings.rank and activations.rank = numbered.rank
                and activations.neuron = encodings.neuron and activations.neuron = numbered.neuron
                and activations.layer = encodings.layer and activations.layer = numbered.layer
                and activations.model = encodings.model and activations.model = numbered.model
                then kind_of(place, number, n_synonyms, n_relatives)
            else error('places, encodings and activations do not hold the same variants')
        end as kind
    from activations
    positional join encodings
    positional join numbered
)
select
    model, layer, sign, neuron, rank, variant, kind, is_mat, upto_mat, activation, baseline,
    case when baseline > 0 then activation::double / baseline end as retention,
    coalesce(
        kind = 'synonym' and activation::double > baseline::double + 1e-4 * abs(baseline::double), false
    ) as raised,
    tokens
from measured
