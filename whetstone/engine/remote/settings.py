"""How an endpoint is to be treated: a small TOML file, every line of it optional. It never holds the key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from whetstone.engine.remote.usage import Prices
from whetstone.errors import UsageError

# What the request says by itself, and what has no business in a file of settings.
OURS = frozenset({"model", "messages", "prompt", "stream", "n", "seed", "max_tokens", "max_completion_tokens"})
SECRETS = frozenset({"api_key", "authorization", "headers"})


class EndpointSettings(BaseModel):
    """Limits, patience, prices and peculiarities of one endpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    concurrency: int = Field(default=8, ge=1, le=1024)  # requests under way at the same time
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    timeout: float = Field(default=120.0, gt=0)  # seconds for one attempt, from connecting to the last byte
    deadline: float | None = Field(default=None, gt=0)  # seconds for everything that one measurement asks
    retries: int = Field(default=5, ge=0, le=100)
    backoff: float = Field(default=1.0, gt=0)  # seconds; doubles at each retry, and chance takes some off
    longest_wait: float = Field(default=120.0, gt=0)  # seconds; a server that asks for more is not waited for
    answers_per_request: int = Field(default=1, ge=1, le=128)  # more: cheaper, but the answers share one seed
    reasoning_room: int = Field(default=0, ge=0)  # tokens of hidden thought, on top of the answer's own limit
    logprobs: bool = True
    omit: tuple[str, ...] = ()  # parameters that this server does not take, e.g. ["temperature"]
    extra: dict[str, Any] = Field(default_factory=dict)  # more parameters, e.g. {reasoning_effort = "low"}
    prices: Prices | None = None

    @field_validator("extra")
    @classmethod
    def _not_ours(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if wrong := {name for name in extra if name.lower() in OURS | SECRETS}:
            raise ValueError(f"extra may not hold {', '.join(sorted(wrong))}")
        return extra

    @field_validator("omit")
    @classmethod
    def _not_needed(cls, omit: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := {"model", "messages", "prompt"} & set(omit):
            raise ValueError(f"omit may not hold {', '.join(sorted(wrong))}")
        return omit

    @classmethod
    def load(cls, path: Path) -> EndpointSettings:
        """Read a TOML file. Raises UsageError that names the file and the line's key."""
        try:
            return cls.model_validate(tomllib.loads(path.expanduser().read_text(encoding="utf-8")))
        except ValidationError as failure:
            first = failure.errors(include_input=False, include_url=False)[0]
            name = ".".join(map(str, first["loc"]))
            if first["type"] == "extra_forbidden":
                raise UsageError(f"{path}: there is no setting {name!r}") from None
            said = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
            raise UsageError(f"{path}: {said if first['type'] == 'value_error' else f'{name}: {said}'}") from None
        except (OSError, ValueError) as failure:
            reason = failure.strerror if isinstance(failure, OSError) else failure
            raise UsageError(f"{path} cannot be read: {reason}") from None
