-- Words that the vectors hold to be alike.
select b.word, round(list_inner_product(a.vector, b.vector), 2) as cosine
from vocabulary as a, vocabulary as b
where a.word = 'river' and b.word != a.word
order by list_inner_product(a.vector, b.vector) desc
limit 5;
