"""An answer that is written piece by piece, with tokens put in between: what budgets of thinking and tools share.

Ids go in and ids come out: what the model wrote is never encoded again from its text, and what is put in stands behind
it as ids of its own (law 2). Pieces end on a grid, so that a longer answer begins with the very pieces of a shorter
one and a pool finds them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Completion, Finish, Request, SamplingParams
from whetstone.engine.strategies.strategy import Candidate, Draw, Drawn, Question, Score, draw
from whetstone.errors import UsageError
from whetstone.models.tokenizer import Tokenizer

PIECE = 64  # tokens; shorter pieces are shared by more budgets and cost more rounds
WRITTEN = ("stop", "length")  # how a completion ends that the model wrote to its end

Result = TypeVar("Result")
Chain = Generator[Draw, Drawn, Result]  # one answer in the making: like `Steps`, for `together`


def require_ids(backend: Backend, name: str) -> Tokenizer:
    """The tokenizer. Raises UsageError for a backend that is asked by messages."""
    if backend.tokenizer is None:
        raise UsageError(
            f"{name} goes on behind token ids, and this backend takes messages only: run the model here, or take a "
            "method that draws whole answers, such as consistency or revise"
        )
    return backend.tokenizer


def require_positions(backend: Backend, name: str, tokens: int) -> None:
    """Raises UsageError for more tokens, prompt and answer together, than the model takes."""
    if backend.positions is not None and tokens > backend.positions:
        raise UsageError(
            f"{name} may take {tokens} tokens with the prompt, and the model takes {backend.positions}: "
            "allow fewer tokens, or ask a shorter question"
        )


@dataclass
class Writer:
    """One answer in the making, behind `prompt`. `ids` are kept, and `forced` says which of them were put in; their
    log-probability is 0, as nobody chose them. `dropped` counts tokens that were taken back; `end` is how it ended:
    None for not yet."""

    backend: Backend
    prompt: Request
    seed: int
    temperature: float
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    forced: list[bool] = field(default_factory=list)
    dropped: int = 0
    end: Finish | None = None
    end_id: int | None = None
    end_logprob: float = 0.0
    version: int = 0

    @property
    def spent(self) -> int:
        """Every token so far: written or put in, kept or not, the end mark included."""
        return len(self.ids) + self.dropped + (self.end_id is not None)

    @property
    def failed(self) -> bool:
        """Whether the last piece never came."""
        return self.end is not None and self.end not in WRITTEN

    @property
    def text(self) -> str:
        """What stands there, special tokens such as a closing mark included; not the end mark."""
        return self.upto(len(self.ids))

    def upto(self, length: int) -> str:
        """The text of the first tokens."""
        return _tokenizer(self.backend).decode(self.ids[:length], keep_special=True)

    def place(self, characters: int) -> int:
        """How many tokens end within the first `characters` of the text: those can be kept when it is cut there."""
        low, high = 0, len(self.ids)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if len(self.upto(middle)) <= characters else (low, middle - 1)
        return low

    def force(self, ids: Sequence[int]) -> None:
        """Put tokens behind what stands there; an end mark is taken back."""
        self.reopen()
        self.ids += ids
        self.logprobs += [0.0] * len(ids)
        self.forced += [True] * len(ids)

    def reopen(self) -> None:
        """Take the end mark back, so that the answer may go on."""
        if self.end_id is not None:
            self.dropped += 1
        self.end = self.end_id = None

    def cut(self, length: int) -> None:
        """Take back all but the first `length` tokens, and the end mark."""
        self.reopen()
        self.dropped += len(self.ids) - length
        del self.ids[length:], self.logprobs[length:], self.forced[length:]

    def write(self, room: int, stops: frozenset[int] = frozenset()) -> Chain[bool]:
        """Let the model write one piece of at most `room` tokens (at least 1), the end mark counted. True: it met one
        of `stops`, which stands at the end of `ids`."""
        to_grid = PIECE - len(self.ids) % PIECE
        request = Request(
            self.prompt.prompt_ids + tuple(self.ids),
            (_seed(self.seed, len(self.ids)),),
            () if self.ids else self.prompt.messages,
            room=min(room, to_grid),
        )
        params = SamplingParams(PIECE, self.temperature, self.backend.stop_ids | stops)
        drawn = yield Draw((request,), params)
        completion = drawn[0][0].completion
        self.version = completion.weight_version
        ids, stopped = list(completion.ids), completion.finish == "stop"
        ends = stopped and ids[-1] in self.backend.stop_ids
        self.ids += ids[:-1] if ends else ids
        self.logprobs += completion.logprobs[: len(ids) - ends]
        self.forced += [False] * (len(ids) - ends)
        if ends:
            self.end, self.end_id, self.end_logprob = "stop", ids[-1], completion.logprobs[-1]
        elif completion.finish not in WRITTEN:
            self.end = completion.finish
        return stopped and not ends

    def completion(self) -> Completion:
        """What stands there."""
        mark, chance = ((), ()) if self.end_id is None else ((self.end_id,), (self.end_logprob,))
        ids, logprobs = (*self.ids, *mark), (*self.logprobs, *chance)
        return Completion(ids, logprobs, self.end or "length", self.version)

    def candidate(self, question: Question, text: str | None = None) -> Candidate:
        """The answer, or the part `text` of it, as the question reads it; an answer that never came is none."""
        plain = _tokenizer(self.backend).decode(self.ids) if text is None else text
        return Candidate(self.prompt, self.completion(), plain, None if self.failed else question.read(plain))


def together(chains: Sequence[Chain[Result]]) -> Generator[Draw | Score, Any, list[Result]]:
    """Several chains side by side: what they ask for in the same way is drawn at once. Results in the chains' order."""
    wishes: dict[int, Draw] = {}
    results: dict[int, Result] = {}

    def go_on(place: int, drawn: Drawn | None) -> None:
        try:
            wishes[place] = next(chains[place]) if drawn is None else chains[place].send(drawn)
        except StopIteration as end:
            wishes.pop(place, None)
            results[place] = end.value

    for place in range(len(chains)):
        go_on(place, None)
    while wishes:
        params = next(iter(wishes.values())).params
        alike = [place for place, wish in sorted(wishes.items()) if wish.params == params]
        drawn = iter((yield from draw([each for place in alike for each in wishes[place].requests], params)))
        for place in alike:
            go_on(place, [next(drawn) for _ in wishes[place].requests])
    return [results[place] for place in range(len(chains))]


def _tokenizer(backend: Backend) -> Tokenizer:
    assert backend.tokenizer is not None, "require_ids comes first"
    return backend.tokenizer


def _seed(seed: int, written: int) -> int:
    """Of the piece behind `written` tokens: the answer's own at first. A request's random numbers are a hash of seed
    and place in that request, so a seed that stayed the same would choose by the same numbers again."""
    if not written:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed} {written}".encode()).digest()[:8], "big")
