"""The packed weights are never stale: whatever changes the model, the next look at it sees it."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
import torch

from tests.engine.native.paged import SHAPES, alone, decoder, needs_kernel, reference, sequence, stored
from tests.models.tiny import relative_error
from whetstone.engine.native import NativeRunner
from whetstone.engine.native.packed import STORAGES, StorageKind, dequantised
from whetstone.errors import WorkFailed
from whetstone.models.decoder import Decoder
from whetstone.models.lora import apply_lora, lora_parameters

pytestmark = needs_kernel
IDS = sequence(20, 1)


def check(runner: NativeRunner, model: Decoder, storage: StorageKind = "fp32") -> None:
    assert relative_error(alone(runner, IDS), reference(stored(model, storage), IDS)[0]) < 1e-4


def sgd(model: Decoder) -> None:
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    torch.optim.SGD(model.parameters(), lr=0.01).step()


def fused_adamw(model: Decoder) -> None:
    """The trainer's optimizer, whose writes torch itself does not count."""
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    torch.optim.AdamW(model.parameters(), lr=0.01, fused=True).step()


def checkpoint(model: Decoder) -> None:
    model.load_state_dict(decoder("llama-biases", 5).state_dict())


@torch.inference_mode()
def in_inference_mode(model: Decoder) -> None:
    model.head.weight.mul_(1.5)


def new_storage(model: Decoder) -> None:
    model.layers[1].mixer.q.weight.data = model.layers[1].mixer.q.weight.data * 2


def new_parameter(model: Decoder) -> None:
    model.layers[2].channel.down.weight = torch.nn.Parameter(model.layers[2].channel.down.weight.detach() * 0.5)


def one_bias(model: Decoder) -> None:
    with torch.no_grad():
        model.layers[0].mixer.v.bias.add_(0.3)


def one_norm(model: Decoder) -> None:
    with torch.no_grad():
        model.norm.weight.mul_(torch.linspace(0.5, 2, len(model.norm.weight)))


def transposed(model: Decoder) -> None:
    """Another parameter on the very memory of the one before it."""
    model.layers[0].mixer.o.weight = torch.nn.Parameter(model.layers[0].mixer.o.weight.detach().t())


CHANGES = [sgd, fused_adamw, checkpoint, in_inference_mode, new_storage, new_parameter, one_bias, one_norm, transposed]


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_seen_by_the_next_step(change: Callable[[Decoder], None], storage: StorageKind) -> None:
    model = decoder("llama-biases")
    runner = NativeRunner(model, 2, storage, threads=1)
    before = alone(runner, IDS)
    assert not runner.refresh()
    change(model)
    assert runner.refresh() and not runner.refresh()
    assert not torch.equal(alone(runner, IDS), before)
    check(runner, model, storage)


def test_refresh_tells_whether_anything_was_packed() -> None:
    model = decoder("olmo2")
    runner = NativeRunner(model, 1, threads=1)
    assert not runner.refresh()
    with torch.no_grad():
        model.layers[0].mixer.k_norm.weight.add_(1)
    assert runner.refresh()
    assert not runner.refresh()


def test_the_embedding_is_read_from_the_model_itself() -> None:
    model = decoder("llama-biases")
    runner = NativeRunner(model, 2, threads=1)
    alone(runner, IDS)
    with torch.no_grad():
        model.embed.weight.mul_(-1)
    check(runner, model)
    model.embed.weight = torch.nn.Parameter(model.embed.weight.detach().t().contiguous().t())
    assert not model.embed.weight.is_contiguous()
    check(runner, model)


@pytest.mark.parametrize("name", SHAPES)
def test_adapters_are_merged_and_their_training_is_seen(name: str) -> None:
    model = decoder(name)
    runner = NativeRunner(model, 2, threads=1)
    bare = alone(runner, IDS)
    apply_lora(model, rank=3, alpha=6.0)
    assert torch.equal(alone(runner, IDS), bare)  # fresh adapters change nothing
    with torch.no_grad():
        for parameter in lora_parameters(model):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    with_adapters = alone(runner, IDS)
    assert relative_error(with_adapters, reference(model, IDS)[0]) < 1e-4
    for linear in (layer.mixer.q for layer in model.layers):
        linear.adapter.scale *= 2
    assert relative_error(alone(runner, IDS), reference(model, IDS)[0]) < 1e-4
    for linear in (module for module in model.modules() if hasattr(module, "adapter")):
        linear.adapter = None
    assert torch.equal(alone(runner, IDS), bare)


def test_an_adapter_that_is_moved_is_seen() -> None:
    """The tensors and scales are those of before, in their order; only the place is another."""
    model = decoder("llama-tied")
    runner = NativeRunner(model, 2, threads=1)
    apply_lora(model, rank=3, alpha=6.0, targets="gate")
    with torch.no_grad():
        for parameter in lora_parameters(model):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    before = alone(runner, IDS)
    for layer in model.layers:
        layer.channel.up.adapter, layer.channel.gate.adapter = layer.channel.gate.adapter, None
    assert not torch.equal(alone(runner, IDS), before)
    assert relative_error(alone(runner, IDS), reference(model, IDS)[0]) < 1e-4


def test_new_tensors_are_seen_though_the_memory_is_given_out_anew() -> None:
    """They may well stand where those before them stood, with the same version."""
    model = decoder("llama-tied")
    runner = NativeRunner(model, 2, threads=1)
    for _ in range(10):
        for linear in (layer.mixer.o for layer in model.layers):
            fresh = torch.randn_like(linear.weight)
            linear.weight.data = torch.empty(0)
            gc.collect()
            linear.weight.data = fresh
        check(runner, model)


def test_an_adapter_of_another_kind_is_an_error_and_nothing_stale_is_used_after_it() -> None:
    model = decoder("llama-tied")
    runner = NativeRunner(model, 2, threads=1)
    alone(runner, IDS)
    model.layers[0].mixer.o.adapter = torch.nn.Identity()
    with pytest.raises(WorkFailed, match="Identity"):
        alone(runner, IDS)
    model.layers[0].mixer.o.adapter = None
    check(runner, model)


def test_int8_at_its_limits() -> None:
    """Groups of zeros, of one number, and of numbers too small for a scale."""
    model = decoder("llama-biases")
    with torch.no_grad():
        weight = model.layers[0].mixer.q.weight
        weight[0] = 0
        weight[1, :32] = 3
        weight[2] = 1e-44
        weight[3] = 1e-40 * torch.linspace(-1, 1, weight.shape[1])
    check(NativeRunner(model, 2, "int8", threads=1), model, "int8")
    assert torch.equal(dequantised(torch.zeros(2, 40), "int8"), torch.zeros(2, 40))


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_no_number_shows(value: float, storage: StorageKind) -> None:
    model = decoder("llama-biases")
    with torch.no_grad():
        model.layers[0].channel.up.weight[3, 5] = value
    assert not torch.isfinite(alone(NativeRunner(model, 2, storage, threads=1), IDS)).any()
