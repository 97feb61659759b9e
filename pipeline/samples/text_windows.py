"""Windows of texts: each text's ids, cut into parts of at most so many tokens, the BOS first in each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import pyarrow as pa

from pipeline.errors import PipelineError
from pipeline.models.language_model import LanguageModel
from pipeline.samples import winners

_LETTERS = 2**21  # of texts that are searched together, or one text
_TOKENISED = 256  # texts that are cut into tokens together
_FIRST = b"first"


@dataclass(frozen=True)
class Text:
    """A text that is scanned: `lines` gives its texts each time it is called; their number, where known;
    and how many are searched together at most, to batch windows of similar length."""

    lines: Callable[[], Iterable[str]]
    n_texts: int | None = None
    grouped: int = 2048

    def ranges(self, first: int = 0) -> Iterator[pa.Table]:
        """Ranges of texts, a column `text`, from a first text on; each knows the number of its first."""
        texts: list[str] = []
        letters = 0
        for line in islice(self.lines(), first, None):
            if texts and (len(texts) == self.grouped or letters + len(line) > _LETTERS):
                yield _range(texts, first)
                texts, letters, first = [], 0, first + len(texts)
            texts.append(line)
            letters += len(line)
        if texts:
            yield _range(texts, first)


class Window(NamedTuple):
    """A window of the text: its number, its place (`winners.place`) and its ids, the BOS first."""

    number: int
    place: int
    ids: list[int]


def _range(texts: list[str], first: int) -> pa.Table:
    text = pa.array(texts, pa.large_string())
    return pa.table({"text": text}).replace_schema_metadata({_FIRST: str(first)})


def first_of(texts: pa.Table) -> int:
    """The number of the first text of a range."""
    return int(texts.schema.metadata[_FIRST])


def windows(model: LanguageModel, texts: pa.Table, longest: int, number: int = 0) -> Iterator[Window]:
    """All windows of a range of texts in their order, numbered from there on."""
    text = first_of(texts)
    for start in range(0, len(texts), _TOKENISED):
        for ids in model.encode_batch(texts["text"].slice(start, _TOKENISED).to_pylist()):
            for part in range(len(range(0, len(ids), longest - 1))):
                yield Window(number, winners.place(text, part), _cut(model, ids, longest, part))
                number += 1
            text += 1


def again(
    model: LanguageModel, lines: Iterable[str], longest: int, wanted: Iterable[int]
) -> Iterator[list[int]]:
    """The ids of the windows at these places, in their order; only their texts are cut into tokens.

    Raises PipelineError where there is no such window any more.
    """
    texts = enumerate(lines)
    read, ids = -1, []
    for place in wanted:
        text, part = winners.text_and_part(place)
        if read < text:
            line = next((line for read, line in texts if read == text), "")
            read, ids = text, model.encode_batch([line])[0]
        window = _cut(model, ids, longest, part)
        if len(window) == 1:
            raise changed()
        yield window


def changed() -> PipelineError:
    """The error to raise where a text that is read again is not what it was."""
    return PipelineError("TEXT or MODEL has changed while it was scanned; run again")


def _cut(model: LanguageModel, ids: list[int], longest: int, part: int) -> list[int]:
    start = part * (longest - 1)
    return [model.bos_id, *ids[start : start + longest - 1]]
