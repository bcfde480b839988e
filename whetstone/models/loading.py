"""From a model's name to something that answers: resolve, read, put on a device, add adapters."""

from __future__ import annotations

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
    load_adapter,
    lora_parameters,
    save_adapter,
)
from whetstone.models.tokenizer import Tokenizer


@dataclass
class Loaded:
    """A decoder with its tokenizer. `name` is what the user typed, `folder` where the base weights lie."""

    model: Decoder
    tokenizer: Tokenizer
    name: str
    folder: Path

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
    folder = resolve(spec)
    if (folder / CONFIG_FILE).is_file() and not (folder / "config.json").is_file():
        base = load(str(read_json(folder / CONFIG_FILE).get("base_model_name_or_path") or ""), device)
        load_adapter(base.model, folder)
        return Loaded(base.model, base.tokenizer, spec, folder)
    model, _ = load_folder(folder)
    model.to(device)
    if device.startswith("cuda"):
        model.compute_dtype = torch.bfloat16
    return Loaded(model, Tokenizer.load(folder), spec, folder)


def add_lora(loaded: Loaded, rank: int, alpha: float, seed: int) -> None:
    """Put fresh adapters on every linear layer of the blocks and freeze the rest."""
    apply_lora(loaded.model, rank, alpha, seed=seed)


def save_weights(loaded: Loaded, folder: Path) -> None:
    """Write what training changed into an existing folder: a whole model, or the adapter that goes on the base."""
    if loaded.adapted:
        save_adapter(loaded.model, folder, base=loaded.name)
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
