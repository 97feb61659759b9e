-- Each distinct MAP as a describer is shown it: the MAT between ⟦ and ⟧, and the word read at it, which is the
-- MAT itself where there is none.
-- reads:  maps, mat_words
-- writes: marked
-- grain:  one row per (model, layer, sign, neuron, rank)
select
    model, layer, sign, neuron, rank, max_activation, mat,
    coalesce(word, trim(mat)) as mat_word,
    phrase,
    translate(array_to_string(tokens[1 : mat_index - start], ''), '⟦⟧', '[]')
        || '⟦' || translate(mat, '⟦⟧', '[]') || '⟧'
        || translate(array_to_string(tokens[mat_index - start + 2 :], ''), '⟦⟧', '[]') as marked_phrase
from maps
join mat_words using (model, layer, sign, neuron, rank)
where not maps.duplicate
order by model, layer, sign, neuron, rank
