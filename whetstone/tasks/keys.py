"""Freshness by key (law 3): every problem is a pure function of a key, a split and a number.

Two things keep training and evaluation apart. They hold different keys; and the space of instances itself is
divided by a keyed hash of the canonical form, because in a small space far-apart seeds still draw the same
problems (two-digit sums). Dividing before drawing keeps the distribution; filtering afterwards would not.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from whetstone.errors import UsageError
from whetstone.tasks.task import Problem, Task

BUCKETS = 10
SPLITS: Mapping[str, frozenset[int]] = {
    "eval": frozenset({0, 1}),
    "validation": frozenset({2}),
    "train": frozenset(range(3, BUCKETS)),
}
# A split holds at least a tenth of the space; 1000 misses in a row have a chance of 0.9^1000 unless it holds
# nothing.
MAX_ATTEMPTS = 1000


# Runs and measurements that name no seed share their problems. Whoever looks at the same problems again and again, and
# keeps what did best, flatters it: so a result says when its problems are those of everyone else.
DEFAULT_SEED = 0
SHARED_SEED = f"these are the problems of every run with seed {DEFAULT_SEED}, the default; another --seed draws others"


def _prefixed(*fields: str) -> bytes:
    """Fields with their lengths in front, so that ("ab", "c") and ("a", "bc") differ."""
    return b"".join(len(data).to_bytes(4, "big") + data for data in (text.encode() for text in fields))


class Key:
    """Keys are 32 plain bytes; this class only names the ways to make one."""

    @staticmethod
    def derive(secret: bytes, name: str) -> bytes:
        """The key for one purpose ("train", "eval", "partition"). Keys of different names tell nothing of
        each other.
        """
        return hmac.digest(secret, _prefixed("whetstone key", name), "sha256")


def commitment(key: bytes) -> str:
    """64 hex digits that bind to the key without telling it. It hides only a key that cannot be guessed (not
    seed 0).
    """
    return hashlib.sha256(_prefixed("whetstone commitment") + key).hexdigest()


def problem_seed(key: bytes, split: str, task: str, version: str, i: int) -> bytes:
    """The 32-byte seed of problem i: HMAC-SHA256 over the length-prefixed fields. Never seed + i."""
    return hmac.digest(key, _prefixed(split, task, version, str(i)), "sha256")


def _of_attempt(seed: bytes, attempt: int) -> bytes:
    """The 32-byte seed of one attempt at a problem that must fall to its split."""
    return hmac.digest(seed, attempt.to_bytes(8, "big"), "sha256")


@dataclass(frozen=True)
class Partition:
    """Divides the space of instances into ten buckets by a keyed hash of the source, as a rule the canonical form."""

    key: bytes

    def bucket(self, source: bytes) -> int:
        """0..9."""
        digest = hmac.digest(self.key, _prefixed("whetstone partition") + source, "sha256")
        return int.from_bytes(digest[:8], "big") % BUCKETS


# One division of every task's space for all runs: what any run may train on, no evaluation asks. (A sealed round
# has a secret key of its own for its problems; the division itself need not be secret.)
COMMON_PARTITION = Partition(hashlib.sha256(b"whetstone common partition 1").digest())


class Stream:
    """The endless sequence of problems of one split. `problem(i)` is a pure function of the key, the split
    and i.

    A task with `siblings` above 1 makes several problems from one source, a document for example. Then the seeds of so
    many problems in a row have their first 16 bytes in common, for the source; the last byte says which of them it is,
    0 to siblings - 1; and the bytes between are the problem's own.
    """

    def __init__(
        self,
        task: Task,
        key: bytes,
        split: str,
        level: int,
        partition: Partition = COMMON_PARTITION,
        distinct: bool = False,
    ) -> None:
        """Raises UsageError for an unknown split or level. `distinct` is the default of `take`."""
        if split not in SPLITS:
            raise UsageError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
        task.require_level(level)
        self.task, self.key, self.split, self.level = task, key, split, level
        self.partition, self.distinct = partition, distinct
        self._buckets = SPLITS[split]

    def problem(self, i: int) -> Problem:
        """Problem number i >= 0. Raises UsageError when the space has nothing in this split."""
        own = problem_seed(self.key, self.split, self.task.name, self.task.version, i)
        siblings = self.task.siblings
        if siblings > 1:
            shared = problem_seed(self.key, f"{self.split} source", self.task.name, self.task.version, i // siblings)
        for attempt in range(MAX_ATTEMPTS):
            seed = _of_attempt(own, attempt)
            if siblings > 1:  # siblings agree in their source and so in the attempt that is the first to fit
                seed = _of_attempt(shared, attempt)[:16] + seed[:15] + bytes([i % siblings])
            problem = self.task.sample(seed, self.level)
            canonical = self.task.canonical(problem)
            source = self.task.source(problem)
            if self.partition.bucket(canonical if source is None else source) in self._buckets:
                return self.task.identified(problem, self.level, canonical)
        raise UsageError(
            f"task {self.task.name!r} has too few different problems at level {self.level}: "
            f"none falls to the {self.split} split; choose a higher level"
        )

    def __iter__(self) -> Iterator[Problem]:
        i = 0
        while True:
            yield self.problem(i)
            i += 1

    def take(self, n: int, distinct: bool | None = None) -> list[Problem]:
        """The first n problems; with `distinct`, the first n that differ from one another.

        Raises UsageError, saying how many were found, when the space seems exhausted: 200 + 4 x found draws
        in a row brought nothing new (a uniform space with one unseen problem left would be missed with a
        chance of e^-4).
        """
        if not (self.distinct if distinct is None else distinct):
            return [self.problem(i) for i in range(n)]
        found: dict[str, Problem] = {}
        i = stale = 0
        while len(found) < n:
            problem = self.problem(i)
            i += 1
            stale = stale + 1 if problem.id in found else 0
            found.setdefault(problem.id, problem)
            if stale > 200 + 4 * len(found):
                raise UsageError(
                    f"task {self.task.name!r} has only about {len(found)} different {self.split} problems at "
                    f"level {self.level}, {n} were asked for; ask for fewer or choose a higher level"
                )
        return list(found.values())
