"""The draw: from the secret, all entrants' commitments and an optional beacon to a key, and from that to the problems.

Neither side can choose the problems: the organiser's secret is fixed before anyone enters, the entrants' nonces before
the organiser can compute the key, and a beacon (a public value that nobody knew) binds even a pair that works together.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whetstone.errors import UsageError
from whetstone.evals.rounds.hashing import canonical, commit, digest, hkdf, merkle_root
from whetstone.evals.rounds.manifest import Manifest, Part, part_style, part_task
from whetstone.tasks.keys import Stream
from whetstone.tasks.task import Message, Problem, Task

SECRET_FILE = "organiser/secret.json"


@dataclass(frozen=True)
class Secret:
    """What the organiser keeps to itself until the reveal. `seals`: the nonce of each sealed part, by its place."""

    secret: bytes
    nonce: bytes
    seals: dict[str, dict[str, str]]

    def commitment(self) -> str:
        """What the manifest says of it."""
        return commit(self.nonce, self.secret)

    def to_json(self) -> dict[str, Any]:
        return {"secret": self.secret.hex(), "nonce": self.nonce.hex(), "sealed": self.seals}

    @classmethod
    def read(cls, path: Path) -> Secret:
        """From organiser/secret.json or reveal.json. Raises UsageError when it is not there or damaged."""
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            return cls(bytes.fromhex(told["secret"]), bytes.fromhex(told["nonce"]), told["sealed"])
        except FileNotFoundError as error:
            raise UsageError(f"{path} is not here: only the organiser, who has it, can draw and reveal") from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UsageError(f"{path} cannot be read ({error})") from error


@dataclass(frozen=True)
class Keys:
    """What the round's key is used for; none of these tells anything about another."""

    parts: bytes
    nonces: bytes
    sampling: bytes

    @classmethod
    def joint(cls, secret: bytes, commitments: Iterable[str], beacon: str) -> Keys:
        """HKDF over the organiser's secret, salted with every entrant's commitment and the beacon."""
        salt = canonical([sorted(commitments), beacon])
        return cls(*(hkdf(secret, salt, purpose) for purpose in ("parts", "nonces", "sampling")))


@dataclass(frozen=True)
class Item:
    """One problem of the round. `place` numbers it; what the model sees is `messages` alone."""

    place: int
    part: int
    problem: Problem
    messages: list[Message]
    max_new_tokens: int
    gold: str | None
    nonce: str

    def prompt(self) -> dict[str, Any]:
        """A line of prompts.jsonl."""
        return {
            "place": self.place,
            "part": self.part,
            "id": self.problem.id,
            "messages": self.messages,
            "max_new_tokens": self.max_new_tokens,
        }

    def told(self) -> dict[str, Any]:
        """A line of items.jsonl, which the reveal writes."""
        return {
            "place": self.place,
            "part": self.part,
            "id": self.problem.id,
            "task": self.problem.task,
            "level": self.problem.level,
            "cluster": self.problem.cluster,
            "question": self.problem.question,
            "facts": self.problem.facts,
            "gold": self.gold,
            "nonce": self.nonce,
        }

    def leaf(self) -> bytes:
        """Binds prompt, question and answer before anybody has seen them."""
        return commit(bytes.fromhex(self.nonce), canonical([self.prompt(), self.told()])).encode()


def draw_part(task: Task, part: Part, key: bytes) -> list[Problem]:
    """The part's problems. Raises UsageError when the task has too few different ones."""
    return Stream(task, key, "eval", part.level).take(part.n, distinct=True)


def draw_items(manifest: Manifest, parts: Sequence[Part], tasks: Sequence[Task], keys: Keys) -> list[Item]:
    """All problems of the round, in the order of its parts: a pure function of the manifest and the key."""
    items: list[Item] = []
    for number, (part, task) in enumerate(zip(parts, tasks, strict=True)):
        style = part_style(task, manifest.style, part)
        # parts that differ in their style only ask the same problems
        key = hmac.digest(keys.parts, canonical([part.source, part.level]), "sha256")
        for problem in draw_part(task, part, key):
            place = len(items)
            items.append(
                Item(
                    place=place,
                    part=number,
                    problem=problem,
                    messages=style.messages(task, problem),
                    max_new_tokens=style.room(task),
                    gold=task.answer(problem),
                    nonce=hmac.digest(keys.nonces, f"item {place}".encode(), "sha256").hex(),
                )
            )
    return items


def seal_of(about: Mapping[str, str], source: bytes) -> str:
    """What the manifest holds of a sealed task: a commitment to all that is told of it at the reveal."""
    told = [source.decode("utf-8", "replace"), about["class_name"], about["task"], about["version"]]
    return commit(bytes.fromhex(about["nonce"]), canonical(told))


def lines(records: Iterable[dict[str, Any]]) -> bytes:
    """Records as canonical JSON lines."""
    return b"".join(canonical(record) + b"\n" for record in records)


def draw_record(items: Sequence[Item], keys: Keys, commitments: dict[str, str], beacon: str) -> dict[str, Any]:
    """draw.json: it binds the problems and their answers, and tells nothing about either."""
    return {
        "entrants": commitments,
        "beacon": beacon,
        "items": len(items),
        "leaves": merkle_root([item.leaf() for item in items]),
        "prompts": digest(lines(item.prompt() for item in items)),
        "sampling": keys.sampling.hex(),
    }


def open_tasks(parts: Sequence[Part], folder: Path) -> list[Task]:
    """A task for each part, loaded once per source. Raises UsageError as `part_task` does."""
    made: dict[tuple[str, str, str], Task] = {}
    tasks = []
    for part in parts:
        which = (part.task, part.file, part.class_name)
        if which not in made:
            made[which] = part_task(part, folder)
        tasks.append(made[which])
    return tasks
