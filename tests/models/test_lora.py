"""Adapters: PEFT's arithmetic and files, both ways."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.models.tiny import oracle, our_logits, relative_error, saved, some_ids, their_logits
from whetstone.errors import UsageError
from whetstone.models.checkpoint import load_folder, save_folder
from whetstone.models.decoder import Decoder
from whetstone.models.lora import (
    apply_lora,
    load_adapter,
    lora_parameters,
    merged_weights,
    save_adapter,
)

IDS = some_ids(24)


def adapted(name: str, folder: Path, targets: str | list[str] = "all-linear", rank: int = 3) -> Decoder:
    """A tiny model with adapters that do something."""
    model, _ = load_folder(saved(name, folder))
    apply_lora(model, rank=rank, alpha=8.0, targets=targets, seed=5)
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in lora_parameters(model):
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize("name", ["llama-biases", "qwen3", "olmo2"])
@pytest.mark.parametrize("rslora", [False, True])
def test_an_adapter_of_peft_gives_the_same_logits_here(name: str, rslora: bool, tmp_path: Path) -> None:
    base = copy.deepcopy(oracle(name))
    settings = peft.LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", use_rslora=rslora, task_type="CAUSAL_LM")
    theirs = peft.get_peft_model(base, settings)
    torch.manual_seed(0)
    with torch.no_grad():
        for key, parameter in theirs.named_parameters():
            if "lora_" in key:
                parameter.normal_(std=0.3)
    theirs.save_pretrained(tmp_path / "adapter")
    ours, _ = load_folder(saved(name, tmp_path / "base"))
    plain = our_logits(ours, IDS)
    load_adapter(ours, tmp_path / "adapter")
    expected = their_logits(theirs.eval(), IDS)
    assert relative_error(our_logits(ours, IDS), expected) <= 1e-4
    assert relative_error(plain, expected) > 0.1
    # And back: what we write of it is what PEFT wrote.
    save_adapter(ours, tmp_path / "again")
    file = "adapter_model.safetensors"
    before, after = load_file(tmp_path / "adapter" / file), load_file(tmp_path / "again" / file)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    again = peft.PeftModel.from_pretrained(copy.deepcopy(oracle(name)), tmp_path / "again")
    assert torch.equal(their_logits(again.eval(), IDS), expected)


@pytest.mark.parametrize("targets", ["all-linear", ["q", "v"], ["down"]])
def test_an_adapter_of_ours_gives_the_same_logits_in_peft(targets: str | list[str], tmp_path: Path) -> None:
    model = adapted("qwen2", tmp_path / "base", targets)
    save_adapter(model, tmp_path / "adapter", base="somewhere/tiny")
    theirs = peft.PeftModel.from_pretrained(copy.deepcopy(oracle("qwen2")), tmp_path / "adapter").eval()
    assert relative_error(our_logits(model, IDS), their_logits(theirs, IDS)) <= 1e-4
    assert json.loads((tmp_path / "adapter/adapter_config.json").read_text())["base_model_name_or_path"]


def test_merged_and_unmerged_answer_alike(tmp_path: Path) -> None:
    model = adapted("llama-biases", tmp_path / "base")
    apart = our_logits(model, IDS)
    save_folder(model, tmp_path / "merged")
    whole, _ = load_folder(tmp_path / "merged")
    assert relative_error(our_logits(whole, IDS), apart) <= 1e-5
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", attn_implementation="eager")
    assert relative_error(their_logits(theirs, IDS), apart) <= 1e-4
    assert merged_weights(whole).keys() == dict(whole.named_parameters()).keys()


def test_fresh_adapters_change_nothing_and_are_all_that_trains(tmp_path: Path) -> None:
    model, _ = load_folder(saved("llama-tied", tmp_path))
    before = our_logits(model, IDS)
    apply_lora(model, rank=2, alpha=4.0, seed=1)
    assert torch.equal(our_logits(model, IDS), before)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert len(trained) == 2 * 7 * model.config.layers == len(lora_parameters(model))
    assert all(".adapter." in name for name in trained)


def test_seed_decides_the_adapters_and_the_global_generator_is_left_alone(tmp_path: Path) -> None:
    saved("llama-tied", tmp_path)
    state = torch.get_rng_state()
    first, second, other = (
        lora_parameters(apply_lora(load_folder(tmp_path)[0], 2, 4.0, seed=seed)) for seed in (7, 7, 8)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])


def test_errors(tmp_path: Path) -> None:
    model = adapted("qwen3", tmp_path / "base")
    with pytest.raises(UsageError, match="nose"):
        apply_lora(model, 2, 2.0, targets=["nose"])
    with pytest.raises(UsageError, match="at least 1"):
        apply_lora(model, 0, 2.0)
    with pytest.raises(UsageError, match=r"adapter_config\.json"):
        load_adapter(model, tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no adapters"):
        save_adapter(load_folder(tmp_path / "base")[0], tmp_path / "none")

    save_adapter(model, tmp_path / "adapter")
    other, _ = load_folder(saved("llama-tied", tmp_path / "other"))
    with pytest.raises(UsageError, match="does not fit"):
        load_adapter(other, tmp_path / "adapter")  # the same names with another head size

    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    for change in (
        {"use_dora": True},
        {"rank_pattern": {"q_proj": 8}},
        {"modules_to_save": ["lm_head"]},
        {"peft_type": "IA3"},
    ):
        (tmp_path / "adapter/adapter_config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(UsageError, match="known"):
            load_adapter(model, tmp_path / "adapter")
    (tmp_path / "adapter/adapter_config.json").write_text(json.dumps(config))

    file = tmp_path / "adapter/adapter_model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "base_model.model.lm_head.lora_A.weight": torch.ones(3, 48)}, file)
    with pytest.raises(UsageError, match="lm_head"):
        load_adapter(model, tmp_path / "adapter")
    tensors.pop("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight")
    save_file(tensors, file)
    with pytest.raises(UsageError, match="does not fit"):
        load_adapter(model, tmp_path / "adapter")
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(UsageError, match="cannot be read"):
        load_adapter(model, tmp_path / "adapter")
