"""The name tables read both ways."""

from __future__ import annotations

import pytest

from tests.models.tiny import CONFIGS, oracle
from whetstone.models.checkpoint import empty_decoder
from whetstone.models.config import from_hf
from whetstone.models.names import from_hf_name, to_gguf_name, to_hf_name


@pytest.mark.parametrize("name", CONFIGS)
def test_every_parameter_has_one_name_on_disk_and_back(name: str) -> None:
    config = from_hf(CONFIGS[name].to_dict())
    ours = [parameter for parameter, _ in empty_decoder(config).named_parameters()]
    disk = [to_hf_name(parameter, config) for parameter in ours]
    assert [from_hf_name(one, config) for one in disk] == ours
    assert set(disk) == {parameter for parameter, _ in oracle(name).named_parameters()}
    assert len({to_gguf_name(parameter) for parameter in ours}) == len(ours)


def test_unknown_names() -> None:
    config = from_hf(CONFIGS["qwen3"].to_dict())
    for stranger in (
        "model.layers.0.self_attn.q_proj.weight.x",
        "model.layers.-1.self_attn.q_proj.weight",
        "model.layers.01.self_attn.q_proj.weight",
        "xmodel.norm.weight",
        "model_norm.weight",
        "model.layers.0.mlp.experts.3.up_proj.weight",
    ):
        assert from_hf_name(stranger, config) is None
    with pytest.raises(KeyError):
        to_hf_name("layers.0.mixer.sinks", config)
    with pytest.raises(KeyError):
        to_gguf_name("layers.0.mixer.sinks")
