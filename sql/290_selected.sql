-- The feature neurons. By chance: those of which a thing is found at FDR. Where thresholds are given, or a
-- layer has too few neurons to tell what is by chance: those that keep their activation under substitution. In
-- both cases of the kinds asked for, and at or above a SELECTIVITY that is given.
-- reads:  normalised, candidates, verdicts
-- writes: selected
-- grain:  one row per (model, layer, sign, neuron)
-- params: activation    least normalised activation, 0..1
--         selectivity   least selectivity; -infinity also lets pass what has none
--         kinds         kinds of neurons asked for
-- note:   select format('{} are not', (select count(*) from normalised) - count(*))
--         from selected
select
    model, layer, sign, neuron, avg_activation, normalised_activation, selectivity,
    kind, verdicts.p, verdicts.q, coverage
from normalised
join candidates using (model, layer, sign, neuron)
join verdicts using (model, layer, sign, neuron)
where case way when 'chance' then kind != 'none' else normalised_activation >= $activation end
    and (list_contains($kinds, kind) or (kind = 'none' and way = 'thresholds' and len($kinds) = 6))
    and coalesce(selectivity, '-infinity'::double) >= $selectivity
order by model, layer, sign, neuron
