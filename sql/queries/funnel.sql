-- How many neurons each step left, and what it took away.
with steps as (
    select 1 as step, 'with samples' as what, count(distinct neuron) as neurons from samples
    union all select 2, 'with a similarity', count(similarity) from similarity
    union all select 3, 'candidates', count(*) from candidates
    union all select 4, 'feature neurons', count(*) from feature_neurons
)
select what, neurons, lag(neurons) over (order by step) - neurons as taken_away
from steps
order by step;
