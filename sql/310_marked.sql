-- Each distinct MAP as a describer is shown it: the MAT between ⟦ and ⟧, and the word that holds it, which
-- is the MAT itself where none does.
-- reads:  maps, words
-- writes: marked
-- grain:  one row per (model, layer, neuron, rank)
with mat_words as (
    select model, layer, neuron, rank, word
    from words
    where is_mat
    qualify row_number() over (partition by model, layer, neuron, rank order by word_index) = 1
)
select
    model, layer, neuron, rank, mat,
    coalesce(word, trim(mat)) as mat_word,
    phrase,
    translate(array_to_string(tokens[1 : mat_index - start], ''), '⟦⟧', '[]')
        || '⟦' || translate(mat, '⟦⟧', '[]') || '⟧'
        || translate(array_to_string(tokens[mat_index - start + 2 :], ''), '⟦⟧', '[]') as marked_phrase
from maps
left join mat_words using (model, layer, neuron, rank)
where not duplicate
order by model, layer, neuron, rank
