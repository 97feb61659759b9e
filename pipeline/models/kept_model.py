"""The model that was loaded last, and how much of it, so that it is loaded once for all that read it."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pipeline.models.part import Part

Model = TypeVar("Model")


class KeptModel(Generic[Model]):
    """Keeps one model; `least` is what every model is loaded with at least."""

    def __init__(self) -> None:
        self.key: Any = None
        self.part = self.least = Part(-1)
        self.model: Model | None = None

    def load(self, key: Any, part: Part, load: Any) -> Model:
        """The kept model, if it is that of the key and holds the part; else it makes room for it."""
        part = part.with_(self.least)
        if key == self.key:
            part = part.with_(self.part)
        if self.model is None or key != self.key or part != self.part:
            self.model = self.key = None
            self.model = load(*key, part)
            self.key, self.part = key, part
        return self.model
