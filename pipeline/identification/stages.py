"""The stages of step 1 that are made in Python: are a neuron's phrases alike?"""

from pipeline.identification import dominance, groups, likeness, vectors, vocabulary, words

STAGES = (
    words.STAGE,
    vocabulary.TRAINED,
    vocabulary.PUBLISHED,
    vectors.STAGE,
    likeness.STAGE,
    dominance.STAGE,
    groups.STAGE,
)
