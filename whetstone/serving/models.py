"""What is served under which name: base models, and adapters on them, each with an engine of its own.

An adapter's decoder shares every parameter of its base and carries its own low-rank terms; the CPU kernel of its engine
keeps a re-laid copy of the weights with them merged in.
Replacing or removing one lets the requests that run on it finish.
"""

from __future__ import annotations

import copy
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from whetstone.engine.engine import Engine
from whetstone.engine.service import Service
from whetstone.engine.text.detokenize import token_texts
from whetstone.errors import UsageError
from whetstone.models.decoder import Decoder
from whetstone.models.files import read_json
from whetstone.models.hub import DEFAULT_MODEL
from whetstone.models.loading import Loaded, load
from whetstone.models.lora import CONFIG_FILE, load_adapter
from whetstone.serving.errors import ApiError
from whetstone.serving.metrics import Histogram

MakeEngine = Callable[[Loaded], Engine]
RETIRING_SECONDS = 0.05  # between two looks at an engine that is to go
NAME = re.compile(r"[\w.:/-]{1,200}")


@dataclass(eq=False)
class Served:
    """A model by the name that clients use. `base`: the name of the model that an adapter stands on."""

    name: str
    loaded: Loaded
    engine: Engine
    base: str | None = None
    created: int = field(default_factory=lambda: int(time.time()))
    first_token: Histogram = field(default_factory=Histogram)  # seconds
    next_token: Histogram = field(default_factory=Histogram)
    gate: threading.Lock = field(default_factory=threading.Lock)  # held while requests are queued, and to retire
    retired: bool = False

    @property
    def fingerprint(self) -> str:
        """Changes with the weights: an equal seed gives an equal answer as long as this stays the same."""
        return f"{self.name}@{self.created}.{self.engine.weight_version}"


def plain_engine(loaded: Loaded) -> Engine:
    """An engine with its own defaults."""
    return Engine(loaded.model)


class Models:
    """The table of names. Changes are made one at a time, from any thread but the event loop's (they wait)."""

    def __init__(self, service: Service, make_engine: MakeEngine = plain_engine) -> None:
        self._service, self._make_engine = service, make_engine
        self._table: dict[str, Served] = {}
        self._changing = threading.Lock()

    @property
    def all(self) -> list[Served]:
        """Every model and adapter, in the order in which they came."""
        return list(self._table.values())

    def get(self, name: str) -> Served:
        """Raises ApiError 404 for a name that is not served."""
        served = self._table.get(name)
        if served is None:
            raise no_such_model(name)
        return served

    def add(self, spec: str, device: str = "cpu") -> Served:
        """Load and serve a model; `NAME=MODEL` chooses what it is called. Raises UsageError."""
        name, spec = split_name(spec)
        with self._changing:
            self._check_free(name)
            loaded = load(spec, device)
            served = Served(name, loaded, self._make_engine(loaded))
            self._put(served)
        return served

    def add_adapter(self, name: str, folder: str, base: str | None = None, replace: bool = False) -> Served:
        """Serve a PEFT folder on the model named `base` (default: the one that it was trained on, or the only one).

        Raises UsageError: a bad name, one that is taken (unless `replace` and it is an adapter), no such base, or a
        folder that does not fit.
        """
        if not NAME.fullmatch(name):
            raise UsageError(f"{name[:200]!r} is no name for an adapter: letters, digits and . _ - : / are")
        with self._changing:
            old = self._table.get(name)
            if old is not None and not (replace and old.base is not None):
                self._check_free(name)
            on = self._base_of(Path(folder), base)
            model = self._service.call(lambda: sharing_copy(on.loaded.model)).result()
            load_adapter(model, folder)
            loaded = Loaded(model, on.loaded.tokenizer, folder, Path(folder))
            served = Served(name, loaded, self._make_engine(loaded), base=on.name)
            if old is not None:
                served.engine.weight_version = old.engine.weight_version + 1
            self._put(served)
            if old is not None:
                self._retire(old)
        return served

    def remove_adapter(self, name: str) -> None:
        """Serve it no longer; what runs on it finishes. Raises UsageError for a name that is no adapter's."""
        with self._changing:
            served = self._table.get(name)
            if served is None or served.base is None:
                raise UsageError(f"{name[:200]!r} is not an adapter that is served")
            del self._table[name]
            self._retire(served)

    def _put(self, served: Served) -> None:
        token_texts(served.loaded.tokenizer)  # made here, as two threads will ask for it
        self._service.attach(served.engine)
        self._table[served.name] = served

    def _retire(self, served: Served) -> None:
        """Forget the engine once it is idle. Whoever queued a request before did so under the gate."""

        def look() -> None:
            if served.engine.idle:
                self._service.engines.remove(served.engine)
                return
            again = threading.Timer(RETIRING_SECONDS, self._service.post, (look,))
            again.daemon = True
            again.start()

        with served.gate:
            served.retired = True
        self._service.post(look)

    def _check_free(self, name: str) -> None:
        if name in self._table:
            raise UsageError(f"two models cannot both be called {name!r}: choose a name with NAME=MODEL")

    def _base_of(self, folder: Path, base: str | None) -> Served:
        """The model that an adapter goes on."""
        bases = [served for served in self._table.values() if served.base is None]
        if base is None:
            trained_on = read_json(folder / CONFIG_FILE).get("base_model_name_or_path")
            fitting = [served for served in bases if trained_on in (served.loaded.name, served.name)]
            bases = fitting if len(fitting) == 1 else bases
        else:
            bases = [served for served in bases if served.name == base]
        if len(bases) != 1:
            reason = f"there is no model {base!r}" if base is not None else "it is not clear which model it belongs to"
            raise UsageError(f"the adapter in {folder} cannot be served: {reason}")
        if bases[0].loaded.adapted:
            raise UsageError(f"{bases[0].name} is itself served with an adapter: serve its base")
        return bases[0]


def no_such_model(name: str) -> ApiError:
    """For a name that is not served, or not any longer."""
    return ApiError(404, f"the model {name[:200]!r} does not exist: see /v1/models", "model_not_found", "model")


def split_name(spec: str) -> tuple[str, str]:
    """(name, model) of what the user typed: NAME=MODEL, or a model, whose name is then the end of its path."""
    name, equals, rest = spec.partition("=")
    if equals and NAME.fullmatch(name):
        return name, rest
    if spec == DEFAULT_MODEL:
        return spec, spec
    if spec.startswith("hf:"):
        return spec.removeprefix("hf:"), spec
    name = Path(spec).resolve().name.removesuffix(".gguf")
    return re.sub(r"[^\w.:/-]", "_", name) or "model", spec


def sharing_copy(model: Decoder) -> Decoder:
    """A decoder of its own modules on the very parameters of `model`."""
    return copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})
