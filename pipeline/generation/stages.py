"""The stages of step 3 that are made in Python, one describer after the other: what do phrases share?"""

from pipeline.generation import covered, descriptions, judgements, windows

STAGES = (
    windows.STAGE,
    descriptions.LEXICAL,
    descriptions.PAID,
    covered.STAGE,
    descriptions.LEXICAL_GROUPS,
    descriptions.PAID_GROUPS,
    judgements.LEXICAL,
    judgements.PAID,
)
