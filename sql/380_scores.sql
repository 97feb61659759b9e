-- How well a description tells the windows that activate its neuron from those that do not. A call that
-- failed is counted apart, and its windows nowhere.
-- reads:  windows, judgements
-- writes: scores
-- grain:  one row per (model, layer, sign, neuron, control, method)
-- params: windows_per_call   windows that one call judges
-- note:   select string_agg(
--             format('{} F1 {:.2f}, balanced accuracy {:.2f}', method, own.f1, own.balance) || coalesce(
--                 format(' ({:.2f}, {:.2f} with another neuron''s)', other.f1, other.balance), ''
--             ),
--             '; ' order by method
--         )
--         from (
--             select method, avg(f1) as f1, coalesce(avg(balanced_accuracy), 0) as balance
--             from scores where control = 'none' group by method having count(f1) > 0
--         ) as own
--         left join (
--             select method, avg(f1) as f1, coalesce(avg(balanced_accuracy), 0) as balance
--             from scores where control = 'other' group by method having count(f1) > 0
--         ) as other using (method)
with judged as (
    select
        model, layer, sign, neuron, control, described, method, answers is null as failed,
        unnest(coalesce(answers, [null::boolean])) as said,
        ($windows_per_call * part + generate_subscripts(coalesce(answers, [null::boolean]), 1) - 1)
            as "window"
    from judgements
),
counted as (
    select
        model, layer, sign, neuron, control, described, method,
        (count(*) filter (said and kind = 'activating'))::integer as true_positives,
        (count(*) filter (said and kind != 'activating'))::integer as false_positives,
        (count(*) filter (not said and kind != 'activating'))::integer as true_negatives,
        (count(*) filter (not said and kind = 'activating'))::integer as false_negatives,
        (count(*) filter (failed))::integer as n_failed
    from judged
    join windows using (model, layer, sign, neuron, "window")
    group by all
)
select
    *,
    case when true_positives + false_negatives > 0
        then 2.0 * true_positives / (2 * true_positives + false_positives + false_negatives)
    end as f1,
    (
        true_positives / nullif(true_positives + false_negatives, 0)
        + true_negatives / nullif(true_negatives + false_positives, 0)
    ) / 2.0 as balanced_accuracy
from counted
order by model, layer, sign, neuron, control, method
