-- What was nearly found, and the setting that would take it.
select neuron, likely_kind, reason
from near_misses
order by nearness, neuron
limit 5;
