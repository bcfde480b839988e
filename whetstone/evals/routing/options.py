"""What a user types as an option, and the models behind it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whetstone.engine.backends import Backend, Source, local
from whetstone.engine.engine import Engine
from whetstone.engine.routing.policy import Option
from whetstone.engine.strategies.names import METHODS, strategy_of
from whetstone.errors import UsageError
from whetstone.evals.looks import identity
from whetstone.models.config import ModelConfig
from whetstone.models.hub import is_endpoint
from whetstone.models.loading import Loaded, load

AT = "@"


class Endpoint(BaseModel):
    """One model behind an address, as a file of endpoints names it; paths are relative to that file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str = Field(min_length=1)
    model: str = Field(min_length=1)
    api_key_file: Path | None = None
    settings: Path | None = None


def read_endpoints(path: Path) -> dict[str, Endpoint]:
    """Endpoints by the names that options use. Raises UsageError that names the file and the line's key."""
    try:
        tables = tomllib.loads(path.expanduser().read_text(encoding="utf-8"))
        found = {name: Endpoint.model_validate(table) for name, table in tables.items()}
    except ValidationError as failure:
        first = failure.errors(include_input=False, include_url=False)[0]
        raise UsageError(f"{path}: {'.'.join(map(str, first['loc'])) or 'a model'}: {first['msg']}") from None
    except (OSError, ValueError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else failure
        raise UsageError(f"{path} cannot be read: {reason}") from None
    at = path.expanduser().parent
    return {
        name: each.model_copy(
            update={field: at / value for field in ("api_key_file", "settings") if (value := getattr(each, field))}
        )
        for name, each in found.items()
    }


@dataclass
class Model:
    """A model that options share. `name`: as the user typed it. Filled in by `open`: weights of its own are loaded once
    and stay, as features may be made of them."""

    name: str
    source: Source
    weights: str
    loaded: Loaded | None = None
    backend: Backend | None = None

    @property
    def priced_as(self) -> str:
        """The name in a price table: of an endpoint, the model's there."""
        return self.source.name or self.name

    @property
    def samples_of(self) -> str:
        """Whose samples its are in a file of samples: on another device the same weights and seeds draw others."""
        return self.weights if self.source.device == "cpu" else f"{self.weights} on {self.source.device}"

    @property
    def config(self) -> ModelConfig | None:
        return None if self.loaded is None else self.loaded.model.config

    @property
    def engine(self) -> Engine | None:
        """The local engine; None for others."""
        sampler = None if self.backend is None else self.backend.sampler
        return sampler if isinstance(sampler, Engine) else None

    def open(self) -> Backend:
        """What answers. Raises UsageError."""
        if self.backend is None:
            if is_endpoint(self.source.model) or self.source.backend != "local":
                self.backend = self.source.open()
            else:
                self.loaded = load(self.source.model, self.source.device)
                self.backend = local(self.loaded)
        return self.backend


def parsed(
    specs: Sequence[str], endpoints: Mapping[str, Endpoint], device: str
) -> tuple[list[Option], dict[str, Model]]:
    """Options, and their models by name. Raises UsageError: fewer than two, one named twice, no such model or method,
    a method that continues ids for an endpoint."""
    options: list[Option] = []
    models: dict[str, Model] = {}
    for spec in specs:
        name, at, strategy = spec.rpartition(AT)
        if not (at and name and strategy):
            raise UsageError(f"{spec!r} is no option: MODEL@STRATEGY, as in smollm2-135m@consistency-4")
        if name not in models:
            source = _source(name, endpoints, device)
            models[name] = Model(name, source, identity(source))
        _require_known(strategy, models[name])
        options.append(Option(name, strategy, models[name].weights))
    if len(options) < 2:
        raise UsageError("a route needs at least two options to choose between")
    names = [option.name for option in options]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"the option {twice[0]} is named twice")
    return options, models


def _source(name: str, endpoints: Mapping[str, Endpoint], device: str) -> Source:
    if name in endpoints:
        each = endpoints[name]
        return Source(each.address, each.model, each.api_key_file, each.settings)
    if is_endpoint(name):
        raise UsageError(f"{name} may serve several models: give it a name, its address and its model in --endpoints")
    return Source(name, device=device)


def _require_known(strategy: str, model: Model) -> None:
    method = strategy.partition(":")[0].rstrip("0123456789").rstrip("-")
    if method not in METHODS:
        strategy_of(strategy)  # says what there is
    if METHODS[method].ids and is_endpoint(model.source.model):
        raise UsageError(f"{method} continues token ids, which an endpoint does not take: leave out {strategy}")
