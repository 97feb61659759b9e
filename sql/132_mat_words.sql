-- The word that a neuron has read at each MAT. A model reads from left to right: at the token " fig" of
-- "figment" it has read "fig", and nothing of what follows. So where the part of the word up to the MAT is a
-- word of the vocabulary by itself, that is the MAT's word; elsewhere it is the whole word, and none where the
-- MAT is no part of a word.
-- reads:  maps, words, vocabulary
-- writes: mat_words
-- grain:  one row per (model, layer, sign, neuron, rank)
-- note:   select format('{} MATs are no part of a word', count(*) filter (word is null)) from mat_words
with holding as (
    select model, layer, sign, neuron, rank, word as whole_word, first_token
    from words
    where is_mat
    qualify row_number() over (partition by model, layer, sign, neuron, rank order by word_index) = 1
),
read as (
    select
        model, layer, sign, neuron, rank, mat, duplicate, max_activation, whole_word,
        lower(trim(array_to_string(tokens[first_token - start + 1 : mat_index - start + 1], ''), E' \t\n\r\f\v'))
            as part
    from maps
    left join holding using (model, layer, sign, neuron, rank)
)
select
    model, layer, sign, neuron, read.rank, duplicate,
    coalesce(nullif(lower(trim(mat, E' \t\n\r\f\v')), ''), mat) as token,
    case when len(part) > 1 and vocabulary.word is not null then part else whole_word end as word,
    whole_word,
    greatest(0, max_activation)::float as activation
from read
left join vocabulary on vocabulary.word = part
order by model, layer, sign, neuron, read.rank
