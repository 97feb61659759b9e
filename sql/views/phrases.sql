-- Each MAP as it is shown: its tokens with their activations, and the place of the MAT among them.
-- reads:  maps
-- writes: phrases
-- grain:  one row per (model, layer, sign, neuron, rank)
select
    model, layer, sign, neuron, rank, tokens, activations, (mat_index - start)::integer as mat, max_activation,
    duplicate
from maps
order by model, layer, sign, neuron, rank
