"""The deterministic switch is on for the length of a step on a GPU, and only there. No GPU is needed to see that."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from tests.tiny import tiny_model
from tests.training.small import some_rows
from whetstone.training import trainer as trainer_module
from whetstone.training.determinism import deterministic
from whetstone.training.objectives import trust_region
from whetstone.training.trainer import Schedule, Trainer


def switches() -> tuple[bool, bool, bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.backends.cuda.cudnn_sdp_enabled(),
    )


def test_on_within_the_block_and_as_before_after_it() -> None:
    before = switches()
    with deterministic(torch.device("cuda")):
        assert switches() == (True, False, False, False)
    assert switches() == before
    with pytest.raises(ZeroDivisionError), deterministic(torch.device("cuda:1")):
        raise ZeroDivisionError
    assert switches() == before


def test_a_users_own_setting_comes_back() -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with deterministic(torch.device("cuda")):
            assert switches()[:2] == (True, False)
        assert switches()[:2] == (True, True)
    finally:
        torch.use_deterministic_algorithms(False)


def test_nothing_is_switched_on_the_cpu() -> None:
    before = switches()
    with deterministic(torch.device("cpu")):
        assert switches() == before


def test_a_step_runs_under_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the switch on as for a GPU, no operation of a step is refused on the CPU, and the bits are the same."""
    seen: list[bool] = []
    original = trainer_module.token_logprobs

    def watched(*arguments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(torch.are_deterministic_algorithms_enabled())
        return original(*arguments)

    monkeypatch.setattr(trainer_module, "token_logprobs", watched)
    ends = []
    for device in ("cpu", "cuda"):
        monkeypatch.setattr(trainer_module, "deterministic", lambda _, d=device: deterministic(torch.device(d)))
        model = tiny_model(seed=8)
        trainer = Trainer(model, model.named_parameters(), Schedule(1e-2, 10))
        trainer.step(some_rows(model), trust_region)
        trainer.rehearse(some_rows(model), trust_region)
        ends.append({name: parameter.detach().clone() for name, parameter in model.named_parameters()})
    assert seen == [False, False, True, True]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert not torch.are_deterministic_algorithms_enabled()


def test_cublas_is_told_before_its_first_product() -> None:
    """By the import of the trainer; a value of the user's stays."""
    code = "import os, whetstone.training.trainer; print(os.environ['CUBLAS_WORKSPACE_CONFIG'])"
    for own in (None, ":16:8"):
        environment = {name: value for name, value in os.environ.items() if name != "CUBLAS_WORKSPACE_CONFIG"}
        environment |= {"CUBLAS_WORKSPACE_CONFIG": own} if own else {}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == (own or ":4096:8")
