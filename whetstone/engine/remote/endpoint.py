"""Any OpenAI-compatible server as a `Sampler`: an API somebody sells, vLLM, llama.cpp, Ollama, or `whet serve`.

It has no tokenizer: prompts go out as messages (or as token ids, where a request has nothing else) and texts come back.
"""

from __future__ import annotations

import asyncio
import copy
import ipaddress
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from whetstone.engine.protocol import Completion, Progress, Request, SamplingParams
from whetstone.engine.remote import wire
from whetstone.engine.remote.calling import Call, run
from whetstone.engine.remote.credentials import ApiKey
from whetstone.engine.remote.delivery import Delivery
from whetstone.engine.remote.events import Heard
from whetstone.engine.remote.settings import EndpointSettings
from whetstone.engine.remote.usage import Usage
from whetstone.errors import UsageError


@dataclass(frozen=True)
class Answered:
    """What one call brought. `usage`: of this call alone; `failure`: why the last completion that failed did."""

    completions: list[list[Completion]]
    usage: Usage
    failure: str


class Endpoint:
    """Samples from the model that a server at `address` (…/v1) calls `model`.

    A request that fails for good becomes completions that finish with "refused", "timeout" or "error", so that one bad
    answer does not cost an evaluation; `failures` counts them and `last_failure` says why. Each completion is asked for
    apart, with its own seed; whether equal seeds give equal answers is the server's affair. `weight_version` is 0.
    `single`: one answer a request, by the settings or because the server gave one where several were wanted.

    Raises UsageError for an address that is none.
    """

    def __init__(
        self, address: str, model: str, key: ApiKey | None = None, settings: EndpointSettings | None = None
    ) -> None:
        self.address = checked_address(address)
        self.model = model
        self.settings = settings or EndpointSettings()
        self.usage = Usage()
        self.failures: Counter[str] = Counter()
        self.last_failure = ""
        self.single = self.settings.answers_per_request == 1
        self.loopback = is_loopback(self.address)
        self.delivery = Delivery(self.address, model, key, self.settings, self.usage, wire.Dialect())

    def __repr__(self) -> str:
        return f"Endpoint({self.address!r}, {self.model!r})"

    def sample(
        self, requests: Sequence[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Completion]]:
        """See `Sampler.sample`. Raises UsageError when the very first call shows that no other can succeed: wrong key,
        unknown model, nobody there. Ctrl-C drops what is under way."""
        return run(lambda: Call(self, requests, params, progress).all())

    async def ask(
        self, requests: Sequence[Request], params: SamplingParams, places: asyncio.Semaphore | None = None
    ) -> Answered:
        """As `sample`, in an event loop that others use too: cancelled, it drops what is under way. `places` bounds
        what all such calls ask at the same time."""
        call = Call(self, requests, params, places=places)
        return Answered(await call.all(), call.usage, call.failure)

    def stream(self, request: Request, params: SamplingParams, heard: Heard) -> Completion:
        """One completion; `heard` is told its text as it comes, all of it once, and again nothing. An endpoint that
        does not stream is heard at its end. Raises what `sample` raises, and what `heard` does."""
        [[completion]] = run(lambda: Call(self, [request], params, heard=heard).all())
        return completion

    def asking(self, **extra: Any) -> Endpoint:
        """The same endpoint with further parameters in every request (such as response_format). Usage and failures are
        counted together, and what the server was found not to take stays known."""
        other = copy.copy(self)
        other.settings = self.settings.model_copy(update={"extra": self.settings.extra | extra})
        return other

    def facts(self) -> dict[str, Any]:
        """For a report: {kind, address, model, usage, failures, left_out, extra}, and `cost` where prices are known."""
        facts: dict[str, Any] = {
            "kind": "endpoint",
            "address": self.address,
            "model": self.model,
            "usage": self.usage.to_dict(),
            "failures": dict(self.failures),
            "left_out": sorted(self.delivery.dialect.left_out | set(self.settings.omit)),
            "extra": self.settings.extra,
        }
        if self.failures:
            facts["last_failure"] = self.last_failure
        if self.settings.prices is not None:
            facts["cost"] = self.usage.cost(self.settings.prices)
        return facts


def checked_address(address: str) -> str:
    """The address without its last slash. A secret in it would be shown in reports: there is another way for it."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as failure:
        raise UsageError(f"not an address of an endpoint: {failure}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError("an endpoint's address looks like https://HOST/v1")
    if url.userinfo or url.query or url.fragment:
        raise UsageError("an endpoint's address may hold no password, query or fragment: name a key by --api-key-file")
    return str(url).rstrip("/")


def is_loopback(address: str) -> bool:
    """Whether the host of an address is this machine."""
    host = httpx.URL(address).host.rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return False
    return ip.is_loopback or ip.is_unspecified


def environment_key(address: str) -> ApiKey | None:
    """$OPENAI_API_KEY for an address by https or on this machine, else None: the variable was meant for some endpoint,
    not for any, and goes where nobody on the way can read it."""
    return ApiKey.from_environment() if address.startswith("https://") or is_loopback(address) else None
