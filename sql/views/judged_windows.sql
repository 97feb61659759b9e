-- The windows that descriptions were judged by, with what the describer said of each (detection).
-- reads:  windows, judgements, settings
-- writes: judged_windows
-- grain:  one row per (model, layer, sign, neuron, window)
with answered as (
    select
        model, layer, sign, neuron, unnest(answers) as said,
        (
            part * (select value::integer from settings where name = 'windows_per_call')
            + generate_subscripts(answers, 1) - 1
        )::integer as "window"
    from judgements
    where method = 'detection' and control = 'none'
)
select model, layer, sign, neuron, "window", kind, activation, tokens, activations, said
from windows
left join answered using (model, layer, sign, neuron, "window")
order by model, layer, sign, neuron, "window"
