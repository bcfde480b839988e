"""Samplers for tests: one that writes down what was asked, one that reads its answers from a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tokenizers

from tests.tiny import tiny_model, tiny_tokenizer
from whetstone.engine.backends import Backend, local
from whetstone.engine.protocol import Completion, Progress, Request, Sampler, SamplingParams
from whetstone.models.loading import Loaded
from whetstone.models.tokenizer import Tokenizer


@dataclass
class Recorder:
    """Passes on and keeps every request with its completions."""

    sampler: Sampler
    calls: list[tuple[Request, SamplingParams, list[Completion]]] = field(default_factory=list)

    def sample(
        self, requests: Sequence[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Completion]]:
        drawn = self.sampler.sample(requests, params, progress)
        self.calls += zip(requests, [params] * len(requests), drawn, strict=True)
        return drawn

    @property
    def written(self) -> int:
        return sum(completion.length for _, _, group in self.calls for completion in group)


@dataclass
class Script:
    """Writes one of `texts` after the other, whatever it is asked, each cut at a stop id and where the room ends. "|"
    at its end ends the answer."""

    tokenizer: Tokenizer
    texts: list[str]
    asked: list[Request] = field(default_factory=list)

    def sample(
        self, requests: Sequence[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Completion]]:
        return [[self._one(request, params) for _ in request.seeds] for request in requests]

    def _one(self, request: Request, params: SamplingParams) -> Completion:
        self.asked.append(request)
        text = self.texts.pop(0)
        ids = self.tokenizer.encode(text.removesuffix("|"))
        if text.endswith("|"):
            ids += [self.tokenizer.token_id("eos_token") or 0]
        ids = ids[: request.limited(params).max_new_tokens]
        stops = [place for place, token in enumerate(ids) if token in params.stop_ids]
        ids = ids[: stops[0] + 1] if stops else ids
        return Completion(tuple(ids), (-0.5,) * len(ids), "stop" if stops else "length", 0)


def scripted(*texts: str, thinks: bool = False) -> tuple[Backend, Script]:
    """A backend that writes these texts."""
    tokenizer = thinking_tokenizer() if thinks else tiny_tokenizer()
    script = Script(tokenizer, list(texts))
    return Backend(script, tokenizer, 4096), script


def thinking_tokenizer() -> Tokenizer:
    """The tiny tokenizer with marks of thinking, which its template mentions."""
    plain = tiny_tokenizer()
    plain.core.add_tokens([tokenizers.AddedToken(mark, normalized=False) for mark in ("<think>", "</think>")])
    template = plain.config["chat_template"] + "{# <think></think> #}"
    return Tokenizer(plain.core, {**plain.config, "chat_template": template})


def recorded(seed: int, thinks: bool = False) -> tuple[Backend, Recorder]:
    """A tiny model of its own for each seed, and what it is asked."""
    tokenizer = thinking_tokenizer() if thinks else tiny_tokenizer()
    model = tiny_model(seed, vocab_size=tokenizer.vocab_size)
    plain = local(Loaded(model, tokenizer, "tiny", Path("tiny")))
    recorder = Recorder(plain.sampler)
    return Backend(recorder, tokenizer, plain.positions), recorder
