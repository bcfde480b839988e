"""From a model's name to something that answers: resolve, read, put on a device, add adapters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from whetstone.errors import UsageError
from whetstone.models.checkpoint import load_folder, write_model
from whetstone.models.decoder import Decoder
from whetstone.models.files import read_json
from whetstone.models.hub import resolve
from whetstone.models.lora import (
    CONFIG_FILE,
    apply_lora,
    drop_adapters,
    load_adapter,
    lora_parameters,
    merged_weights,
    save_adapter,
)
from whetstone.models.tokenizer import Tokenizer


@dataclass
class Loaded:
    """A decoder with its tokenizer. `name` is what the user typed, `folder` what it stands for: a model or an adapter.

    `base` is where the weights below the adapters come from, in a form that `load` takes from any directory; for a
    model without adapters the same as `name`.
    """

    model: Decoder
    tokenizer: Tokenizer
    name: str
    folder: Path
    base: str = ""

    def __post_init__(self) -> None:
        self.base = self.base or self.name

    @property
    def parameters(self) -> int:
        """How many numbers the base model holds (a tied head counts once)."""
        return sum(p.numel() for n, p in self.model.named_parameters() if ".adapter." not in n)

    @property
    def adapted(self) -> bool:
        return bool(lora_parameters(self.model))

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters to train: the adapters where there are any, else all."""
        for name, parameter in self.model.named_parameters():
            if ".adapter." in name or not self.adapted:
                yield name, parameter


def load(spec: str, device: str = "cpu") -> Loaded:
    """Load `spec`: a folder (a model, or a PEFT adapter beside the name of its base), `hf:OWNER/NAME`, `smollm2-135m`,
    or a GGUF file. Activations are fp32 on the CPU and bf16 on a GPU; parameters are fp32 on both.

    Raises UsageError with what to do: unknown name, missing file or tensor, no such device.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device on this machine; leave out --device cuda")
    return _load(spec, device, ())


def _load(spec: str, device: str, above: tuple[Path, ...]) -> Loaded:
    """`above`: the folders of the adapters whose base is being looked for."""
    folder = resolve(spec)
    if (folder / CONFIG_FILE).is_file() and not (folder / "config.json").is_file():
        return _load_adapted(spec, folder, device, above)
    model, _ = load_folder(folder)
    model.to(device)
    if device.startswith("cuda"):
        model.compute_dtype = torch.bfloat16
    return Loaded(model, Tokenizer.load(folder), spec, folder)


def _load_adapted(spec: str, folder: Path, device: str, above: tuple[Path, ...]) -> Loaded:
    """The base that the adapter names, with the adapter on it. An adapter below it is merged into its own base."""
    above = (*above, folder.resolve())
    noted = str(read_json(folder / CONFIG_FILE).get("base_model_name_or_path") or "")
    name = base_name(noted, folder)
    try:
        if Path(name).is_absolute() and Path(name).resolve() in above:
            raise UsageError("it leads back to itself")
        loaded = _load(name, device, above)
    except UsageError as error:
        raise UsageError(
            f"{folder} is an adapter for the model {noted!r}, which cannot be loaded ({error}): "
            f"correct base_model_name_or_path in its {CONFIG_FILE}"
        ) from None
    merge(loaded)
    load_adapter(loaded.model, folder)
    tokenizer = loaded.tokenizer
    if (folder / "tokenizer.json").is_file():  # it was trained with a chat template of its own
        tokenizer = Tokenizer.load(folder)
        if tokenizer.vocab_size > loaded.model.config.vocab_size:
            raise UsageError(
                f"{folder}: its tokenizer has {tokenizer.vocab_size} tokens and its base {name} only "
                f"{loaded.model.config.vocab_size}; adapters for a larger vocabulary are not known"
            )
    return Loaded(loaded.model, tokenizer, spec, folder, name)


def base_name(noted: str, folder: Path) -> str:
    """What an adapter notes about its base, in a form that `load` takes in any directory.

    PEFT notes a folder, which may have moved along with the adapter, or a name on the hub.
    """
    places = [Path(noted).expanduser(), folder / noted] if noted else []
    for place in places:
        if place.exists():
            return str(place.absolute())
    on_hub = re.fullmatch(r"\w[\w.-]*/[\w.-]+", noted)
    return f"hf:{noted}" if on_hub else noted


def add_lora(loaded: Loaded, rank: int, alpha: float, seed: int) -> None:
    """Put fresh adapters on every linear layer of the blocks and freeze the rest."""
    apply_lora(loaded.model, rank, alpha, seed=seed)


@torch.no_grad()
def merge(loaded: Loaded) -> None:
    """Make adapters a part of the weights, for good, and let every weight be trained; nothing where there are none."""
    if not loaded.adapted:
        return
    merged = merged_weights(loaded.model)
    drop_adapters(loaded.model)
    for name, parameter in loaded.model.named_parameters():
        parameter.copy_(merged[name])
    loaded.model.requires_grad_(True)


def save_weights(loaded: Loaded, folder: Path) -> None:
    """Write what training changed into an existing folder: a whole model, or the adapter that goes on the base."""
    if loaded.adapted:
        save_adapter(loaded.model, folder, base=loaded.base)
    else:
        write_model(loaded.model, folder, loaded.tokenizer)


@torch.no_grad()
def restore_weights(loaded: Loaded, folder: Path) -> None:
    """Copy what `save_weights` wrote back into the live tensors, which keeps an optimizer's hold on them."""
    if loaded.adapted:
        saved = dict(load(str(folder)).model.named_parameters())
    else:
        saved = dict(load_folder(folder)[0].named_parameters())
    for name, parameter in loaded.trainable():
        parameter.copy_(saved[name])
