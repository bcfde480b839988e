"""Arguments and options that several verbs share, so that they are called and explained alike."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer


def _known_device(device: str) -> str:
    # checked here and not when it is used: by then minutes may have passed
    from whetstone.errors import UsageError

    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise UsageError(f"unknown device {device!r}; choose cpu or cuda")
    return device


def _listed(task: str) -> str:
    if task == "gym:?":
        from whetstone.tasks.gym.table import listing

        print(listing())
        raise typer.Exit
    return task


MODEL_HELP = "smollm2-135m, a folder, hf:OWNER/NAME, or a GGUF file."
Model = Annotated[str, typer.Argument(help=MODEL_HELP, show_default=False)]
ASKED_HELP = MODEL_HELP.removesuffix(".") + ", or an endpoint as https://HOST/v1."
AskedModel = Annotated[str, typer.Argument(metavar="MODEL", help=ASKED_HELP, show_default=False)]
ServedName = Annotated[str | None, typer.Option("--model", help="What an endpoint calls the model.")]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option(help="File with an endpoint's key; otherwise the variable OPENAI_API_KEY.", show_default=False),
]
EndpointFile = Annotated[
    Path | None,
    typer.Option(
        "--endpoint-settings", help="TOML file: limits, retries, prices (docs/backends.md).", show_default=False
    ),
]
BackendName = Annotated[str, typer.Option("--backend", help="For weights: local, or vllm where it is installed.")]
Task = Annotated[
    str,
    typer.Option(
        help="A built-in task, gym:NAME (gym:? lists them), your own as file.py:Class, or a .jsonl, .json or .parquet.",
        callback=_listed,
        is_eager=True,  # the list is printed before other arguments are asked for
    ),
]
Level = Annotated[int | None, typer.Option(help="Difficulty; the task's own default otherwise.")]
Weights = Annotated[
    str,
    typer.Option(help="How the engine keeps weights: auto (exact), or on a CPU bf16 or int8 (quicker, a little off)."),
]
DraftModel = Annotated[
    str | None,
    typer.Option(
        "--draft",
        metavar="MODEL",
        help="A smaller model with the same tokenizer that guesses tokens: other speed, same answers.",
        show_default=False,
    ),
]
DraftWeights = Annotated[
    str, typer.Option(help="How those of the draft model are kept: auto, or on a CPU bf16 or int8.")
]
Device = Annotated[str, typer.Option(help="cpu or cuda.", callback=_known_device)]
