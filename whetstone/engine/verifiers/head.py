"""The learned outcome verifier: a linear classifier on the model's own hidden states and likelihood, calibrated.

A folder holds it: head.safetensors (the weights) and head.json (which model it belongs to, what it looks at, its
calibration, how good it was measured to be). `training/verifier.py` makes one, `evals/verifier_quality.py` measures it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from scipy.special import expit

from whetstone.engine.strategies.strategy import Candidate, Scores
from whetstone.engine.verifiers.states import POOLINGS, SAID, Pooled, Written, look
from whetstone.errors import UsageError
from whetstone.files import atomic_folder
from whetstone.models.files import write_json, write_tensors
from whetstone.models.identity import weights_identity
from whetstone.models.loading import Loaded

WEIGHTS, ABOUT = "head.safetensors", "head.json"
FORMAT = 1

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """probability = 1 / (1 + e^-(slope z + shift)), z the head's logit (Platt 1999). slope > 0: the order stays."""

    slope: float
    shift: float

    def __call__(self, logits_N: Floats) -> Floats:
        return np.asarray(expit(self.slope * logits_N + self.shift), dtype=np.float64)


@dataclass(frozen=True)
class Head:
    """z = weight . features + bias, where the features are `Pooled.pooled` after `layer` blocks of the model.

    Answers that have ended and those that have not are calibrated apart: the same logit says less of the latter.
    """

    weight_F: Floats  # [D + SAID]
    bias: float
    layer: int
    pooling: str
    whole: Calibration
    prefix: Calibration

    def logits(self, pooled: Pooled) -> Floats:
        """[M]."""
        return pooled.pooled(self.pooling) @ self.weight_F + self.bias

    def probabilities(self, pooled: Pooled, ended_M: NDArray[np.bool_]) -> Floats:
        """How probable it is that the finished answer is right [M]; `ended_M`: whether it is finished already."""
        logits_M = self.logits(pooled)
        return np.where(ended_M, self.whole(logits_M), self.prefix(logits_M))


@dataclass(frozen=True)
class HeadVerifier:
    """A head together with the model whose states it looks at. Scores are probabilities; an answer so far gets the
    probability that it will turn out right, so it may steer a search. `about`: what it was made from, and `quality`."""

    loaded: Loaded
    head: Head
    about: Mapping[str, Any] = field(default_factory=dict)
    name: str = "head"
    process: bool = True
    params_needed: Mapping[str, Any] = field(default_factory=dict)

    def score(self, candidates: Sequence[Candidate]) -> Scores:
        """Raises UsageError for candidates that are not token ids of this model (an endpoint's text)."""
        written = [self._written(candidate) for candidate in candidates]
        if not written:
            return Scores(())
        looked = look(self.loaded, written, [self.head.layer])
        ended = np.array([ended_itself(candidate, self.loaded) for candidate in candidates])
        values = self.head.probabilities(looked.layers[self.head.layer], ended)
        return Scores(tuple(float(value) for value in values), looked.tokens, looked.flops)

    def _written(self, candidate: Candidate) -> Written:
        written = as_written(candidate)
        if not 0 <= min(written.ids) <= max(written.ids) < self.loaded.model.config.vocab_size:
            raise UsageError(f"a head of {self.loaded.name} cannot look at tokens of another model")
        return written

    def save(self, folder: Path) -> None:
        """Write the folder, whole or not at all; an older one is replaced. Raises UsageError for a folder that holds
        something else, WorkFailed when the disk is full."""
        if folder.exists() and any(folder.iterdir()) and not (folder / ABOUT).is_file():
            raise UsageError(f"{folder} is in use and holds no verifier: choose another place")
        head = self.head
        about = {
            "format": FORMAT,
            "model": self.loaded.name,
            "weights": weights_identity(self.loaded.model),
            "layer": head.layer,
            "pooling": head.pooling,
            "calibration": {name: vars(getattr(head, name)) for name in ("whole", "prefix")},
            **self.about,
        }
        with atomic_folder(folder) as partial:
            tensors = {
                "weight": torch.from_numpy(head.weight_F),
                "bias": torch.tensor([head.bias], dtype=torch.float64),
            }
            write_tensors(tensors, partial / WEIGHTS)
            write_json(partial / ABOUT, about)

    @classmethod
    def load(cls, folder: Path, loaded: Loaded) -> HeadVerifier:
        """Read what `save` wrote. Raises UsageError for a folder that is damaged or holds no verifier, and for a head
        of other weights than `loaded`'s: it would read noise in their states."""
        about = _about(folder)
        if about.get("weights") != weights_identity(loaded.model):
            raise UsageError(
                f"the verifier in {folder} was made for the weights of {about.get('model')}, and {loaded.name} has "
                "others: make one for this model"
            )
        try:
            tensors = load_file(folder / WEIGHTS)
            head = Head(
                tensors["weight"].double().numpy(),
                float(tensors["bias"]),
                int(about["layer"]),
                str(about["pooling"]),
                *(Calibration(**about["calibration"][name]) for name in ("whole", "prefix")),
            )
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as failure:
            raise UsageError(f"the verifier in {folder} is damaged ({failure}): make it again") from None
        config = loaded.model.config
        fits = head.weight_F.shape == (config.width + SAID,) and 0 <= head.layer <= config.layers
        if head.pooling not in POOLINGS or not fits:
            raise UsageError(f"the verifier in {folder} is damaged (its sizes are not the model's): make it again")
        return cls(loaded, head, about)


def as_written(candidate: Candidate) -> Written:
    """All of a candidate, the end mark included where it wrote one. Raises UsageError where there are no ids."""
    start, ids = len(candidate.request.prompt_ids), candidate.ids
    if start == 0 or (candidate.completion.length > 0 and not candidate.completion.ids):
        raise UsageError(
            "a head looks at a model's states, and this backend gives no token ids: choose another verifier"
        )
    return Written(ids, start, (len(ids),))


def ended_itself(candidate: Candidate, loaded: Loaded) -> bool:
    """Whether the answer is finished: its last token is the model's end mark."""
    ids = candidate.completion.ids
    return bool(ids) and ids[-1] in loaded.tokenizer.stop_ids


def made_for(folder: Path) -> tuple[str, str]:
    """(name, identity) of the weights that the head in a folder was made for. Raises UsageError for a folder that holds
    none."""
    about = _about(folder)
    return str(about.get("model")), str(about.get("weights"))


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except OSError:
        raise UsageError(f"{folder} holds no verifier: there is no {ABOUT} to read") from None
    except ValueError:
        about = None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise UsageError(f"{folder / ABOUT} is not written by this version: make the verifier again")
    return about
