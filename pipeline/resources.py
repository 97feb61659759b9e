"""Where the files that ship with the package lie: `sql/` and the embedded model.

In a checkout they are at the top level; in an installed wheel, inside the package.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def resource(name: str) -> Path:
    """The folder `name` ("sql" or "data/demo") of the wheel or of the checkout."""
    inside = _PACKAGE / name
    return inside if inside.exists() else _PACKAGE.parent / name


def in_checkout() -> bool:
    """Whether the package lies in a checkout, with its Makefile, and not in an installed wheel."""
    return not (_PACKAGE / "sql").exists()
