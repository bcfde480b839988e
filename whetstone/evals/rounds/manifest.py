"""What a round is about, fixed before anybody enters: the parts that are asked, how, and how it will be counted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import whetstone.tasks
from whetstone.errors import UsageError
from whetstone.evals.rounds.hashing import canonical, digest
from whetstone.tasks.registry import load_task
from whetstone.tasks.task import PromptStyle, Task

FORMAT = 1
STRATA: Mapping[str, str] = {
    "A": "fresh instances: new problems of a public task, at the level it is trained on. Says: learned this task, not "
    "these problems",
    "B": "fresh levels: the same task, longer or harder than the entrant says it trained on. Says: extrapolates",
    "C": "sealed tasks: rules that no training recipe names. Says: transfers",
    "D": "documents of invented worlds, made from the round's key. Says: reads, and does not recall",
    "E": "questions of the kind of D without their documents. Says: what could be guessed; D counts from there",
}
STATISTICS = {
    "accuracy": "mean over problems with a 95 % interval; clustered by wording or document where these repeat",
    "pairs": "difference on the same problems with a 95 % interval; p by exact McNemar or sign flips of whole "
    "clusters; Holm over all declared pairs and strata",
    "several answers": "unbiased pass@k and pass^k, bootstrap over problems",
}
EXCLUSION = "a problem leaves the round only by a decision in its log, made without names, for all entrants alike"


@dataclass(frozen=True)
class Part:
    """One task at one level within a stratum.

    `source` is the sha256 of the task's source. A task from a file lies in the round as `file`; a sealed one lies there
    only after the reveal, and until then `source` is a commitment to file and class, and name and version are unknown.
    `style` is the part's own prompt style, where it has one.
    """

    stratum: str
    task: str
    level: int
    n: int
    version: str
    source: str
    file: str = ""
    class_name: str = ""
    sealed: bool = False
    style: str = ""

    def title(self) -> str:
        """As a table names it."""
        return f"{self.task} level {self.level}"


@dataclass(frozen=True)
class Manifest:
    """round.json. `samples` answers per problem at `temperature` (0: greedy, one answer).

    `pairs`: "first" compares every entrant with the one that entered first, "all" each with each. `secret` commits the
    organiser to its part of the key. `code` is the hash of the room of tasks: judges and generators.
    """

    title: str
    created: str
    parts: tuple[Part, ...]
    style: str
    samples: int
    temperature: float
    pairs: str
    secret: str
    today: str
    whetstone: str
    commit: str | None
    code: str
    format: int = FORMAT
    metric: str = "accuracy: the share of problems judged right, reported for each stratum apart"
    exclusion: str = EXCLUSION

    def to_bytes(self) -> bytes:
        """The file's contents: readable JSON, in one way."""
        told = asdict(self) | {"strata": {part.stratum: STRATA[part.stratum] for part in self.parts}}
        return (json.dumps(told | {"statistics": STATISTICS}, indent=2, ensure_ascii=False) + "\n").encode()

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Raises UsageError for a file that is not there, is damaged, or is of another format."""
        try:
            data = path.read_bytes()
            told = json.loads(data)
            if told.get("format") != FORMAT:
                raise UsageError(f"{path}: a round of format {told.get('format')}; this version reads format {FORMAT}")
            parts = tuple(Part(**part) for part in told.pop("parts"))
            told.pop("strata"), told.pop("statistics")
            manifest = cls(parts=parts, **told)
        except FileNotFoundError as error:
            raise UsageError(
                f"there is no round in {path.parent}: begin one with `whet round new {path.parent}`"
            ) from error
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(f"{path} cannot be read as a round ({error})") from error
        if manifest.to_bytes() != data:
            raise UsageError(f"{path} is not in the form in which it was written")
        return manifest

    @property
    def id(self) -> str:
        """Names the round: the first 16 hex digits of its manifest's hash."""
        return digest(self.to_bytes())[:16]

    def opened(self, seals: Mapping[str, Mapping[str, str]]) -> list[Part]:
        """The parts with what the organiser knows, or has revealed, about the sealed ones (`draw.Secret.seals`)."""
        parts = []
        for place, part in enumerate(self.parts):
            if part.sealed:
                about = seals[str(place)]
                told = about["task"], about["version"], about["class_name"], about["kept"]
                part = replace(part, task=told[0], version=told[1], class_name=told[2], file=told[3])
            parts.append(part)
        return parts


def part_task(part: Part, folder: Path) -> Task:
    """The task of a part. `folder`: the round's. Raises UsageError when it is another than was committed."""
    spec = part.task if not part.file else f"{folder / part.file}:{part.class_name}"
    task = load_task(spec)
    if not part.sealed and (task.version != part.version or task.source_digest != part.source):
        raise UsageError(
            f"task {part.task} is not the one of this round: version {task.version} here, {part.version} there; "
            "use the version of Whetstone that round.json names"
        )
    return task


def part_style(task: Task, style: str, part: Part) -> PromptStyle:
    """How a part is asked: its own style, else the round's where the task has it, else the task's first."""
    styles = task.styles()
    return styles.get(part.style or style) or next(iter(styles.values()))


def code_digest() -> str:
    """sha256 over the sources of the room of tasks, by name."""
    room = Path(whetstone.tasks.__file__).parent
    files = sorted(room.rglob("*.py"))
    listing = {path.relative_to(room).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return digest(canonical(listing))
