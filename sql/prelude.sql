-- Macros of stages and views: what more than one of them says.

-- The kind of a variant: its number among those of its place, from 1, of which synonyms come first and then
-- relatives; place 0 is the MAP as it is.
create or replace macro kind_of(place, number, n_synonyms, n_relatives) as case
    when place = 0 then 'baseline'
    when number <= n_synonyms then 'synonym'
    when number <= n_synonyms + n_relatives then 'relative'
    else 'control'
end;

-- A MAP that begins at token `start`, with a text in the place of the tokens from `first` to before `stop`. Of no
-- tokens the text is null before DuckDB 2.0.
create or replace macro with_text(tokens, start, first, stop, text) as
    coalesce(array_to_string(tokens[1 : first - start], ''), '') || text
    || coalesce(array_to_string(tokens[stop - start + 1 :], ''), '');

-- How many of the neurons of a layer stand for nothing: twice those whose p is above a half, since p is even
-- among them (Storey 2002); at least half of all.
create or replace macro n_of_none(p, model, layer, sign) as least(
    count(*) over (partition by model, layer, sign),
    greatest(
        count(*) over (partition by model, layer, sign) / 2,
        2 * (1 + count(*) filter (p > 0.5) over (partition by model, layer, sign))
    )
);

-- Of the neurons of a layer whose p is as low as this one's, the share that stand for nothing.
create or replace macro share_of_none(p, model, layer, sign) as
    p * n_of_none(p, model, layer, sign) / count(*) over (partition by model, layer, sign order by p);

-- The least false discovery rate at which a neuron is found (Benjamini and Hochberg 1995): the least share
-- of its p and of those above.
create or replace macro q_of(share, p, model, layer, sign) as least(
    1,
    min(share) over (partition by model, layer, sign order by p range between current row and unbounded following)
);

comment on macro kind_of is 'the kind of a variant by its number in its place';
comment on macro with_text is 'a MAP with a text in the place of some tokens';
comment on macro n_of_none is 'how many neurons of a layer stand for nothing';
comment on macro share_of_none is 'share that stands for nothing, of those whose p is as low';
comment on macro q_of is 'least false discovery rate at which a neuron is found';
