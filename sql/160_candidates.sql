-- The neurons whose MAPs are alike enough to be worth verifying.
-- reads:  similarity
-- writes: candidates
-- grain:  one row per (model, layer, neuron)
-- params: similarity   least mean cosine of a candidate, -1..1
-- note:   select format('{} below SIMILARITY or without one', (select count(*) from similarity) - count(*))
--         from candidates
select model, layer, neuron, similarity, mat_similarity
from similarity
where similarity >= $similarity
order by model, layer, neuron
