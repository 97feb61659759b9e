"""The settings of a run as a stage sees them: those that it declares, and no other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.config import DEFAULTS, Config
from pipeline.errors import UndeclaredError


class Settings(Config):
    """Some settings of a run, as they are handed to the stage that declares them.

    Reads like a Config: a property such as `model_name` can be read where all the settings that it is made
    of are declared. Raises UndeclaredError, which names stage and setting, for any other.
    """

    def __init__(self, config: Config, names: Iterable[str], stage: str) -> None:
        self.__dict__.update({name: getattr(config, name) for name in names}, _stage=stage)

    def __getattribute__(self, name: str) -> Any:
        own = object.__getattribute__(self, "__dict__")
        if name in DEFAULTS and name not in own:
            raise UndeclaredError(
                f"stage {own['_stage']} reads the setting {name}, which it does not declare; add it to "
                "`settings` of its Stage if it decides rows, else to `uses`"
            )
        return object.__getattribute__(self, name)

    __eq__, __hash__, __repr__ = object.__eq__, object.__hash__, object.__repr__

    def replaced(self, **values: Any) -> Settings:
        """The same settings with other values of some."""
        names = self.__dict__.keys() - {"_stage"}
        other = Settings(self, names, self.__dict__["_stage"])
        other.__dict__.update(values)
        return other
