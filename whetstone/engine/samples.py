"""A pool of samples: drawn once, kept in a file, found again by every method that asks for the same.

A completion depends on the weights, the prompt, the way of sampling and its own seed, and on nothing else; so those
four are its key. What is in the file is not asked of the model again: methods share samples, and an interrupted
measurement goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from whetstone.engine.protocol import Completion, Progress, Request, Sampler, SamplingParams, TopLogprobs
from whetstone.engine.remote.endpoint import Endpoint
from whetstone.errors import UsageError

CHUNK = 512  # completions that an interruption may cost; more would not make the engine quicker
PASSING = ("timeout", "error", "cancelled")  # failures that may not happen again: such a sample is asked for anew

_TABLE = """
CREATE TABLE IF NOT EXISTS samples (key BLOB PRIMARY KEY, completion BLOB NOT NULL, seconds REAL NOT NULL,
    prompt_tokens INTEGER) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Sample:
    """A completion, the seconds of its batch that it accounts for, and its prompt's tokens where an endpoint counted
    them (None: its ids can be counted)."""

    completion: Completion
    seconds: float
    prompt_tokens: int | None = None


class SampleFile:
    """Samples on disk. One process writes; what it has written stays, however it ends."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises UsageError for one that is not such a file or cannot be written."""
        self.path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(_TABLE)
        except sqlite3.Error as failure:
            raise UsageError(f"{path} is no file of samples that can be written ({failure}): remove it") from None

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Sample]:
        """Those that are there."""
        found = {}
        with closing(self._db.cursor()) as cursor:
            for key in keys:
                row = cursor.execute("SELECT completion, seconds, prompt_tokens FROM samples WHERE key = ?", (key,))
                if (values := row.fetchone()) is not None:
                    found[key] = Sample(_completion(json.loads(zlib.decompress(values[0]))), *values[1:])
        return found

    def put(self, samples: dict[bytes, Sample]) -> None:
        """Add samples, all or none of them."""
        rows = [
            (
                key,
                zlib.compress(json.dumps(asdict(sample.completion)).encode(), 1),
                sample.seconds,
                sample.prompt_tokens,
            )
            for key, sample in samples.items()
        ]
        with closing(self._db.cursor()) as cursor:
            cursor.execute("BEGIN")
            cursor.executemany("INSERT OR REPLACE INTO samples VALUES (?, ?, ?, ?)", rows)
            cursor.execute("COMMIT")

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM samples").fetchone()[0])

    def close(self) -> None:
        self._db.close()


@dataclass
class Pool:
    """Draws from `sampler`, or from `file` what is there already.

    weights: what tells this model from every other (its hash; address and name of an endpoint). drawn and found count
    completions since the pool was made.
    """

    sampler: Sampler
    weights: str
    file: SampleFile | None = None
    drawn: int = 0
    found: int = 0

    def sample(
        self, requests: Sequence[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Sample]]:
        """One list per request, one sample per seed, in the order asked. Raises what the sampler raises; what had been
        drawn by then is in the file."""
        places = [(request, place) for request in requests for place in range(len(request.seeds))]
        if self.file is None or params.constraint is not None:
            keys = [index.to_bytes(8, "big") for index in range(len(places))]
            known: dict[bytes, Sample] = {}
        else:
            asked = {id(request): _asked(request, params) for request in requests}
            keys = [self._key(asked[id(request)], request.seeds[place]) for request, place in places]
            known = self.file.get(keys)
        self.found += len(known)
        missing = [(key, *place) for key, place in zip(keys, places, strict=True) if key not in known]
        if progress is not None:
            progress(len(places) - len(missing), len(places))
        step = CHUNK if self.file is not None else max(1, len(missing))
        for first in range(0, len(missing), step):
            before = len(places) - len(missing) + first
            part = missing[first : first + step]

            def show(done: int, _wanted: int, before: int = before) -> None:
                if progress is not None:
                    progress(before + done, len(places))

            new = self._draw(part, params, show)
            known |= new
            if self.file is not None and params.constraint is None:
                self.file.put({key: each for key, each in new.items() if each.completion.finish not in PASSING})
        samples = iter(keys)
        return [[known[next(samples)] for _ in request.seeds] for request in requests]

    def _draw(
        self, part: Sequence[tuple[bytes, Request, int]], params: SamplingParams, show: Progress
    ) -> dict[bytes, Sample]:
        groups: dict[int, tuple[Request, list[int], list[bytes]]] = {}
        for key, request, place in part:
            _, seeds, keys = groups.setdefault(id(request), (request, [], []))
            seeds.append(request.seeds[place])
            keys.append(key)
        asked = [replace(request, seeds=tuple(seeds)) for request, seeds, _ in groups.values()]
        endpoint = self.sampler if isinstance(self.sampler, Endpoint) else None
        before = endpoint.usage.prompt if endpoint else 0
        began = time.perf_counter()
        sampled = self.sampler.sample(asked, params, show)
        seconds = time.perf_counter() - began
        self.drawn += len(part)
        prompt = (endpoint.usage.prompt - before) // len(part) if endpoint else None  # an even share of what it counted
        # a prompt's tokens are a tenth of the work of as many written ones (docs/benchmarks.md), so written ones count
        written = sum(completion.length + 1 for group in sampled for completion in group)
        return {
            key: Sample(completion, seconds * (completion.length + 1) / written, prompt)
            for (_, _, keys), group in zip(groups.values(), sampled, strict=True)
            for key, completion in zip(keys, group, strict=True)
        }

    def _key(self, asked: bytes, seed: int) -> bytes:
        return hashlib.sha256(b"\0".join((self.weights.encode(), asked, str(seed).encode()))).digest()


def _asked(request: Request, params: SamplingParams) -> bytes:
    return b"\0".join((_prompt(request), _ways(request.limited(params))))


def _prompt(request: Request) -> bytes:
    if request.prompt_ids:
        return hashlib.sha256(json.dumps(request.prompt_ids).encode()).digest()
    return hashlib.sha256(json.dumps(list(request.messages), sort_keys=True).encode()).digest()


def _ways(params: SamplingParams) -> bytes:
    """The way of sampling as bytes; a constraint is no part of it."""
    fields = {name: getattr(params, name) for name in params.__dataclass_fields__ if name != "constraint"}
    fields["stop_ids"], fields["logit_bias"] = sorted(params.stop_ids), sorted(params.logit_bias.items())
    return json.dumps(fields, sort_keys=True).encode()


def _completion(row: dict[str, Any]) -> Completion:
    tops = tuple(TopLogprobs(tuple(top["ids"]), tuple(top["logprobs"]), top["chosen"]) for top in row["top"])
    return Completion(**row | {"ids": tuple(row["ids"]), "logprobs": tuple(row["logprobs"]), "top": tops})
