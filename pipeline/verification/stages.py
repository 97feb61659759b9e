"""The stages of step 2 that are made in Python: do a neuron's phrases survive substitution?"""

from pipeline.verification import activations, deviations, encodings, substitution, synonyms

STAGES = (synonyms.STAGE, encodings.STAGE, activations.STAGE, deviations.STAGE, substitution.STAGE)
