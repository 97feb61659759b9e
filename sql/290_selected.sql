-- The neurons that keep their activation under substitution, and lose it under controls.
-- reads:  normalised
-- writes: selected
-- grain:  one row per (model, layer, neuron)
-- params: activation    least normalised activation, 0..1
--         selectivity   least selectivity; -infinity also lets pass what has none
-- note:   select format('{} below ACTIVATION or SELECTIVITY', (select count(*) from normalised) - count(*))
--         from selected
select model, layer, neuron, avg_activation, normalised_activation, selectivity
from normalised
where normalised_activation >= $activation
    and coalesce(selectivity, '-infinity'::double) >= $selectivity
order by model, layer, neuron
