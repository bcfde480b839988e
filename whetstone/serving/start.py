"""What `whet serve` and `wh.serve` are given, in the form that the server takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from whetstone.errors import UsageError

if TYPE_CHECKING:
    from whetstone.engine.backends import DraftSource
    from whetstone.engine.engine import Engine
    from whetstone.models.loading import Loaded
    from whetstone.serving.models import MakeEngine
    from whetstone.serving.server import Background

CACHE_GIB = 4.0  # for keys and values of each model
EXTRA = "fastapi", "starlette", "uvicorn", "llguidance"


def serve(
    *models: str,
    adapters: Mapping[str, str] | None = None,
    strategies: Mapping[str, str] | None = None,
    routes: Mapping[str, str | Path] | None = None,
    endpoints: str | Path | None = None,
    verifiers: Iterable[str | Path] = (),
    host: str = "127.0.0.1",
    port: int = 8000,
    api_keys: Iterable[str] = (),
    device: str = "cpu",
    weights: str = "auto",
    draft: str | None = None,
    draft_weights: str = "auto",
) -> Background:
    """Serve models by OpenAI's API in a thread of this process, until `stop()` or the end of a `with` block.

        with wh.serve("smollm2-135m", port=0) as server:
            client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")

    Args:
        models: as `whet serve` takes them; NAME=MODEL chooses a name.
        adapters: name -> folder of a LoRA adapter.
        routes: name -> folder of `whet route`.
        endpoints: a TOML file that names the endpoints that routes ask, as `whet route` takes it.
        verifiers: folders of learned verifiers, as `whet scale --verifier new` makes them: `MODEL@best-8:by=head`.
        strategies: name -> MODEL@STRATEGY, as in {"careful": "smollm2-135m@consistency-8"}.
        port: 0 takes a free one.
        weights: how the engine keeps them; "bf16" and "int8" are quicker on a CPU and a little off.
        draft: a smaller model with the same tokenizer that guesses tokens; it changes the speed and no answer.
        draft_weights: as `weights`, for the draft model.
        api_keys: one of them is needed then; without any, only this machine can be served.

    Raises:
        UsageError: an unknown model, a port in use, a host that others can reach and no key, a package that is missing,
            a draft model with another tokenizer.
    """
    need_extra()
    from whetstone.serving.offers import Offers
    from whetstone.serving.server import Background, Server, Settings

    offers = Offers(
        dict(strategies or {}),
        routes={name: Path(folder) for name, folder in (routes or {}).items()},
        heads=tuple(map(Path, verifiers)),
        endpoints=None if endpoints is None else Path(endpoints),
    )
    settings = Settings(host, port, tuple(api_keys), offers=offers)
    make_engine = engine_maker(weights, draft=draft_source(draft, draft_weights, device))
    return Background(Server(models, adapters, settings, device, make_engine))


def draft_source(model: str | None, weights: str, device: str) -> DraftSource | None:
    """The draft model that the user named, None for none. Raises UsageError for weights of no draft model."""
    from whetstone.engine.backends import DraftSource

    if model is None and weights != "auto":
        raise UsageError("--draft-weights is for a draft model: name one by --draft")
    return None if model is None else DraftSource(model, weights, device)


def engine_maker(weights: str = "auto", cache_gib: float = CACHE_GIB, draft: DraftSource | None = None) -> MakeEngine:
    """What gives a model its engine: how weights are kept ("auto", "fp32", "bf16", "int8"; see docs/serve.md), the
    memory for its cache (and as much for that of its draft model), who guesses. Guessing tokens from the text is on: it
    costs little and never changes an answer."""
    from whetstone.engine.engine import Engine
    from whetstone.engine.runners import runner_for
    from whetstone.engine.speculate import Lookup, Proposer

    def make(loaded: Loaded) -> Engine:
        runner, cache_bytes = runner_for(loaded.model, weights), int(cache_gib * 2**30)
        drafts: list[Proposer] = [] if draft is None else [draft.proposer(loaded, cache_bytes=cache_bytes)]
        return Engine(loaded.model, cache_bytes=cache_bytes, runner=runner, proposers=[*drafts, Lookup()])

    return make


def need_extra() -> None:
    """Raises UsageError where the packages of the server are not installed."""
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise UsageError(f"the server needs {missing[0]}: pip install 'whetstone-lab[serve]'")


def read_keys(path: Path | None) -> tuple[str, ...]:
    """The keys in a file, one a line; empty lines and those that begin with # are left out. Raises UsageError."""
    if path is None:
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as failure:
        raise UsageError(f"the key file {path} cannot be read ({failure})") from failure
    keys = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not keys:
        raise UsageError(f"the key file {path} holds no key: write one a line, such as `openssl rand -hex 32` gives")
    if not all(key.isascii() and key.isprintable() and " " not in key for key in keys):
        raise UsageError(f"a key in {path} has blanks or characters that HTTP cannot carry")
    return keys


def adapter_folders(given: Iterable[str]) -> dict[str, str]:
    """{name: folder} of arguments NAME=DIR. Raises UsageError."""
    folders: dict[str, str] = {}
    for argument in given:
        name, equals, folder = argument.partition("=")
        if not (name and equals and folder):
            raise UsageError(f"--adapter {argument!r} is not of the form NAME=DIR")
        if name in folders:
            raise UsageError(f"two adapters cannot both be called {name!r}")
        folders[name] = folder
    return folders
