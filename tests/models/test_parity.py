"""Our decoder answers as transformers does, for every family, from and to the same files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.models.tiny import CONFIGS, oracle, our_logits, relative_error, saved, some_ids, their_logits
from whetstone.models.checkpoint import load_folder, save_folder
from whetstone.models.config import from_hf, to_hf

IDS = some_ids()


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_equal_those_of_transformers(name: str, tmp_path: Path) -> None:
    model, _ = load_folder(saved(name, tmp_path))
    assert relative_error(our_logits(model, IDS), their_logits(oracle(name), IDS)) <= 1e-4


@pytest.mark.parametrize("name", CONFIGS)
def test_a_saved_folder_is_the_same_model_for_transformers(name: str, tmp_path: Path) -> None:
    model, _ = load_folder(saved(name, tmp_path / "theirs"))
    save_folder(model, tmp_path / "ours")
    again, report = AutoModelForCausalLM.from_pretrained(
        tmp_path / "ours", attn_implementation="eager", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    expected = oracle(name).state_dict()
    for key, tensor in again.state_dict().items():
        assert torch.equal(tensor, expected[key]), key
    # The config came through as well, not only the weights.
    assert torch.equal(their_logits(again, IDS), their_logits(oracle(name), IDS))


@pytest.mark.parametrize("name", CONFIGS)
def test_config_survives_a_round_trip(name: str) -> None:
    config = from_hf(json.loads(CONFIGS[name].to_json_string(use_diff=False)))
    assert from_hf(json.loads(json.dumps(to_hf(config)))) == config


def test_window_and_scaling_are_seen_by_these_tests(tmp_path: Path) -> None:
    """A test that a wrong model passes proves nothing: with a feature off the logits must move."""
    for name, change in (
        ("mistral-window", {"sliding_window": None}),
        ("llama-long", {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}),
        ("qwen3-window", {"use_sliding_window": False, "layer_types": None}),
    ):
        folder = saved(name, tmp_path / name)
        hf = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**hf, **change}))
        model, _ = load_folder(folder)
        assert relative_error(our_logits(model, IDS), their_logits(oracle(name), IDS)) > 0.1, name


def test_shards_are_read(tmp_path: Path) -> None:
    whole, _ = load_folder(saved("qwen3", tmp_path / "whole"))
    parts = saved("qwen3", tmp_path / "parts", max_shard_size="60KB")
    assert len(list(parts.glob("*.safetensors"))) > 2
    model, _ = load_folder(parts)
    for (name, ours), (_, expected) in zip(model.named_parameters(), whole.named_parameters(), strict=True):
        assert torch.equal(ours, expected), name


def test_half_precision_files_become_fp32_masters(tmp_path: Path) -> None:
    narrow = AutoModelForCausalLM.from_pretrained(saved("olmo2", tmp_path / "a"), dtype=torch.bfloat16)
    narrow.save_pretrained(tmp_path / "b")
    model, _ = load_folder(tmp_path / "b")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(model.norm.weight, oracle("olmo2").model.norm.weight.bfloat16().float())


def test_loaded_tensors_do_not_hang_on_the_file(tmp_path: Path) -> None:
    folder = saved("llama-tied", tmp_path)
    before = (folder / "model.safetensors").read_bytes()
    model, _ = load_folder(folder)
    with torch.no_grad():
        model.embed.weight.zero_()
    assert (folder / "model.safetensors").read_bytes() == before
    save_folder(model, folder)
    again, _ = load_folder(folder)
    assert not again.embed.weight.any()
