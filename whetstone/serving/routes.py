"""Routes that a server offers as models: a policy file, and the served models that its options mean."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from whetstone.engine.backends import Source
from whetstone.engine.routing.policy import Option, Policy
from whetstone.errors import UsageError
from whetstone.evals.looks import identity
from whetstone.models.hub import is_endpoint
from whetstone.serving.errors import ApiError
from whetstone.serving.far import Endpoints, Far
from whetstone.serving.models import NAME, Models, Served, split_name


@dataclass(frozen=True)
class Route:
    """`models`: for each option the model that it was learned with, as it is served, or the endpoint; None for options
    that are never asked."""

    name: str
    policy: Policy
    models: tuple[Served | Far | None, ...]
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def options(self) -> list[str]:
        """The options as this server calls them, in the policy's order."""
        pairs = zip(self.models, self.policy.options, strict=True)
        return [f"{model.name}@{option.strategy}" if model else option.name for model, option in pairs]

    @property
    def leaves(self) -> bool:
        """Whether questions may leave this server."""
        return any(isinstance(each, Far) for each in self.models)

    def model(self, place: int, models: Models) -> Served | Far:
        """The model of an option that is asked. Raises ApiError where it is no longer served, or replaced by other
        weights."""
        learned = self.models[place]
        assert learned is not None, "only options that are used are asked"
        if isinstance(learned, Far):
            return learned
        served = models.get(learned.name)
        if served is not learned:
            message = f"the route {self.name} was learned with other weights of {learned.name} than are served now"
            raise ApiError(404, message, "model_not_found", "model")
        return served


def named_routes(given: Iterable[str]) -> dict[str, Path]:
    """{name: folder} of arguments NAME=DIR. Raises UsageError."""
    found: dict[str, Path] = {}
    for argument in given:
        name, equals, folder = argument.partition("=")
        if not (equals and folder and NAME.fullmatch(name)):
            raise UsageError(f"--route {argument!r} is not of the form NAME=DIR")
        if name in found:
            raise UsageError(f"two routes cannot both be called {name!r}")
        found[name] = Path(folder)
    return found


def open_routes(
    given: Mapping[str, Path], models: Models, device: str = "cpu", endpoints: Path | None = None
) -> dict[str, Route]:
    """Read the policies and find their models among those that are served; those that are not are loaded, and endpoints
    are those of a file.

    Raises UsageError: no such policy, an endpoint that is not in the file, a model of other weights than it was learned
    with, a name that is taken.
    """
    addresses = Endpoints(endpoints)
    known: dict[str, Served] = {}  # by weights
    routes: dict[str, Route] = {}
    for name, folder in given.items():
        if any(name == served.name for served in models.all):
            raise UsageError(f"a model and a route cannot both be called {name!r}")
        policy = Policy.load(folder)
        asked: list[Served | Far | None] = [None] * len(policy.options)
        for place in policy.used():
            option = policy.options[place]
            if is_endpoint(option.weights.partition(" ")[0]):
                asked[place] = addresses.get(name, option)
            else:
                _serve(name, option, models, known, device)
                asked[place] = known[option.weights]
        routes[name] = Route(name, policy, tuple(asked))
    return routes


def _serve(route: str, option: Option, models: Models, known: dict[str, Served], device: str) -> None:
    """Make sure that the option's very weights are served."""
    for served in models.all:
        if served not in known.values():
            known.setdefault(identity(Source(served.loaded.name)), served)
    if option.weights in known:
        return
    called = split_name(option.model)[0]
    refusal = f"the route {route} was learned with other weights of {option.model} than those"
    if any(served.name == called for served in models.all):
        raise UsageError(f"{refusal} that are served as {called}: learn it anew")
    if identity(Source(option.model)) != option.weights:
        raise UsageError(f"{refusal} that are there now: learn it anew")
    known[option.weights] = models.add(option.model, device)
