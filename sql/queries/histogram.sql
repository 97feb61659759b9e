-- How the strongest feature neuron activates over the tokens of its texts.
select bin, round(from_activation, 3) as from_, n_tokens, bar(n_tokens, 0, 1000, 20) as bar, example
from activation_histogram((select neuron from feature_neurons order by avg_activation desc limit 1), bins := 8);
