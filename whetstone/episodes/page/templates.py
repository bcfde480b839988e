"""Filling templates with strangers' words: every value is escaped, and what a screen would obey is spelled out."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from whetstone.episodes.page.clock import clock, day, length, number
from whetstone.episodes.page.links import web_link
from whetstone.text import printable


def fill(template: str, **values: Any) -> str:
    """A page. `template` is a file below whetstone/episodes/ ("page/episode.html.j2")."""
    return _environment().get_template(template).render(**values)


def read(name: str) -> str:
    """A template, style or script: a file below whetstone/episodes/."""
    return resources.files("whetstone.episodes").joinpath(*name.split("/")).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(read),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clock": clock, "day": day, "length": length, "number": number, "web": web_link}
    return environment


def _finalize(value: Any) -> Any:
    """Runs on each {{ value }} before it is escaped; markup that we made ourselves passes."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
