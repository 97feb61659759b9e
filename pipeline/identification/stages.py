"""The stages of step 1 that are made in Python: are a neuron's phrases alike?"""

from pipeline.identification import groups, vectors, vocabulary, words

STAGES = (words.STAGE, vocabulary.TRAINED, vocabulary.PUBLISHED, vectors.STAGE, groups.STAGE)
