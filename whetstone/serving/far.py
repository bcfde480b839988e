"""Models behind addresses that routes ask: as a file of endpoints names them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from whetstone.engine.backends import Source
from whetstone.engine.remote.endpoint import Endpoint
from whetstone.engine.routing.policy import Option
from whetstone.errors import UsageError
from whetstone.evals.looks import identity
from whetstone.evals.routing.options import read_endpoints

PATIENCE = 120.0  # seconds that an answer may take, retries and all, where the endpoint's settings say no deadline


@dataclass(eq=False)
class Far:
    """An endpoint by the name that options use. `places` bounds the requests that are under way to it at the same time,
    `open` counts the answers that are not over."""

    name: str
    endpoint: Endpoint
    places: asyncio.Semaphore = field(init=False)
    open: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.places = asyncio.Semaphore(self.endpoint.settings.concurrency)


class Endpoints:
    """Those of a file, opened when an option asks one."""

    def __init__(self, file: Path | None) -> None:
        """Raises UsageError for a file that cannot be read."""
        self._file = file
        known = {} if file is None else read_endpoints(file)
        self._sources: Mapping[str, Source] = {
            name: Source(each.address, each.model, each.api_key_file, each.settings) for name, each in known.items()
        }
        self._opened: dict[str, Far] = {}

    def get(self, route: str, option: Option) -> Far:
        """The endpoint of a route's option: it must be the very one that the route was learned with.

        Raises UsageError: the file does not name it, or means another address or model by that name.
        """
        learned = f"the route {route} asks {option.model} ({option.weights.replace(' ', ', model ', 1)})"
        source = self._sources.get(option.model)
        if source is None:
            how = "give --endpoints FILE" if self._file is None else f"name it in {self._file}"
            raise UsageError(f"{learned}: {how}, as for `whet route`")
        if identity(source) != option.weights:
            raise UsageError(f"{learned}, and {self._file} means another by that name: learn the route anew")
        if option.model not in self._opened:
            endpoint = source.open().sampler
            assert isinstance(endpoint, Endpoint)
            deadline = endpoint.settings.deadline or PATIENCE
            endpoint.settings = endpoint.settings.model_copy(update={"deadline": deadline})
            self._opened[option.model] = Far(option.model, endpoint)
        return self._opened[option.model]
