"""What neurons are called in the report and where their pages are; only here their keys are taken apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

Key = tuple[
    Any, ...
]  # the values of NEURON_KEY: model, layer and sign, which are its place, then its number
Place = tuple[str, int, str]


class Names:
    """Names of the neurons of some places, and of the places."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = list(places)
        self._folders = _folders(dict.fromkeys(model for model, *_ in places))
        self._number = {place: number for number, place in enumerate(places)}

    @property
    def several(self) -> bool:
        """Whether there is more than one place."""
        return len(self.places) > 1

    def number(self, key: Key) -> int:
        """Which of the places a neuron, or a place, belongs to, from 0."""
        return self._number[key[:3]]

    def short(self, place: Place) -> str:
        """As much of a place's name as distinguishes it from the others; of one only, nothing."""
        model, layer, sign = place
        of_several = len(self._folders) > 1
        own = f"{layer}{'' if sign == 'positive' else ' neg'}"
        return f"{model}/{own}" if of_several else own if self.several else ""

    def told(self, place: Place) -> str:
        """The same in words."""
        model, layer, sign = place
        own = f"layer {layer}{'' if sign == 'positive' else ', negative'}"
        return f"{model}, {own}" if len(self._folders) > 1 else own

    def label(self, key: Key) -> str:
        """A neuron's name: as much of its key as distinguishes it from the others."""
        return "/".join(filter(None, (self.short(key[:3]), self.own(key))))

    def own(self, key: Key) -> str:
        """A neuron's name among those of its place."""
        return "-".join(map(str, key[3:]))

    def folder(self, place: Place) -> str:
        """Where the pages of a place are in the report."""
        model, layer, sign = place
        return f"neurons/{self._folders[model]}/{layer}{'' if sign == 'positive' else '-negative'}"

    def page(self, key: Key) -> str:
        """Where a neuron's page is in the report."""
        return f"{self.folder(key[:3])}/{self.own(key)}.html"

    def ranges(self, keys: Iterable[Key]) -> list[list[list[int]]]:
        """For each place the numbers of its neurons among `keys`, as first and last of each run."""
        numbers: list[list[int]] = [[] for _ in self.places]
        for key in keys:
            numbers[self.number(key)].append(key[3])
        return [_runs(each) for each in numbers]

    def title(self) -> str:
        """The models and layers."""
        layers_of: dict[str, list[int]] = {}
        for model, layer, _ in self.places:
            if layer not in layers_of.setdefault(model, []):
                layers_of[model].append(layer)
        both = ", both ends" if any(sign == "negative" for *_, sign in self.places) else ""
        return both.join(
            [
                "; ".join(
                    f"{model}, layer{'s' if len(layers) > 1 else ''} "
                    + ", ".join(
                        str(first) if first == last else f"{first} to {last}"
                        for first, last in _runs(layers)
                    )
                    for model, layers in layers_of.items()
                ),
                "",
            ]
        )


def _runs(numbers: Iterable[int]) -> list[list[int]]:
    """The first and the last of each run of numbers, which are in order."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number <= found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def _folders(models: Iterable[str]) -> dict[str, str]:
    """A distinct folder name for each model, of letters that are safe everywhere."""
    folder_of: dict[str, str] = {}
    for model in models:
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", model)
        taken = {other.lower() for other in folder_of.values()}  # some file systems ignore case
        folder_of[model] = name if name.lower() not in taken else f"{name}-{len(folder_of)}"
    return folder_of
