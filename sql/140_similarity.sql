-- How much alike a neuron's MAPs are: the mean cosine over pairs of its distinct MAPs.
-- A MAP is never paired with itself; near duplicates count once.
-- reads:  maps, vectors
-- writes: similarity
-- grain:  one row per (model, layer, sign, neuron)
-- note:   select string_agg(format('{} have {}', n, reason), '; ' order by n desc, reason)
--         from (select reason, count(*) as n from similarity where reason is not null group by reason)
with known as materialized (
    select model, layer, sign, neuron, rank, maps.duplicate, vectors.vector, vectors.mat_vector
    from maps
    join vectors using (model, layer, sign, neuron, rank)
),
pairs as (
    select
        a.model, a.layer, a.sign, a.neuron, a.rank as a_rank, b.rank as b_rank,
        list_inner_product(a.vector, b.vector)::double as phrase_cosine,
        list_inner_product(a.mat_vector, b.mat_vector)::double as mat_cosine
    from known as a
    join known as b
        on a.model = b.model and a.layer = b.layer and a.sign = b.sign and a.neuron = b.neuron and a.rank < b.rank
    where not a.duplicate and not b.duplicate
),
means as (
    select
        model, layer, sign, neuron,
        avg(phrase_cosine order by a_rank, b_rank) as similarity,
        avg(mat_cosine order by a_rank, b_rank) as mat_similarity
    from pairs
    group by model, layer, sign, neuron
),
neurons as (
    select
        model, layer, sign, neuron,
        count(*)::integer as n_maps,
        (count(*) filter (not duplicate))::integer as n_distinct
    from known
    group by model, layer, sign, neuron
)
select
    model, layer, sign, neuron, n_maps, n_distinct, similarity, mat_similarity,
    case
        when n_distinct < 2 then 'fewer than two distinct MAPs'
        when similarity is null then 'fewer than two distinct MAPs with known words'
    end as reason
from neurons
left join means using (model, layer, sign, neuron)
order by model, layer, sign, neuron
