"""Options that several verbs of `whet listen` share, and what is opened by them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from whetstone.episodes.embedding import Embedder
    from whetstone.episodes.evidence.searching import SearchEndpoint
    from whetstone.episodes.model.writer import Writer

LIBRARY_HELP = "The file that keeps all episodes ($WHETSTONE_LIBRARY)."
Library = Annotated[Path | None, typer.Option(help=LIBRARY_HELP, show_default="in your data folder")]
With = Annotated[
    str | None,
    typer.Option(
        "--with",
        metavar="MODEL",
        help="A model that reads: https://HOST/v1, smollm2-135m, a folder.",
        show_default="no model",
    ),
]
ModelName = Annotated[str | None, typer.Option("--model", help="What an endpoint calls the model.", show_default=False)]
Context = Annotated[int | None, typer.Option(min=1024, help="Tokens that the model takes.", show_default=False)]
Embeddings = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Search by meaning with https://HOST/v1/embeddings.", show_default="hashed words"),
]
EmbeddingsName = Annotated[
    str | None, typer.Option("--embeddings-model", help="What that endpoint calls its model.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


def require_together(options: dict[str, tuple[object, object, str]]) -> None:
    """Raises UsageError for an option that means nothing without another: (its value, the other's, the other)."""
    from whetstone.errors import UsageError

    for option, (value, other, needed) in options.items():
        if value and not other:
            raise UsageError(f"{option} needs {needed}")


def reader(
    model: str | None, name: str | None, key: Path | None, settings: Path | None, context: int | None
) -> Writer | None:
    """The model behind `--with`, None without one. Raises UsageError."""
    require_together(
        {
            "--model": (name, model, "--with"),
            "--context": (context, model, "--with"),
            "--api-key-file": (key, model, "--with"),
            "--endpoint-settings": (settings, model, "--with"),
        }
    )
    return writer(model, name, key, settings, context) if model else None


def writer(spec: str, name: str | None, key: Path | None, settings: Path | None, context: int | None) -> Writer:
    """A model that reads or writes: an endpoint, a folder or a name. Raises UsageError."""
    from whetstone.engine.backends import Source
    from whetstone.episodes.model.writer import Writer

    remote = spec.startswith(("http://", "https://"))
    return Writer.open(Source(spec, name, key if remote else None, settings if remote else None), context)


def search_endpoint(address: str | None, key_file: Path | None) -> SearchEndpoint | None:
    """Where evidence is looked for, None without an address. Raises UsageError."""
    if address is None:
        return None
    from whetstone.episodes.evidence.searching import SearchEndpoint, SearchKey

    return SearchEndpoint(address, SearchKey.found(key_file))


def embedder(address: str | None, name: str | None) -> Embedder | None:
    """Whose vectors search by meaning compares, None for the floor. Raises UsageError."""
    require_together({"--embeddings": (address, name, "--embeddings-model"),
                       "--embeddings-model": (name, address, "--embeddings")})  # fmt: skip
    if address is None or name is None:
        return None
    from whetstone.engine.remote.endpoint import checked_address, environment_key
    from whetstone.episodes.embedding import EndpointEmbedder

    return EndpointEmbedder(address, name, environment_key(checked_address(address)))
