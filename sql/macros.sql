-- Macros of neurons.duckdb.

-- The feature neurons at other thresholds, as a run with these thresholds would find them: the layer's
-- maximum is taken over the neurons at or above min_similarity. Neurons that the last run did not verify have
-- no activation, so asking for some of them is an error. A description is null where the last run selected no
-- such neuron.
create or replace macro feature_neurons_at(
    min_similarity, min_activation, min_selectivity := '-infinity'::double
) as table
with verified as (
    select
        averages.*, candidates.similarity, candidates.mat_similarity,
        max(avg_activation) over (partition by model, layer, sign) as strongest
    from averages
    join candidates using (model, layer, sign, neuron)
    where candidates.similarity >= (
        select case
            when count(*) > 0 then error(
                count(*) || ' neurons of that similarity were not verified; run again with SIMILARITY='
                || min_similarity
            )::double
            else min_similarity
        end
        from similarity
        where similarity.similarity >= min_similarity
            and (model, layer, sign, neuron) not in (select (model, layer, sign, neuron) from candidates)
    )
),
scored as (
    select
        model, layer, sign, neuron, avg_activation,
        case when strongest > 0 then avg_activation / strongest end as normalised_activation,
        selectivity, similarity, mat_similarity, retention, n_lossy
    from verified
),
phrases as (
    select model, layer, sign, neuron, list(phrase order by rank) as max_phrases
    from maps
    where not duplicate
    group by model, layer, sign, neuron
)
select scored.*, descriptions.description, phrases.max_phrases
from scored
join phrases using (model, layer, sign, neuron)
left join descriptions using (model, layer, sign, neuron)
where normalised_activation >= min_activation
    and coalesce(selectivity, '-infinity'::double) >= min_selectivity
order by avg_activation desc, model, layer, sign, neuron;

-- The neurons whose MAPs hold a word, in lower case: in how many of them, and in how many it is the MAT's.
create or replace macro neurons_with_word(sought) as table
with holding as (
    select distinct model, layer, sign, neuron, rank, bool_or(words.is_mat) as is_mat
    from words
    where words.word = lower(trim(sought::varchar))
    group by model, layer, sign, neuron, rank
)
select
    model, layer, sign, neuron, count(*)::integer as n_maps, (count(*) filter (is_mat))::integer as n_mats,
    any_value(similarity.similarity) as similarity,
    list(maps.phrase order by rank) as phrases
from holding
join maps using (model, layer, sign, neuron, rank)
join similarity using (model, layer, sign, neuron)
group by model, layer, sign, neuron
order by n_mats desc, n_maps desc, model, layer, sign, neuron;

-- The neurons whose MAPs are most like those of one: mean cosine over all pairs of a MAP of each. Where a
-- neuron of that number is in several layers, the neighbours of each in its own layer; in_layer and in_model
-- choose one.
create or replace macro neighbours_of(
    number, most := 10, in_layer := null::integer, in_model := null::varchar
) as table
with known as materialized (
    select model, layer, sign, neuron, vector
    from vectors
    where vector is not null
        and layer = coalesce(in_layer, layer)
        and model = coalesce(in_model, model)
),
alike as (
    select
        other.model, other.layer, other.sign, other.neuron,
        avg(list_inner_product(own.vector, other.vector)) as similarity
    from known as own
    join known as other on own.model = other.model and own.layer = other.layer and own.sign = other.sign
    where own.neuron = number and other.neuron != number
    group by all
)
select model, layer, sign, neuron, similarity, description
from alike
left join descriptions using (model, layer, sign, neuron)
qualify row_number() over (partition by model, layer, sign order by similarity desc, neuron) <= most
order by model, layer, sign, similarity desc, neuron;

-- How a neuron's activations are distributed over the tokens of its samples: the tokens in each of some
-- equally wide bins from the lowest to the highest, with a token that activates so as an example. Where a
-- neuron of that number is in several layers, one histogram for each; in_layer and in_model choose one.
create or replace macro activation_histogram(
    number, bins := 10, in_layer := null::integer, in_model := null::varchar
) as table
with tokens as (
    select
        model, layer, sign,
        unnest(tokens[text_start + 1 :]) as token,
        unnest(activations[text_start + 1 :])::double as activation
    from samples
    where neuron = number
        and layer = coalesce(in_layer, layer)
        and model = coalesce(in_model, model)
        and activations is not null
),
ranged as (
    select
        *,
        min(activation) over (partition by model, layer, sign) as low,
        max(activation) over (partition by model, layer, sign) as high
    from tokens
    where activation is not null
        and case
            when bins >= 1 and bins = floor(bins) then true
            else error('bins is ' || coalesce(bins::varchar, 'null') || '; give a whole number from 1')::boolean
        end
),
binned as (
    select
        *,
        least(bins - 1, floor((activation - low) / nullif(high - low, 0) * bins))::integer as bin
    from ranged
)
select
    model, layer, sign, coalesce(bin, 0) as bin, low + coalesce(bin, 0) * (high - low) / bins as from_activation,
    low + (coalesce(bin, 0) + 1) * (high - low) / bins as to_activation,
    count(*)::integer as n_tokens, arg_max(token, activation) as example
from binned
group by all
order by model, layer, sign, bin;

-- The feature neurons at another false discovery rate and least coverage, the surest first, as a run that asks
-- for these would find them, except for neurons that the last run did not verify. A description is null where
-- the last run selected no such neuron.
create or replace macro found_at(max_q := 0.05, min_coverage := 0.5) as table
select model, layer, sign, neuron, likely_kind as kind, verdicts.p, verdicts.q, verdicts.coverage, description
from verdicts
left join descriptions using (model, layer, sign, neuron)
where verdicts.q <= max_q and verdicts.coverage >= min_coverage
order by verdicts.q, verdicts.p, verdicts.coverage desc, model, layer, sign, neuron;

-- Neurons whose MAPs are of several kinds: at least two clean groups that hold half of the activation. Where no
-- MAT is in two groups (mats_apart) the tokens differ too, and not only what is around them. A group's
-- description is null where it was not described.
create or replace macro polysemantic_neurons(min_groups := 2, min_coverage := 0.5) as table
with grouped as (
    select
        groups.model, groups.layer, groups.sign, groups.neuron, any_value(similarity.similarity) as similarity,
        count(*)::integer as n_groups, sum(groups.coverage) as coverage,
        list(
            {
                'by': groups."by", 'score': groups.score, 'p': groups.p, 'n_maps': groups.n_maps,
                'mats': list_sort(list_distinct(mats)), 'description': said.description
            }
            order by number
        ) as groups,
        len(list_distinct(flatten(list(mats)))) = sum(len(list_distinct(mats))) as mats_apart
    from groups
    join similarity using (model, layer, sign, neuron)
    left join group_descriptions as said using (model, layer, sign, neuron, number)
    where clean
    group by groups.model, groups.layer, groups.sign, groups.neuron
)
select *
from grouped
where n_groups >= min_groups and coverage >= min_coverage
order by coverage desc, model, layer, sign, neuron;

comment on macro table feature_neurons_at is 'feature neurons at other thresholds';
comment on macro table neurons_with_word is 'neurons whose MAPs hold a word';
comment on macro table neighbours_of is 'neurons whose MAPs are most like those of one';
comment on macro table activation_histogram is 'how activations of a neuron are distributed';
comment on macro table polysemantic_neurons is 'neurons whose MAPs are of several kinds';
comment on macro table found_at is 'feature neurons at another false discovery rate';
