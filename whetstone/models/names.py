"""What the same tensor is called here, in a Hugging Face folder, and in a GGUF file.

Each table is an ordered list of (their template, our template). Both sides carry the same fields, so one row
reads both ways and export is the import run backwards. A name that no row matches is an error: a tensor that
is silently left out gives a model that talks, badly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from whetstone.errors import UsageError
from whetstone.models.config import ModelConfig

Rows = tuple[tuple[str, str], ...]

# {i} is the layer, {leaf} is "weight" or "bias".
_FIELDS = {"{i}": r"(?P<i>0|[1-9]\d*)", "{leaf}": r"(?P<leaf>weight|bias)"}

_HF_COMMON: Rows = (
    ("model.embed_tokens.weight", "embed.weight"),
    ("model.norm.weight", "norm.weight"),
    ("lm_head.weight", "head.weight"),
    ("model.layers.{i}.self_attn.q_proj.{leaf}", "layers.{i}.mixer.q.{leaf}"),
    ("model.layers.{i}.self_attn.k_proj.{leaf}", "layers.{i}.mixer.k.{leaf}"),
    ("model.layers.{i}.self_attn.v_proj.{leaf}", "layers.{i}.mixer.v.{leaf}"),
    ("model.layers.{i}.self_attn.o_proj.{leaf}", "layers.{i}.mixer.o.{leaf}"),
    ("model.layers.{i}.self_attn.q_norm.weight", "layers.{i}.mixer.q_norm.weight"),
    ("model.layers.{i}.self_attn.k_norm.weight", "layers.{i}.mixer.k_norm.weight"),
    ("model.layers.{i}.mlp.gate_proj.{leaf}", "layers.{i}.channel.gate.{leaf}"),
    ("model.layers.{i}.mlp.up_proj.{leaf}", "layers.{i}.channel.up.{leaf}"),
    ("model.layers.{i}.mlp.down_proj.{leaf}", "layers.{i}.channel.down.{leaf}"),
)

# "post_attention_layernorm" is the norm *before* the channel mixer in Llama, and the norm *on the output of*
# attention in OLMo 2: the same words on disk, two places in the block.
_HF_NORMS: dict[str, Rows] = {
    "pre": (
        ("model.layers.{i}.input_layernorm.weight", "layers.{i}.mixer_norm.weight"),
        ("model.layers.{i}.post_attention_layernorm.weight", "layers.{i}.channel_norm.weight"),
    ),
    "post": (
        ("model.layers.{i}.post_attention_layernorm.weight", "layers.{i}.mixer_post_norm.weight"),
        ("model.layers.{i}.post_feedforward_layernorm.weight", "layers.{i}.channel_post_norm.weight"),
    ),
}

_GGUF: Rows = (
    ("token_embd.weight", "embed.weight"),
    ("output_norm.weight", "norm.weight"),
    ("output.weight", "head.weight"),
    ("blk.{i}.attn_q.{leaf}", "layers.{i}.mixer.q.{leaf}"),
    ("blk.{i}.attn_k.{leaf}", "layers.{i}.mixer.k.{leaf}"),
    ("blk.{i}.attn_v.{leaf}", "layers.{i}.mixer.v.{leaf}"),
    ("blk.{i}.attn_output.{leaf}", "layers.{i}.mixer.o.{leaf}"),
    ("blk.{i}.attn_q_norm.weight", "layers.{i}.mixer.q_norm.weight"),
    ("blk.{i}.attn_k_norm.weight", "layers.{i}.mixer.k_norm.weight"),
    ("blk.{i}.attn_norm.weight", "layers.{i}.mixer_norm.weight"),
    ("blk.{i}.ffn_norm.weight", "layers.{i}.channel_norm.weight"),
    ("blk.{i}.post_attention_norm.weight", "layers.{i}.mixer_post_norm.weight"),
    ("blk.{i}.post_ffw_norm.weight", "layers.{i}.channel_post_norm.weight"),
    ("blk.{i}.ffn_gate.{leaf}", "layers.{i}.channel.gate.{leaf}"),
    ("blk.{i}.ffn_up.{leaf}", "layers.{i}.channel.up.{leaf}"),
    ("blk.{i}.ffn_down.{leaf}", "layers.{i}.channel.down.{leaf}"),
)


def _hf_rows(config: ModelConfig) -> Rows:
    return _HF_COMMON + _HF_NORMS[config.norm_position]


def from_hf_name(name: str, config: ModelConfig) -> str | None:
    """Our name of a Hugging Face tensor, None where no row matches."""
    return _translate(name, _hf_rows(config), 0)


def to_hf_name(name: str, config: ModelConfig) -> str:
    """The Hugging Face name of one of our tensors; KeyError where no row matches (a bug in the table)."""
    found = _translate(name, _hf_rows(config), 1)
    if found is None:
        raise KeyError(f"no Hugging Face name for the tensor {name}")
    return found


def to_gguf_name(name: str) -> str:
    """The GGUF name of one of our tensors; KeyError where no row matches (a bug in the table)."""
    found = _translate(name, _GGUF, 1)
    if found is None:
        raise KeyError(f"no GGUF name for the tensor {name}")
    return found


def check_names(found: Iterable[str], expected: Iterable[str], where: str) -> None:
    """See that a file holds the tensors of a model, all of them and nothing else. Both in the file's own
    names.

    Raises:
        UsageError: a tensor is missing, or the model has no place for one; names them.
    """
    here, wanted = set(found), set(expected)
    if missing := wanted - here:
        raise UsageError(f"{where} lacks {_listing(missing)}: the weights are not those of this config")
    if surplus := here - wanted:
        raise UsageError(f"{where} holds {_listing(surplus)}, which this model type has no place for")


def _listing(names: Iterable[str]) -> str:
    ordered = sorted(names)
    shown = ", ".join(ordered[:3]) + (f" and {len(ordered) - 3} more" if len(ordered) > 3 else "")
    return f"{'the tensor' if len(ordered) == 1 else f'{len(ordered)} tensors:'} {shown}"


@cache
def _pattern(template: str) -> re.Pattern[str]:
    pattern = re.escape(template)
    for field, group in _FIELDS.items():
        pattern = pattern.replace(re.escape(field), group)
    return re.compile(pattern)


def _translate(name: str, rows: Rows, side: int) -> str | None:
    """Read `rows` from column `side` to the other one."""
    for row in rows:
        if found := _pattern(row[side]).fullmatch(name):
            return row[1 - side].format(**found.groupdict())
    return None
