-- What is measured: each distinct MAP of a candidate as it is, with each of its words replaced by
-- each neighbour, and with the MAT's word replaced by unrelated ones.
-- reads:  candidates, maps, words, synonyms
-- writes: variants
-- grain:  one row per (model, layer, neuron, rank, variant)
with phrases as (
    select maps.*
    from maps
    join candidates using (model, layer, neuron)
    where not duplicate
),
replacements as (
    select
        words.*, synonyms.kind, synonyms.rank as neighbour_rank,
        blank || case
            when length(words.text) > 1 and words.text = upper(words.text)
                then upper(synonyms.neighbour)
            when words.text[1] != lower(words.text[1])
                then upper(synonyms.neighbour[1]) || synonyms.neighbour[2:]
            else synonyms.neighbour
        end as replacement
    from words
    join synonyms using (word)
    where words.replaceable and (synonyms.kind = 'synonym' or words.is_mat)
),
changed as (
    select
        phrases.model, phrases.layer, phrases.neuron, phrases.rank,
        r.kind, r.word_index, r.word, r.neighbour_rank, r.replacement,
        r.first_token, r.end_token, r.is_mat, r.upto_mat,
        phrases.tokens[1 : r.first_token - phrases.start]
            || [r.replacement]
            || phrases.tokens[r.end_token - phrases.start + 1 :] as tokens,
        phrases.start, len(phrases.tokens) as length
    from phrases
    join replacements as r using (model, layer, neuron, rank)
    union all by name
    select model, layer, neuron, rank, 'baseline' as kind, tokens, start, len(tokens) as length
    from phrases
)
select
    model, layer, neuron, rank,
    (row_number() over (
        partition by model, layer, neuron, rank
        order by kind = 'baseline' desc, word_index, kind desc, neighbour_rank
    ) - 1)::integer as variant,
    kind, word_index, word, replacement, first_token, end_token,
    start as phrase_start,
    (start + length)::integer as phrase_end,
    array_to_string(tokens, '') as phrase,
    is_mat, upto_mat
from changed
order by model, layer, neuron, rank, variant
