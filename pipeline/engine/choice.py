"""Which engine computes a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from pipeline.config import Config
from pipeline.engine.engines import Engine
from pipeline.errors import UserError


@contextmanager
def chosen(config: Config, given: Engine | None = None, *, here: Engine) -> Iterator[Engine]:
    """The engine that is given, or that the settings name, `here` the one of this machine; what that one
    started has ended afterwards.

    Raises UserError where it is not installed.
    """
    if given or config.engine == "process":
        yield given or here
        return
    if find_spec("ray") is None:
        raise UserError(
            "ENGINE is ray, and Ray is not installed: `pip install 'feature-neurons[ray]'` into the same "
            "environment, on every node"
        )
    from pipeline.engine.ray_engine import Ray

    with Ray(config) as engine:
        yield engine
