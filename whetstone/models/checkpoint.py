"""Weights in and out of Hugging Face folders: config.json, *.safetensors, tokenizer files.

Reading builds the decoder without memory, then hands it the tensors of the file: no random initialisation,
one copy. Writing goes to a temporary folder beside the target that is renamed at the end: a folder is whole
or absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from whetstone.errors import UsageError
from whetstone.models.config import ModelConfig, from_hf, to_hf
from whetstone.models.decoder import Decoder
from whetstone.models.files import read_json, replaced_folder, write_json, write_tensors
from whetstone.models.lora import merged_weights
from whetstone.models.names import check_names, to_hf_name
from whetstone.models.tokenizer import Tokenizer

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


def load_folder(path: str | Path, dtype: torch.dtype = torch.float32) -> tuple[Decoder, dict[str, Any]]:
    """Read a model folder.

    Args:
        path: a folder with config.json and model.safetensors (or shards with their index).
        dtype: the parameters' type.

    Returns:
        The decoder on the CPU, and config.json's dictionary as it stands on disk.

    Raises:
        UsageError: a file is missing or damaged, a tensor is missing, of a wrong shape or has no place, or
            the model type is not known.
    """
    folder = Path(path)
    hf = read_json(folder / "config.json")
    if hf.get("quantization_config"):
        method = hf["quantization_config"].get("quant_method", "unknown")
        raise UsageError(f"{folder} holds {method}-quantised weights: take the unquantised model, or a GGUF file")
    config = from_hf(hf)
    model = empty_decoder(config)
    expected = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    tensors = {}
    for name, tensor in _read_tensors(folder, config, list(expected)):
        if tuple(tensor.shape) != expected[name]:
            raise UsageError(
                f"{folder}: the tensor {to_hf_name(name, config)} has the shape {list(tensor.shape)}, "
                f"config.json asks for {list(expected[name])}"
            )
        # A copy, for the parameters are trained in place: a mapped page would be copied at its first write
        # anyway, in the middle of the first step, and the file may be replaced while we run.
        tensors[name] = tensor.to(dtype, copy=True)
    model.load_state_dict(tensors, strict=True, assign=True)
    return model, hf


def empty_decoder(config: ModelConfig) -> Decoder:
    """A decoder whose parameters have shapes and no storage; fill it by load_state_dict(..., assign=True)."""
    with torch.device("meta"):
        return Decoder(config)


def save_folder(model: Decoder, path: str | Path, tokenizer: Tokenizer | None = None) -> None:
    """Write a model folder that `load_folder` and transformers read; replaces an older one in one step.

    LoRA adapters are written merged: the folder is the model as it answers now.

    Raises:
        UsageError: `path` is there and is not a model folder.
        WorkFailed: the disk is full or not writable; `path` is as it was.
    """
    with replaced_folder(path) as partial:
        write_model(model, partial, tokenizer)


def write_model(model: Decoder, folder: Path, tokenizer: Tokenizer | None = None) -> None:
    """Write config.json, model.safetensors and the tokenizer's files into an existing folder."""
    tensors = {
        to_hf_name(name, model.config): tensor.detach().to("cpu").contiguous()
        for name, tensor in merged_weights(model).items()
    }
    write_json(folder / "config.json", hf_config(model.config, tokenizer, next(iter(tensors.values())).dtype))
    write_tensors(tensors, folder / SINGLE)
    if tokenizer is not None:
        tokenizer.save(folder)


def hf_config(config: ModelConfig, tokenizer: Tokenizer | None, dtype: torch.dtype) -> dict[str, Any]:
    """config.json's dictionary: `to_hf`, the tensors' type, and the special ids that transformers wants."""
    hf = {**to_hf(config), "dtype": str(dtype).removeprefix("torch.")}
    for role in ("bos", "eos", "pad"):
        # transformers fills an absent id with a family's default, which may be an ordinary word here.
        hf[f"{role}_token_id"] = None if tokenizer is None else tokenizer.token_id(f"{role}_token")
    return hf


def _read_tensors(folder: Path, config: ModelConfig, expected: list[str]) -> Iterator[tuple[str, Tensor]]:
    """(our name, mapped tensor) of every parameter, once each."""
    ours = {to_hf_name(name, config): name for name in expected}
    shards = _shards(folder)
    found = [name for _, names in shards for name in names if not _redundant(name, config)]
    check_names(found, ours, str(folder))
    for path, names in shards:
        with _opened(path) as handle:
            for name in names:
                if name in ours:
                    yield ours[name], handle.get_tensor(name)


def _redundant(name: str, config: ModelConfig) -> bool:
    """What some files carry and no model needs: a tied head written twice, tables of rotary angles."""
    return (config.tied and name == "lm_head.weight") or name.endswith(".rotary_emb.inv_freq")


def _shards(folder: Path) -> list[tuple[Path, list[str]]]:
    """The safetensors files of a folder with the names that each holds."""
    if (folder / SINGLE).is_file():
        paths = [folder / SINGLE]
    elif (folder / INDEX).is_file():
        weight_map = read_json(folder / INDEX).get("weight_map", {})
        paths = [folder / name for name in sorted(set(weight_map.values()))]
    else:
        hint = ""
        if list(folder.glob("*.bin")):
            hint = "; its *.bin files are not read (they can run code): save it with safetensors"
        raise UsageError(f"{folder} has no {SINGLE}{hint}")
    shards = []
    for path in paths:
        if not path.is_file():
            raise UsageError(f"{folder} lacks the shard {path.name}: fetch the folder again")
        with _opened(path) as handle:
            shards.append((path, list(handle.keys())))
    return shards


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt", device="cpu") as handle:
            yield handle
    except (SafetensorError, OSError) as failure:
        raise UsageError(f"{path} is damaged or cut short ({failure}): fetch it again") from failure
