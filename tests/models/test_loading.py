"""Adapters as a model: on their base, wherever it lies, and merged into it."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

import pytest
import torch

from tests.models.tiny import our_logits
from tests.tiny import tiny_folder, tiny_tokenizer
from whetstone.errors import UsageError
from whetstone.models import loading
from whetstone.models.loading import Loaded, add_lora, load, merge, save_weights
from whetstone.models.lora import lora_parameters

IDS = [3, 10, 11, 12, 13, 14, 15, 4]


def noisy_adapter(base: Loaded, folder: Path, seed: int = 0) -> torch.Tensor:
    """Save an adapter that does something on `base`; returns the logits with it."""
    add_lora(base, rank=3, alpha=6.0, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in lora_parameters(base.model):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    folder.mkdir()
    save_weights(base, folder)
    return our_logits(base.model, IDS)


def rename_base(folder: Path, name: str) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": name}))


def test_an_adapter_is_loaded_on_its_base(tmp_path: Path) -> None:
    tiny = str(tiny_folder(tmp_path / "tiny"))
    wanted = noisy_adapter(load(tiny), tmp_path / "adapter")
    loaded = load(str(tmp_path / "adapter"))
    assert loaded.adapted and torch.equal(our_logits(loaded.model, IDS), wanted)
    assert loaded.base == tiny and loaded.name == str(tmp_path / "adapter") and load(tiny).base == tiny
    assert {name for name, _ in loaded.trainable()} == {
        name for name, parameter in loaded.model.named_parameters() if parameter.requires_grad
    }
    # it is saved as an adapter of the same base, not of itself
    (tmp_path / "again").mkdir()
    save_weights(loaded, tmp_path / "again")
    assert json.loads((tmp_path / "again" / "adapter_config.json").read_text())["base_model_name_or_path"] == tiny
    assert torch.equal(our_logits(load(str(tmp_path / "again")).model, IDS), wanted)


def test_merging_changes_nothing_but_what_can_be_trained(tmp_path: Path) -> None:
    wanted = noisy_adapter(load(str(tiny_folder(tmp_path / "tiny"))), tmp_path / "adapter")
    loaded = load(str(tmp_path / "adapter"))
    merge(loaded)
    assert not loaded.adapted and torch.allclose(our_logits(loaded.model, IDS), wanted, atol=1e-5)
    names = [name for name, _ in loaded.trainable()]
    assert names and all(parameter.requires_grad for parameter in loaded.model.parameters())
    plain = load(str(tmp_path / "tiny"))
    assert names == [name for name, _ in plain.trainable()]
    before = our_logits(plain.model, IDS)
    merge(plain)  # nothing to merge
    assert torch.equal(our_logits(plain.model, IDS), before)


def test_an_adapter_on_an_adapter_has_the_lower_one_merged(tmp_path: Path) -> None:
    noisy_adapter(load(str(tiny_folder(tmp_path / "tiny"))), tmp_path / "lower")
    lower = load(str(tmp_path / "lower"))
    merge(lower)
    lower.base = lower.name
    wanted = noisy_adapter(lower, tmp_path / "upper", seed=1)
    assert torch.allclose(our_logits(load(str(tmp_path / "upper")).model, IDS), wanted, atol=1e-5)


def test_a_base_that_moved_along_with_its_adapter_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = noisy_adapter(load(str(tiny_folder(tmp_path / "tiny"))), tmp_path / "adapter")
    rename_base(tmp_path / "adapter", "../tiny")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere" / "..")
    loaded = load("adapter")
    assert torch.equal(our_logits(loaded.model, IDS), wanted) and Path(loaded.base).is_absolute()


def test_a_name_on_the_hub_is_asked_for_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = tiny_folder(tmp_path / "tiny")
    noisy_adapter(load(str(tiny)), tmp_path / "adapter")
    rename_base(tmp_path / "adapter", "Some-One/Tiny-2.5")
    asked: list[str] = []

    def resolve(spec: str) -> Path:
        asked.append(spec)
        return tiny if spec.startswith("hf:") else Path(spec)

    monkeypatch.setattr(loading, "resolve", resolve)
    assert load(str(tmp_path / "adapter")).base == "hf:Some-One/Tiny-2.5" and asked[-1] == "hf:Some-One/Tiny-2.5"


@pytest.mark.parametrize("base", ["", "/no/such/folder", "nobody", "../adapter"])
def test_a_base_that_is_not_to_be_had_is_named(tmp_path: Path, base: str) -> None:
    noisy_adapter(load(str(tiny_folder(tmp_path / "tiny"))), tmp_path / "adapter")
    rename_base(tmp_path / "adapter", base)
    with pytest.raises(UsageError) as raised:
        load(str(tmp_path / "adapter"))
    said = str(raised.value)
    assert said.startswith(f"{tmp_path}/adapter is an adapter for the model {base!r}, which cannot be loaded (")
    assert said.endswith("correct base_model_name_or_path in its adapter_config.json") and "\n" not in said
    assert ("leads back to itself" in said) == (base == "../adapter")


def test_two_adapters_that_name_each_other(tmp_path: Path) -> None:
    noisy_adapter(load(str(tiny_folder(tmp_path / "tiny"))), tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    rename_base(tmp_path / "a", "../b")
    rename_base(tmp_path / "b", "../a")
    with pytest.raises(UsageError, match="leads back to itself"):
        load(str(tmp_path / "a"))


def test_the_chat_template_of_an_adapter_wins(tmp_path: Path) -> None:
    noisy_adapter(load(str(tiny_folder(tmp_path / "tiny"))), tmp_path / "adapter")
    own = tiny_tokenizer()
    own.config["chat_template"] = "own"
    own.save(tmp_path / "adapter")
    assert load(str(tmp_path / "adapter")).tokenizer.render([]) == "own"
    own.core.add_tokens(["<|one|>", "<|more|>"])
    own.save(tmp_path / "adapter")
    with pytest.raises(UsageError, match="adapters for a larger vocabulary are not known"):
        load(str(tmp_path / "adapter"))


def test_a_template_is_told_the_day_that_was_pinned() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.config["chat_template"] = "{{ strftime_now('%d %b %Y') }}"
    assert tokenizer.render([]) == datetime.now().strftime("%d %b %Y")
    tokenizer.today = datetime(2024, 2, 29, 23, 59)
    assert tokenizer.render([]) == "29 Feb 2024"
    tokenizer.today = None
    assert tokenizer.render([]) != "29 Feb 2024"
