"""The package `pipeline` under a name that no module of your own has: `import feature_neurons`.

Beside a file `pipeline.py` or a folder `pipeline/` of your own, `import pipeline` takes yours. This package
takes the one that it was installed with, wherever it is imported.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_OURS = Path(__file__).resolve().parent.parent / "pipeline"


def _load() -> None:
    """Import our `pipeline`, by its place; raises ImportError where another of that name is in use."""
    there = sys.modules.get("pipeline")
    if there is not None:
        file = getattr(there, "__file__", None)
        if file is None or Path(file).resolve().parent != _OURS:
            raise ImportError(
                f"another module named pipeline is in use ({file or there}); import feature_neurons in a "
                "process that does not import that one"
            )
        return
    spec = importlib.util.spec_from_file_location(
        "pipeline", _OURS / "__init__.py", submodule_search_locations=[str(_OURS)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"there is no package in {_OURS}; install feature-neurons again")
    module = importlib.util.module_from_spec(spec)
    sys.modules["pipeline"] = module
    spec.loader.exec_module(module)


_load()

from pipeline import __version__, id_feature_neuron_results  # noqa: E402

__all__ = ["__version__", "id_feature_neuron_results", "main"]


def main() -> int:
    """The command `feature-neurons`; returns its exit code."""
    from pipeline import cli

    return cli.main()
