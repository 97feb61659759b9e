-- Other thresholds, as a run with them would answer (not below what the last run verified).
select neuron, round(normalised_activation, 2) as normalised, description
from feature_neurons_at(0.85, 0.3)
limit 5;
