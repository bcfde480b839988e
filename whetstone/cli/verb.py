"""Verbs with many options: the options are the fields of a dataclass, the work is its `run`. A class attribute `PANELS`
(field -> heading) groups them in `--help`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, fields
from typing import Annotated, Any, ClassVar, Protocol, get_args, get_type_hints


class Verb(Protocol):
    """What a user asked for. Fields are annotated as typer's parameters are; the docstring is the help."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def run(self) -> None:
        """Do it."""
        ...


def command(verb: type[Verb]) -> Callable[..., None]:
    """The function that typer takes a command from."""
    hints = get_type_hints(verb, include_extras=True)
    for name, panel in getattr(verb, "PANELS", {}).items():
        hints[name] = _under(panel, hints[name])
    parameters = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if each.default is MISSING else each.default,
            annotation=hints[each.name],
        )
        for each in fields(verb)
    ]

    def run(**given: Any) -> None:
        verb(**given).run()

    run.__doc__ = verb.__doc__
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _under(panel: str, annotation: Any) -> Any:
    """An option, shown under a heading."""
    kind, option = get_args(annotation)
    shown = copy(option)
    shown.rich_help_panel = panel
    return Annotated[kind, shown]
