"""Windows of texts: each text's ids, cut into parts of at most so many tokens, the BOS first in each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pipeline.errors import PipelineError
from pipeline.models.language_model import LanguageModel
from pipeline.samples import winners

_TEXTS = 256  # that are cut into tokens together
_LETTERS = 2**20  # of such texts, or one text


class Window(NamedTuple):
    """A window of the text: its number, its place (`winners.place`) and its ids, the BOS first."""

    number: int
    place: int
    ids: list[int]


def windows(
    model: LanguageModel, lines: Iterable[str], longest: int, number: int = 0, place: int = 0
) -> Iterator[Window]:
    """All windows of the texts in their order, from the one on that has this number and place."""
    text, begin = winners.text_and_part(place)
    for group in _groups(lines, text):
        for ids in model.encode_batch(group):
            for part in range(begin, len(range(0, len(ids), longest - 1))):
                yield Window(number, winners.place(text, part), _cut(model, ids, longest, part))
                number += 1
            text, begin = text + 1, 0


def again(
    model: LanguageModel, lines: Iterable[str], longest: int, wanted: Iterable[tuple[int, int]]
) -> Iterator[Window]:
    """The windows with these numbers and places, in their order; only their texts are cut into tokens.

    Raises PipelineError where there is no such window any more.
    """
    texts = enumerate(lines)
    read, ids = -1, []
    for number, place in wanted:
        text, part = winners.text_and_part(place)
        if read < text:
            line = next((line for read, line in texts if read == text), "")
            read, ids = text, model.encode_batch([line])[0]
        window = _cut(model, ids, longest, part)
        if len(window) == 1:
            raise changed()
        yield Window(number, place, window)


def changed() -> PipelineError:
    """The error to raise where a text that is read again is not what it was."""
    return PipelineError("TEXT or MODEL has changed while it was scanned; run again")


def _cut(model: LanguageModel, ids: list[int], longest: int, part: int) -> list[int]:
    start = part * (longest - 1)
    return [model.bos_id, *ids[start : start + longest - 1]]


def _groups(lines: Iterable[str], first: int) -> Iterator[list[str]]:
    """Texts from a first one on, some together."""
    group: list[str] = []
    letters = 0
    for text, line in enumerate(lines):
        if text < first:
            continue
        if group and (len(group) == _TEXTS or letters + len(line) > _LETTERS):
            yield group
            group, letters = [], 0
        group.append(line)
        letters += len(line)
    if group:
        yield group
