"""How much two words have in common by WordNet: the information content of the narrowest synset above both.

It is -log of the share of all words that the synset covers (Resnik 1995), nats; 0 where no synset covers
both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from pipeline.language.hypernyms import Hypernyms


class SharedContent:
    """What any word has in common with each of `words`."""

    def __init__(self, words: Sequence[str], hypernyms: Hypernyms) -> None:
        self.hypernyms = hypernyms
        self.known = np.array([bool(hypernyms.synsets(word)) for word in words], bool)
        below: dict[int, list[int]] = defaultdict(list)
        for place, word in enumerate(words):
            for synset in hypernyms.synsets(word):
                below[synset].append(place)
        self._below = {synset: np.array(places) for synset, places in below.items()}

    def row(self, word: str) -> np.ndarray:
        """Its information content with each of the words, (words,) float32, nats."""
        content = np.zeros(len(self.known), np.float32)
        own = self._below.keys() & self.hypernyms.synsets(word)
        for rarity, synset in sorted(((self.hypernyms.rarity(s), s) for s in own), reverse=True):
            content[self._below[synset]] = -np.log(rarity)
        return content
