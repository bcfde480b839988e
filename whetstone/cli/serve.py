"""`whet serve`: models behind OpenAI's API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whetstone.cli.options import MODEL_HELP, Device, DraftModel, DraftWeights, Weights
from whetstone.serving.start import CACHE_GIB


def serve(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help=f"{MODEL_HELP} NAME=MODEL chooses its name.", show_default=False),
    ],
    adapter: Annotated[
        list[str] | None, typer.Option(metavar="NAME=DIR", help="A LoRA adapter, served as the model NAME; repeatable.")
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=MODEL@STRATEGY", help="A strategy with a model name of its own; repeatable."),
    ] = None,
    route: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help="A route of `whet route`, as the model NAME; repeatable."),
    ] = None,
    endpoints: Annotated[
        Path | None,
        typer.Option(help="TOML file that names the endpoints that routes ask (docs/routing.md).", show_default=False),
    ] = None,
    verifier: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="A learned verifier of `whet scale`, as in MODEL@best-8:by=head; repeatable."),
    ] = None,
    effort: Annotated[
        list[str] | None,
        typer.Option(metavar="EFFORT=TOKENS", help="Thinking budget of a reasoning_effort; repeatable."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    api_key_file: Annotated[
        Path | None, typer.Option(help="A file of keys, one a line, one of which is needed.")
    ] = None,
    allow_host: Annotated[list[str] | None, typer.Option(help="A further name in Host headers; repeatable.")] = None,
    allow_origin: Annotated[list[str] | None, typer.Option(help="A web page that may ask; repeatable.")] = None,
    queue: Annotated[int, typer.Option(min=1, help="Prompts that may run and wait; the next gets 429.")] = 256,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer that may be asked for.")] = None,
    cache_gib: Annotated[float, typer.Option(min=0.01, help="Memory for keys and values, for each model.")] = CACHE_GIB,
    device: Device = "cpu",
    weights: Weights = "auto",
    draft: DraftModel = None,
    draft_weights: DraftWeights = "auto",
    library: Annotated[
        Path | None,
        typer.Option(help="Also show this library of episodes, at /episodes (docs/episodes.md).", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address and names as JSON when ready.")] = False,
) -> None:
    """Serve models by OpenAI's API: chat, completions, embeddings, tools, structured output.

    Example: `whet serve smollm2-135m --port 8000`

    Example: `whet serve smollm2-135m --strategy careful=smollm2-135m@consistency-8`. Clients may also ask for
    `smollm2-135m@consistency-8` by themselves.
    """
    import json

    from whetstone.serving.start import adapter_folders, draft_source, engine_maker, need_extra, read_keys

    need_extra()
    from whetstone.serving.limits import Limits
    from whetstone.serving.offers import Offers, named_strategies, thinking_budgets
    from whetstone.serving.routes import named_routes
    from whetstone.serving.server import Server, Settings

    settings = Settings(
        host,
        port,
        read_keys(api_key_file),
        tuple(allow_host or ()),
        tuple(allow_origin or ()),
        limits=Limits(queue=queue, answer_tokens=max_tokens),
        offers=Offers(
            named_strategies(strategy or ()),
            thinking_budgets(effort or ()),
            routes=named_routes(route or ()),
            heads=tuple(verifier or ()),
            endpoints=endpoints,
        ),
    )
    make_engine = engine_maker(weights, cache_gib, draft_source(draft, draft_weights, device))
    rooms, shown = {}, ""
    if library is not None:
        from whetstone.episodes.library.app import library_app
        from whetstone.episodes.library.serve import PREFIX

        rooms[PREFIX], shown = library_app(library, hosts=None), f"{PREFIX}/"
    server = Server(models, adapter_folders(adapter or ()), settings, device, make_engine, rooms)

    def ready() -> None:
        told = {"url": server.url, "models": server.models}
        if shown:
            told["library"] = f"{server.url}{shown}"
        line = f"serving {', '.join(server.models)} at {server.url}/v1"
        more = f"\nthe library is at {told['library']}" if shown else ""
        print(json.dumps(told) if as_json else line + more, flush=True)

    server.run(ready)
