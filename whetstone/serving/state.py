"""What all routes share."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar

from whetstone.engine.service import Service
from whetstone.serving.bridge import Bridge
from whetstone.serving.limits import Limits
from whetstone.serving.models import Models
from whetstone.serving.offers import Offers
from whetstone.serving.routes import Route

T = TypeVar("T")
COMMENT_SECONDS = 10.0  # a stream that has nothing to say says so this often; proxies give up after 30 or 60


class State:
    """The engines' service, the models on it, and what is counted. Belongs to one event loop."""

    def __init__(
        self,
        service: Service,
        models: Models,
        limits: Limits,
        offers: Offers | None = None,
        routes: Mapping[str, Route] | None = None,
    ) -> None:
        self.service, self.models, self.limits = service, models, limits
        self.offers, self.routes = offers or Offers(), dict(routes or {})
        self.comment_seconds = COMMENT_SECONDS
        self.closing = False
        self.responses: Counter[tuple[str, int]] = Counter()  # by path and status
        self.disconnects = 0
        self.embeddings = 0  # requests for embeddings under way
        self._bridge: Bridge | None = None

    @property
    def bridge(self) -> Bridge:
        """The way into the running event loop; made there at the first use."""
        if self._bridge is None:
            self._bridge = Bridge(asyncio.get_running_loop())
        return self._bridge

    async def in_engine(self, work: Callable[[], T]) -> T:
        """Do it in the engines' thread, between two steps. What runs there is not interrupted by a cancellation."""
        return await asyncio.wrap_future(self.service.call(work))
