-- How many neurons each step left, and how many it took away.
select what, neurons, taken_away, why
from funnel
order by model, layer, sign, step;
