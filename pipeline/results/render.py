"""Templates of `templates/` filled in; what comes from outside is escaped as the form wants."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.printable import plain

if TYPE_CHECKING:
    import jinja2

FOLDER = Path(__file__).parent / "templates"


@cache
def html(name: str) -> jinja2.Template:
    """A template of HTML, which escapes what it is given."""
    return _environment(plain, autoescape=True).get_template(name)


def markdown(name: str) -> jinja2.Template:
    """A template of Markdown, in which what it is given is text and nothing else."""
    return _environment(escaped).get_template(name)


def escaped(text: str) -> str:
    """A text from outside as one line of Markdown that shows it as it is."""
    shown = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|~$])", r"\\\1", shown)


def _environment(made_harmless: Any, **options: Any) -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: made_harmless(value) if type(value) is str else value,
        **options,
    )
