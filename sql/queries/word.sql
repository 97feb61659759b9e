-- Which neurons have a word in their MAPs, and in how many it is the word of the MAT.
select neuron, n_maps, n_mats, round(similarity, 2) as similarity, phrases[1] as strongest
from neurons_with_word('english')
limit 5;
