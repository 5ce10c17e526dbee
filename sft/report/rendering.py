"""The templates of the pages: escaped unless they say otherwise, and an unknown name is an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2


def template(name: str) -> jinja2.Template:
    """A template of `sft/report/templates`, ready to be filled."""
    return _environment().get_template(name)


@cache
def _environment() -> jinja2.Environment:
    """One for the process: a template takes longer to compile than to fill."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
