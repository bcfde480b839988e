"""`whet chat`: talk to a model in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whetstone.cli.options import MODEL_HELP, Device, Weights


def chat(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help=f"{MODEL_HELP} Or http(s)://…/v1, a server that runs already.")
    ] = "smollm2-135m",
    name: Annotated[str | None, typer.Option("--model", help="Which of a server's models; its first one else.")] = None,
    system: Annotated[str, typer.Option(help="System message.")] = "",
    temperature: Annotated[float | None, typer.Option(min=0.0, max=2.0, help="0 is greedy.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 512,
    seed: Annotated[int | None, typer.Option(min=0, help="The same answers again.")] = None,
    api_key_file: Annotated[Path | None, typer.Option(help="A file with the server's key.")] = None,
    device: Device = "cpu",
    weights: Weights = "auto",
) -> None:
    """Talk to a model. Ctrl-C stops an answer, Ctrl-D leaves, /help tells the commands.

    Example: `whet chat smollm2-135m --temperature 0.7`
    """
    from contextlib import ExitStack, suppress

    from whetstone.serving.start import engine_maker, need_extra, read_keys

    need_extra()
    from whetstone.errors import UsageError
    from whetstone.serving.terminal import Api, Terminal

    with suppress(ImportError):
        import readline  # noqa: F401  (gives `input` its line editing and history)
    chosen = {"temperature": temperature, "max_tokens": max_tokens, "seed": seed}
    keys = read_keys(api_key_file)
    with ExitStack() as stack:
        if model.startswith(("http://", "https://")):
            url = model
        else:
            from whetstone.serving.server import Background, Server, Settings

            server = Server([model], None, Settings(port=0), device, engine_maker(weights))
            url = stack.enter_context(Background(server)).url + "/v1"
        api = Api(url, keys[0] if keys else None)
        known = api.models()
        if name is not None and name not in known:
            raise UsageError(f"the server has no model {name}; it has {', '.join(known)}")
        settings = {option: value for option, value in chosen.items() if value is not None}
        Terminal(api, name or known[0], settings, system).run()
