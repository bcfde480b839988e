"""Arguments and options that several verbs share, so that they are called and explained alike."""

from __future__ import annotations

import re
from typing import Annotated

import typer


def _known_device(device: str) -> str:
    # checked here and not when it is used: by then minutes may have passed
    from whetstone.errors import UsageError

    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise UsageError(f"unknown device {device!r}; choose cpu or cuda")
    return device


MODEL_HELP = "smollm2-135m, a folder, hf:OWNER/NAME, or a GGUF file."
Model = Annotated[str, typer.Argument(help=MODEL_HELP, show_default=False)]
Task = Annotated[str, typer.Option(help="A built-in task, or your own as file.py:Class.")]
Level = Annotated[int | None, typer.Option(help="Difficulty; the task's own default otherwise.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.", callback=_known_device)]
