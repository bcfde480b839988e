"""The entrant's side: prompts in, a hash-chained log of answers out. It sees prompts and ids, nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Completion, SamplingParams
from whetstone.engine.rollout import completion_text
from whetstone.errors import UsageError, WorkFailed
from whetstone.evals.rounds.chain import Record, append, mend
from whetstone.runs.progress import Progress
from whetstone.tasks.keys import problem_seed

CHUNK = 64  # prompts between two writes: what a kill costs
LOST = ("error", "timeout")  # an endpoint that fails now and then costs its model answers; one that is down does not


@dataclass(frozen=True)
class Exam:
    """What is asked of every entrant alike: the prompts of prompts.jsonl and how answers are drawn."""

    prompts: list[dict[str, Any]]
    samples: int
    temperature: float
    sampling: bytes
    today: datetime

    @classmethod
    def read(cls, path: Path, samples: int, temperature: float, sampling: str, today: str) -> Exam:
        """From prompts.jsonl. Raises UsageError for a damaged file."""
        try:
            prompts = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} cannot be read ({error})") from error
        return cls(prompts, samples, temperature, bytes.fromhex(sampling), datetime.fromisoformat(today))

    def seeds(self, place: int) -> tuple[int, ...]:
        """A 64-bit seed for each answer to a prompt: the same for every entrant."""
        return tuple(
            int.from_bytes(problem_seed(self.sampling, "round", str(place), "", member)[:8], "big")
            for member in range(self.samples)
        )


def answer(exam: Exam, backend: Backend, log: Path, name: str, progress: Progress) -> list[Record]:
    """Answer every prompt that the log has no answers to yet, writing as it goes; returns the whole log.

    A killed run goes on where it was: an answer depends on its prompt and its seed only. Raises UsageError for a log
    that was changed or that has answers to other prompts, WorkFailed when nothing answers.
    """
    records = mend(log)
    for record, prompt in zip(records, exam.prompts, strict=False):
        if record["id"] != prompt["id"]:
            raise UsageError(f"{log} has answers to other prompts: remove it and run again")
    if backend.tokenizer is not None:
        backend.tokenizer.today = exam.today
    with progress.stage(f"answers of {name}", len(exam.prompts), len(records)) as stage:
        while len(records) < len(exam.prompts):
            chunk = _chunk(exam.prompts, len(records))
            answered = ask(exam, backend, chunk)
            if all(each["finish"] in LOST for record in answered for each in record["answers"]):
                raise WorkFailed(
                    f"not one of {len(chunk)} prompts was answered by {name}: is its endpoint up? What came before is "
                    "kept; run again"
                )
            records = append(log, records, answered)
            stage.advance(len(chunk))
    return records


def _chunk(prompts: Sequence[dict[str, Any]], start: int) -> Sequence[dict[str, Any]]:
    """The next prompts that may have answers of the same length."""
    room = prompts[start]["max_new_tokens"]
    end = start
    while end < min(start + CHUNK, len(prompts)) and prompts[end]["max_new_tokens"] == room:
        end += 1
    return prompts[start:end]


def ask(exam: Exam, backend: Backend, prompts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records of the answers to some prompts with one `max_new_tokens`."""
    requests = [backend.request(prompt["messages"], exam.seeds(prompt["place"])) for prompt in prompts]
    room = prompts[0]["max_new_tokens"]
    if backend.positions is not None:
        longest = max(len(request.prompt_ids) for request in requests)
        if longest + room > backend.positions:
            raise UsageError(
                f"a prompt of this round has {longest} tokens and an answer may have {room}; the model takes "
                f"{backend.positions} in all"
            )
    sampled = backend.sampler.sample(requests, SamplingParams(room, exam.temperature, backend.stop_ids))
    return [
        {
            "place": prompt["place"],
            "id": prompt["id"],
            "answers": [_told(completion, backend) for completion in completions],
        }
        for prompt, completions in zip(prompts, sampled, strict=True)
    ]


def _told(completion: Completion, backend: Backend) -> dict[str, Any]:
    said = completion.logprobs
    return {
        "text": completion_text(completion, backend.tokenizer),
        "ids": list(completion.ids),
        "tokens": completion.length,
        "finish": completion.finish,
        # of a whole token's digits: another machine's last bits must not make an answer look changed
        "logprob": round(sum(said) / len(said), 4) if said else None,
    }
