"""`whet serve`: models behind OpenAI's API."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whetstone.cli.options import MODEL_HELP, Device, DraftModel, DraftWeights, Weights
from whetstone.serving.start import CACHE_GIB

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from whetstone.serving.server import Server, Settings


@dataclass(frozen=True)
class Serve:
    """Serve models by OpenAI's API: chat, completions, embeddings, tools, structured output.

    Example: `whet serve smollm2-135m --port 8000`

    Example: `whet serve smollm2-135m --strategy careful=smollm2-135m@consistency-8`. Clients may also ask for
    `smollm2-135m@consistency-8` by themselves.

    Example: `whet serve smollm2-135m --verifier scale/verifiers/smollm2-135m-addition-2`, for
    `smollm2-135m@best-8:by=head`.

    Example: `whet serve smollm2-135m --draft smollm2-135m --draft-weights int8`: the same answers, sooner.
    """

    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help=f"{MODEL_HELP} NAME=MODEL chooses its name.", show_default=False),
    ]
    adapter: Annotated[
        list[str] | None, typer.Option(metavar="NAME=DIR", help="A LoRA adapter, served as the model NAME; repeatable.")
    ] = None
    strategy: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=MODEL@STRATEGY", help="A strategy with a model name of its own; repeatable."),
    ] = None
    route: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help="A route of `whet route`, as the model NAME; repeatable."),
    ] = None
    endpoints: Annotated[
        Path | None,
        typer.Option(help="TOML file that names the endpoints that routes ask (docs/routing.md).", show_default=False),
    ] = None
    verifier: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="A learned verifier of `whet scale`, as in MODEL@best-8:by=head; repeatable."),
    ] = None
    effort: Annotated[
        list[str] | None,
        typer.Option(metavar="EFFORT=TOKENS", help="Thinking budget of a reasoning_effort; repeatable."),
    ] = None
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs a key.")] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000
    api_key_file: Annotated[Path | None, typer.Option(help="A file of keys, one a line, one of which is needed.")] = (
        None
    )
    allow_host: Annotated[list[str] | None, typer.Option(help="A further name in Host headers; repeatable.")] = None
    allow_origin: Annotated[list[str] | None, typer.Option(help="A web page that may ask; repeatable.")] = None
    queue: Annotated[int, typer.Option(min=1, help="Prompts that may run and wait; the next gets 429.")] = 256
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer that may be asked for.")] = None
    cache_gib: Annotated[float, typer.Option(min=0.01, help="Memory for keys and values, for each model.")] = CACHE_GIB
    device: Device = "cpu"
    weights: Weights = "auto"
    draft: DraftModel = None
    draft_weights: DraftWeights = "auto"
    library: Annotated[
        Path | None,
        typer.Option(help="Also show this library of episodes, at /episodes (docs/episodes.md).", show_default=False),
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print the address and names as JSON when ready.")] = False

    def run(self) -> None:
        from whetstone.serving.start import adapter_folders, draft_source, engine_maker, need_extra

        need_extra()
        from whetstone.serving.server import Server

        settings = self._settings()
        draft = draft_source(self.draft, self.draft_weights, self.device)
        make_engine = engine_maker(self.weights, self.cache_gib, draft)
        rooms = self._rooms()
        server = Server(self.models, adapter_folders(self.adapter or ()), settings, self.device, make_engine, rooms)
        server.run(lambda: self._tell(server, *rooms))

    def _settings(self) -> Settings:
        from whetstone.serving.limits import Limits
        from whetstone.serving.offers import Offers, named_strategies, thinking_budgets
        from whetstone.serving.routes import named_routes
        from whetstone.serving.server import Settings
        from whetstone.serving.start import read_keys

        offers = Offers(
            named_strategies(self.strategy or ()),
            thinking_budgets(self.effort or ()),
            routes=named_routes(self.route or ()),
            heads=tuple(self.verifier or ()),
            endpoints=self.endpoints,
        )
        limits = Limits(queue=self.queue, answer_tokens=self.max_tokens)
        allowed = tuple(self.allow_host or ()), tuple(self.allow_origin or ())
        return Settings(self.host, self.port, read_keys(self.api_key_file), *allowed, limits=limits, offers=offers)

    def _rooms(self) -> dict[str, ASGIApp]:
        """What is served beside the models, by path."""
        if self.library is None:
            return {}
        from whetstone.episodes.library.app import library_app
        from whetstone.episodes.library.serve import PREFIX

        return {PREFIX: library_app(self.library, hosts=None)}

    def _tell(self, server: Server, library: str | None = None) -> None:
        import json

        told: dict[str, object] = {"url": server.url, "models": server.models}
        lines = [f"serving {', '.join(server.models)} at {server.url}/v1"]
        if library is not None:
            told["library"] = f"{server.url}{library}/"
            lines.append(f"the library is at {told['library']}")
        print(json.dumps(told) if self.as_json else "\n".join(lines), flush=True)
