"""From what the user calls a model to something that answers: the local engine, vLLM, or an endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whetstone.engine.protocol import Request, Sampler
from whetstone.engine.remote.credentials import ApiKey
from whetstone.errors import UsageError
from whetstone.models.hub import is_endpoint, resolve
from whetstone.models.loading import Loaded, load
from whetstone.models.tokenizer import Tokenizer
from whetstone.tasks.task import Message

if TYPE_CHECKING:
    from whetstone.engine.draft import Draft

BACKENDS = ("local", "vllm")


@dataclass(frozen=True)
class Backend:
    """A sampler and what is known about its model. No tokenizer: it takes messages; no positions: nobody knows."""

    sampler: Sampler
    tokenizer: Tokenizer | None = None
    positions: int | None = None

    @property
    def stop_ids(self) -> frozenset[int]:
        """Ids that end an answer; none where the backend alone knows them."""
        return frozenset() if self.tokenizer is None else self.tokenizer.stop_ids

    def request(self, messages: list[Message], seeds: tuple[int, ...]) -> Request:
        """Messages as this backend takes them."""
        ids = () if self.tokenizer is None else tuple(self.tokenizer.chat_ids(messages))
        return Request(ids, seeds, tuple(messages))

    def facts(self) -> dict[str, Any] | None:
        """What a report should say about it; None for the local engine, about which the model says all."""
        from whetstone.engine.remote.endpoint import Endpoint

        if isinstance(self.sampler, Endpoint):
            return self.sampler.facts()
        return None


@dataclass
class DraftSource:
    """A model that shall guess tokens for others, as the user named it. `weights`: how they are kept (`runner_for`)."""

    model: str
    weights: str = "auto"
    device: str = "cpu"
    _loaded: Loaded | None = field(default=None, init=False, repr=False)

    def proposer(self, target: Loaded, **cache: int) -> Draft:
        """What guesses for an engine on `target`; `cache` as `Draft` takes it.

        Raises UsageError: a model that cannot be loaded, another vocabulary, weights that cannot be kept so."""
        from whetstone.engine.draft import Draft, require_same_tokens
        from whetstone.engine.runners import runner_for

        if target.name == self.model:
            self._loaded = (
                target  # a model itself, its weights kept narrower, is a good draft: no need to load it twice
            )
        elif self._loaded is None:
            self._loaded = load(self.model, self.device)
        draft = self._loaded
        require_same_tokens(target.tokenizer, draft.tokenizer, target.name, draft.name)
        return Draft(draft.model, runner=runner_for(draft.model, self.weights), **cache)


def local(loaded: Loaded, draft: DraftSource | None = None) -> Backend:
    """The engine on a model that is loaded. Raises UsageError for a draft model that does not fit."""
    from whetstone.engine.engine import Engine

    engine = Engine(loaded.model, proposers=[] if draft is None else [draft.proposer(loaded)])
    return Backend(engine, loaded.tokenizer, engine.capacity)


@dataclass(frozen=True)
class Source:
    """What the user typed. `model`: a folder, a .gguf file, smollm2-135m, hf:OWNER/NAME, or http(s)://…/v1.

    name: what an endpoint calls the model. api_key_file: else $OPENAI_API_KEY, which is sent by https or to this
    machine only. settings: a TOML file for an endpoint (`EndpointSettings`). backend: "local" or "vllm".
    draft: a smaller model with the same tokenizer that guesses tokens for the local engine, its weights kept as
    `draft_weights` says ("auto", "fp32", "bf16", "int8"); it changes the speed and nothing else.

    Raises UsageError for options that do not belong together; nothing is read or loaded before `open`.
    """

    model: str
    name: str | None = None
    api_key_file: Path | None = None
    settings: Path | None = None
    backend: str = "local"
    device: str = "cpu"
    draft: str | None = None
    draft_weights: str = "auto"

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise UsageError(f"unknown backend {self.backend!r}; choose one of {', '.join(BACKENDS)}")
        if self.draft is not None and (is_endpoint(self.model) or self.backend != "local"):
            raise UsageError("a draft model is for the local engine: leave out --draft")
        if self.draft is None and self.draft_weights != "auto":
            raise UsageError("--draft-weights is for a draft model: name one by --draft")
        for_endpoints = {
            "--model": self.name,
            "--api-key-file": self.api_key_file,
            "--endpoint-settings": self.settings,
        }
        given = [option for option, value in for_endpoints.items() if value is not None]
        if is_endpoint(self.model):
            if not self.name:
                raise UsageError(
                    f"an endpoint may serve several models: name one by --model ({self.model}/models lists them)"
                )
            if self.backend != "local":
                raise UsageError("an endpoint brings its own engine: leave out --backend")
        elif given:
            raise UsageError(f"{given[0]} is for an endpoint, and {self.model!r} is none: leave it out")

    def open(self) -> Backend:
        """Load the weights, or get ready to ask the endpoint (no request is sent). Raises UsageError."""
        if is_endpoint(self.model):
            return self._endpoint()
        if self.backend == "vllm":
            return self._vllm()
        draft = None if self.draft is None else DraftSource(self.draft, self.draft_weights, self.device)
        return local(load(self.model, self.device), draft)

    def weights(self) -> Loaded:
        """The model itself, for what only weights can tell. Raises UsageError where there are none to load."""
        if is_endpoint(self.model) or self.backend != "local":
            raise UsageError(
                f"the likelihood of given texts needs a model's own weights, and {self.model} with backend "
                f"{self.backend!r} only answers: name a local model, or let it write its answer by another --style"
            )
        return load(self.model, self.device)

    def _endpoint(self) -> Backend:
        from whetstone.engine.remote.endpoint import Endpoint, checked_address, environment_key
        from whetstone.engine.remote.settings import EndpointSettings

        address = checked_address(self.model)
        settings = EndpointSettings() if self.settings is None else EndpointSettings.load(self.settings)
        key = environment_key(address) if self.api_key_file is None else ApiKey.from_file(self.api_key_file)
        return Backend(Endpoint(address, self.name or "", key, settings))

    def _vllm(self) -> Backend:
        from whetstone.engine.vllm_backend import VllmEngine
        from whetstone.models.files import read_json

        folder = resolve(self.model)
        if not (folder / "config.json").is_file():
            raise UsageError(f"vLLM takes whole models, and {folder} holds an adapter: leave out --backend vllm")
        positions = read_json(folder / "config.json").get("max_position_embeddings")
        return Backend(VllmEngine(folder), Tokenizer.load(folder), positions if isinstance(positions, int) else None)
