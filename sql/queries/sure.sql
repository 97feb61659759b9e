-- What would be found at a lower false discovery rate, the surest first.
select neuron, kind, round(q, 6) as q, round(coverage, 2) as coverage, description
from found_at(max_q := 0.01)
limit 5;
