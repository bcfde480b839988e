"""A folder that is not what it should be gives one line that says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.tiny import saved
from whetstone.errors import UsageError, WorkFailed
from whetstone.models import files
from whetstone.models.checkpoint import load_folder, save_folder


def with_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def with_config(folder: Path, **change: object) -> Path:
    hf = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**hf, **change}))
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        load_folder(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved("llama-biases", tmp_path / "model")


def test_missing_tensor_is_named(folder: Path) -> None:
    with_tensors(folder, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    message = refused(folder)
    assert "model.layers.1.mlp.up_proj.weight" in message and str(folder) in message


def test_surplus_tensor_is_named(folder: Path) -> None:
    with_tensors(folder, lambda tensors: tensors.update(mystery=torch.ones(2)))
    assert "mystery" in refused(folder)


def test_a_known_name_that_the_config_has_no_place_for_is_surplus(folder: Path) -> None:
    assert "bias" in refused(with_config(folder, attention_bias=False))


def test_more_layers_on_disk_than_in_the_config(folder: Path) -> None:
    assert "model.layers.2" in refused(with_config(folder, num_hidden_layers=2))


def test_untied_head_is_needed(folder: Path) -> None:
    with_tensors(folder, lambda tensors: tensors.pop("lm_head.weight"))
    assert "head" in refused(folder)


def test_wrong_shape_is_named_with_both_shapes(folder: Path) -> None:
    message = refused(with_config(folder, vocab_size=252))
    assert "251" in message and "252" in message and "weight" in message


def test_unknown_model_type_lists_the_known_ones(folder: Path) -> None:
    message = refused(with_config(folder, model_type="mamba2"))
    assert "mamba2" in message and "qwen3" in message


def test_quantised_weights(folder: Path) -> None:
    assert "awq" in refused(with_config(folder, quantization_config={"quant_method": "awq"}))


@pytest.mark.parametrize("kept", [0, 4, 100, 20_000])
def test_truncated_safetensors(folder: Path, kept: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert "model.safetensors" in refused(folder)


def test_missing_shard(tmp_path: Path) -> None:
    folder = saved("qwen3", tmp_path / "parts", max_shard_size="60KB")
    gone = sorted(folder.glob("*.safetensors"))[1]
    gone.unlink()
    assert gone.name in refused(folder)


def test_only_pickled_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "safetensors" in refused(folder)


def test_no_folder_and_broken_config(folder: Path, tmp_path: Path) -> None:
    assert "config.json" in refused(tmp_path / "nowhere")
    (folder / "config.json").write_text("{not json")
    assert "config.json" in refused(folder)


def test_saving_does_not_swallow_a_folder_of_other_things(folder: Path, tmp_path: Path) -> None:
    model, _ = load_folder(folder)
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter1.txt").write_text("precious")
    with pytest.raises(UsageError, match="in use"):
        save_folder(model, other)
    assert (other / "chapter1.txt").read_text() == "precious"


def test_full_disk_leaves_the_old_folder_and_no_remnant(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = load_folder(folder)
    before = (folder / "model.safetensors").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "save_file", full)
    with pytest.raises(WorkFailed, match=r"the disk is full: .*model could not be written"):
        save_folder(model, folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [folder.name]
