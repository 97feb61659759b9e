"""What words have in common by WordNet, beside the narrowest of all synsets above both."""

import numpy as np

from pipeline.language.content import SharedContent
from pipeline.language.hypernyms import hypernyms

WORDS = ["rifle", "cannon", "sword", "wheat", "run", "qqq", "of"]


def reference(one, other):
    """The information content of the rarest synset above both words."""
    known = hypernyms()
    both = known.synsets(one) & known.synsets(other)
    return max((-np.log(known.rarity(synset)) for synset in both), default=0)


def test_a_row_has_the_content_of_the_narrowest_synset_above_both_words():
    shared = SharedContent(WORDS, hypernyms())
    for word in [*WORDS, "gun", "barley"]:
        np.testing.assert_allclose(shared.row(word), [reference(word, other) for other in WORDS], rtol=1e-6)


def test_a_gun_has_more_in_common_with_a_rifle_than_with_a_sword_and_least_with_wheat():
    rifle, _, sword, wheat, *_ = SharedContent(WORDS, hypernyms()).row("gun")
    assert rifle > sword > wheat


def test_every_content_is_a_number_whatever_the_words():
    known = hypernyms()
    assert min(map(known.rarity, range(72_000))) > 0


def test_words_that_wordnet_lacks_are_not_known_and_share_nothing():
    shared = SharedContent(WORDS, hypernyms())
    assert not shared.known[WORDS.index("qqq")]
    assert not shared.row("qqq").any()
