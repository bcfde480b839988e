"""Low-rank adapters: y = x Wᵀ + (alpha / rank) · x Aᵀ Bᵀ with W frozen (Hu et al. 2021, arXiv 2106.09685).

Files are PEFT's (adapter_config.json, adapter_model.safetensors), so an adapter trained here loads there and
the other way round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from whetstone.errors import UsageError, WorkFailed
from whetstone.models.decoder import Decoder, Linear
from whetstone.models.files import read_json, write_json, write_tensors
from whetstone.models.names import from_hf_name, to_hf_name

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
TARGETS = ("q", "k", "v", "o", "gate", "up", "down")
_PREFIX = "base_model.model."
# What PEFT offers beyond plain LoRA changes the arithmetic; each of these must be off.
_PLAIN = {
    "use_dora": False,
    "bias": "none",
    "modules_to_save": None,
    "fan_in_fan_out": False,
    "lora_bias": False,
}


class LowRank(nn.Module):
    """x -> scale · x Aᵀ Bᵀ, with `a` [rank, inputs] and `b` [outputs, rank]; b is zero at the start."""

    def __init__(self, a: Tensor, b: Tensor, alpha: float, scale: float) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(a), nn.Parameter(b)
        self.alpha, self.scale = alpha, scale

    @property
    def rank(self) -> int:
        return self.a.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.a.to(x.dtype)), self.b.to(x.dtype)) * self.scale

    def delta(self) -> Tensor:
        """What the adapter adds to the weight [outputs, inputs]."""
        return self.scale * (self.b @ self.a)


def apply_lora(
    model: Decoder, rank: int, alpha: float, targets: str | Sequence[str] = "all-linear", seed: int = 0
) -> Decoder:
    """Put fresh adapters on `model` and freeze everything else; they change nothing until `b` is trained.

    Args:
        rank: inner width of every adapter.
        alpha: the adapter's term is multiplied by alpha / rank.
        targets: "all-linear" (all of every block, not the head), or some of q k v o gate up down.
        seed: A is drawn from U(±1/sqrt(inputs)), PEFT's default, apart from torch's global generator.

    Raises:
        UsageError: rank below one, or an unknown target.
    """
    chosen = TARGETS if targets == "all-linear" else tuple([targets] if isinstance(targets, str) else targets)
    if unknown := [target for target in chosen if target not in TARGETS]:
        known = ", ".join(TARGETS)
        raise UsageError(f"no linear layer is called {unknown[0]!r}; choose from {known} or all-linear")
    if rank < 1:
        raise UsageError(f"the rank of an adapter is at least 1, not {rank}")
    generator = torch.Generator().manual_seed(seed)
    drop_adapters(model)
    for name, linear in _linears(model):
        if name.rsplit(".", 1)[1] in chosen:
            outputs, inputs = linear.weight.shape
            a = (torch.rand(rank, inputs, generator=generator) * 2 - 1) / math.sqrt(inputs)
            _attach(linear, a, torch.zeros(outputs, rank), alpha, alpha / rank)
    return model


def lora_parameters(model: Decoder) -> list[nn.Parameter]:
    """The adapters' parameters, in the order of the layers; empty without adapters."""
    return [parameter for _, _, adapter in _adapters(model) for parameter in (adapter.a, adapter.b)]


@torch.no_grad()
def merged_weights(model: Decoder) -> dict[str, Tensor]:
    """The model's own parameters by name, each adapter's term added to its weight (new tensors there)."""
    weights = {name: tensor.detach() for name, tensor in model.named_parameters() if ".adapter." not in name}
    for name, linear, adapter in _adapters(model):
        weights[f"{name}.weight"] = linear.weight + adapter.delta().to(linear.weight.dtype)
    return weights


def save_adapter(model: Decoder, path: str | Path, base: str = "") -> None:
    """Write the adapters as a PEFT folder.

    Args:
        base: name or folder of the model that the adapters belong to (a note for the reader).

    Raises:
        UsageError: the model has no adapters.
        WorkFailed: the disk is full or not writable.
    """
    adapters = _adapters(model)
    if not adapters:
        raise UsageError("the model has no adapters to save")
    tensors, modules = {}, set()
    for name, _, adapter in adapters:
        module = to_hf_name(f"{name}.weight", model.config).removesuffix(".weight")
        modules.add(module.rsplit(".", 1)[1])
        tensors[f"{_PREFIX}{module}.lora_A.weight"] = adapter.a.detach().to("cpu").contiguous()
        tensors[f"{_PREFIX}{module}.lora_B.weight"] = adapter.b.detach().to("cpu").contiguous()
    first = adapters[0][2]
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": first.rank,
        "lora_alpha": first.alpha,
        "lora_dropout": 0.0,
        "target_modules": sorted(modules),
        "use_rslora": not math.isclose(first.scale, first.alpha / first.rank),
        "inference_mode": True,
        **_PLAIN,
    }
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{WEIGHTS_FILE}.partial"
        write_tensors(tensors, partial)
        partial.replace(folder / WEIGHTS_FILE)
        write_json(folder / CONFIG_FILE, config)
    except (OSError, SafetensorError) as failure:
        raise WorkFailed(f"cannot write the adapter to {folder}: {failure}") from failure


def load_adapter(model: Decoder, path: str | Path) -> Decoder:
    """Put the adapters of a PEFT folder on `model` (in place of any it has) and freeze everything else.

    Raises:
        UsageError: no such folder, a damaged file, a kind of adapter that is more than plain LoRA, or a
            tensor that this model has no place for.
    """
    folder = Path(path)
    config = read_json(folder / CONFIG_FILE)
    _check_plain(config, folder)
    try:
        tensors = load_file(folder / WEIGHTS_FILE)
    except (SafetensorError, OSError) as failure:
        raise UsageError(f"{folder / WEIGHTS_FILE} cannot be read ({failure}): fetch it again") from failure
    linears = dict(_linears(model))
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, side = _our_module(key, model)
        if name not in linears:
            raise UsageError(f"{folder}: the tensor {key} has no place in this model; is it for another one?")
        found.setdefault(name, {})[side] = tensor.float()
    for name, pair in found.items():
        outputs, inputs = linears[name].weight.shape
        fits = set(pair) == {"a", "b"} and pair["b"].shape == (outputs, len(pair["a"]))
        if not fits or pair["a"].shape[1:] != (inputs,):
            raise UsageError(f"{folder}: the adapter of {name} does not fit a weight of {outputs} x {inputs}")
    drop_adapters(model)
    alpha = float(config.get("lora_alpha", 8))
    for name, pair in found.items():
        rank = len(pair["a"])
        scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
        _attach(linears[name], pair["a"], pair["b"], alpha, scale)
    return model


def _check_plain(config: dict[str, Any], folder: Path) -> None:
    if config.get("peft_type") != "LORA":
        raise UsageError(f"{folder} is an adapter of the kind {config.get('peft_type')!r}; known is LORA")
    for key, plain in _PLAIN.items():
        if config.get(key, plain) not in (plain, None, []):
            raise UsageError(f"{folder}: adapters with {key} = {config[key]!r} are not known, plain LoRA is")
    for key in ("rank_pattern", "alpha_pattern"):
        if config.get(key):
            raise UsageError(f"{folder}: adapters with a {key} (ranks that differ by layer) are not known")


def _our_module(key: str, model: Decoder) -> tuple[str, str]:
    """("layers.0.mixer.q", "a") of "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"."""
    for mark, side in ((".lora_A.weight", "a"), (".lora_B.weight", "b")):
        if key.startswith(_PREFIX) and key.endswith(mark):
            module = key.removeprefix(_PREFIX).removesuffix(mark)
            ours = from_hf_name(f"{module}.weight", model.config) or ""
            return ours.removesuffix(".weight"), side
    return "", ""


def _linears(model: Decoder) -> list[tuple[str, Linear]]:
    """Every linear layer inside the blocks; the head is never adapted, as in PEFT."""
    modules = model.layers.named_modules()
    return [(f"layers.{name}", module) for name, module in modules if isinstance(module, Linear)]


def _adapters(model: Decoder) -> list[tuple[str, Linear, LowRank]]:
    found = [(name, linear, linear.adapter) for name, linear in _linears(model)]
    return [(name, linear, adapter) for name, linear, adapter in found if isinstance(adapter, LowRank)]


def drop_adapters(model: Decoder) -> None:
    """Take the adapters off, unmerged, and freeze the rest."""
    for _, linear in _linears(model):
        linear.adapter = None
    model.requires_grad_(False)


def _attach(linear: Linear, a: Tensor, b: Tensor, alpha: float, scale: float) -> None:
    device = linear.weight.device
    linear.adapter = LowRank(a.to(device), b.to(device), alpha, scale)
