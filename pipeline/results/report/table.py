"""The rows of the overview's table in files of their own, scripts: a page from disk may load nothing else.

`table/found.js` has the feature neurons in their order and is loaded with the overview; `table/0.js` has
the other neurons of the first place, and so on; they are loaded when somebody asks for them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

from pipeline.results.report.names import Key, Names
from pipeline.results.report.neuron import Line

FIRST = 100  # feature neurons that stand in the overview itself, and rows that are shown at a time


class TableFiles:
    """The files of a folder, into which lines of neurons go in the order of their keys.

    `phrases` is what shows those that are `near`, as HTML.
    """

    def __init__(self, folder: Path, names: Names, near: set[Key]) -> None:
        folder.mkdir()
        self.phrases: dict[Key, str] = {}
        self._folder, self._names, self._near = folder, names, near
        self._found: dict[int, tuple[str, str]] = {}  # what is written, and the HTML
        self._n_neurons = 0
        self._places = 0
        self._file: IO[str] | None = None

    def add(self, line: Line) -> None:
        """Take up the next neuron."""
        place = self._names.number(line.key)
        while self._places <= place:
            self._open(str(self._places))
            self._places += 1
        what = [line.html, line.words, line.state, place, self._n_neurons, line.kind, *line.scores]
        text = json.dumps(what, ensure_ascii=False, separators=(",", ":"))
        self._n_neurons += 1
        if line.key in self._near:
            self.phrases[line.key] = line.phrase
        if line.order is None:
            self._write(text)
        else:
            self._found[line.order] = text, line.html if line.order < FIRST else ""

    def close(self) -> list[str]:
        """Write what is left; the HTML of the feature neurons that come first, in their order."""
        self._open("found")
        found = [self._found[order] for order in sorted(self._found)]
        for text, _ in found:
            self._write(text)
        self._end()
        return [html for _, html in found[:FIRST]]

    def _open(self, name: str) -> None:
        self._end()
        self._file = (self._folder / f"{name}.js").open("w", encoding="utf-8", errors="replace")
        self._file.write(f'(window.tables ??= {{}})["{name}"] = [\n')

    def _write(self, text: str) -> None:
        if self._file:
            self._file.write(f"{text},\n")

    def _end(self) -> None:
        if self._file:
            self._file.write("];\n")
            self._file.close()
