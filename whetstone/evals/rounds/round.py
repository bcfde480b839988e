"""A sealed round in a folder: new, enter, draw and answer, reveal, decide, report. The object behind `whetstone.Round`.

The folder can be mailed at any time, without `organiser/` before the reveal. log.jsonl is the hash-chained record of
what happened; it holds the sha256 of every other file, so its last hash, published, binds everything.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from whetstone.engine.backends import Backend, Source
from whetstone.errors import UsageError
from whetstone.evals.history import History
from whetstone.evals.rounds import scoring
from whetstone.evals.rounds.answering import Exam, answer
from whetstone.evals.rounds.chain import Record, append, head, mend, read_chain
from whetstone.evals.rounds.draw import (
    SECRET_FILE,
    Item,
    Keys,
    Secret,
    draw_items,
    draw_record,
    lines,
    open_tasks,
)
from whetstone.evals.rounds.entrants import Entrant, commit_entrant, model_files, name_for, require_name, weights_root
from whetstone.evals.rounds.hashing import digest
from whetstone.evals.rounds.judging import ACTIONS, judge_answers
from whetstone.evals.rounds.manifest import Manifest, Part
from whetstone.files import atomic_write_bytes, atomic_write_json, atomic_write_text
from whetstone.runs.lock import locked
from whetstone.runs.progress import Progress
from whetstone.tasks.task import Task


class Round:
    """The round in a folder. Raises UsageError when there is none, or its log is broken."""

    def __init__(self, path: str | Path, history: History | None = None) -> None:
        self.path = Path(path)
        self.manifest = Manifest.read(self.path / "round.json")
        self.history = history or History.open()
        self.log = mend(self.path / "log.jsonl", cut=False)
        if not self.log:
            raise UsageError(f"the round in {self.path} was not begun whole: remove the folder and begin anew")
        self._tasks: dict[tuple[Part, ...], list[Task]] = {}
        self._drawn: dict[str, tuple[list[Item], Keys]] = {}

    @classmethod
    def new(cls, path: str | Path, task: str, **options: Any) -> Round:
        """Begin a round in a new folder: `creating.new_round`, which says what the options are."""
        from whetstone.evals.rounds.creating import new_round

        return new_round(path, task, **options)

    @classmethod
    def begin(cls, path: Path, manifest: Manifest, files: Sequence[str], history: History | None = None) -> Round:
        """Write round.json and the log's first line. `files`: what lies in the folder already and belongs to it."""
        book = history or History.open()
        book.begun(manifest)
        with locked(path):
            atomic_write_bytes(path / "round.json", manifest.to_bytes())
            hashes = {name: digest((path / name).read_bytes()) for name in ("round.json", *files)}
            append(path / "log.jsonl", [], [{"event": "new", "time": _now(), "files": hashes}])
        return cls(path, book)

    # what has happened

    def _events(self, kind: str) -> list[Record]:
        return [record for record in self.log if record["event"] == kind]

    @property
    def state(self) -> str:
        """open (for entries), drawn, answered, revealed, or void."""
        if self._events("void"):
            return "void"
        if self._events("judged"):
            return "revealed"
        if not self._events("draw"):
            return "open"
        return "drawn" if self.unanswered() else "answered"

    @property
    def entrants(self) -> list[Entrant]:
        """In the order in which they entered."""
        return [Entrant.read(self.path / "entrants" / f"{record['name']}.json") for record in self._events("enter")]

    def unanswered(self) -> list[str]:
        """Names of entrants whose answers are not complete."""
        done = {record["name"] for record in self._events("answered")}
        return [record["name"] for record in self._events("enter") if record["name"] not in done]

    @property
    def head(self) -> str:
        """The last hash of the log: publish it, and nothing before it can be changed unnoticed."""
        return head(self.log)

    # what can be done

    def enter(
        self,
        model: str,
        name: str | None = None,
        *,
        declared: dict[str, list[int]] | None = None,
        control: str = "",
        served: str | None = None,
    ) -> Entrant:
        """Commit a model to the round, before the problems exist.

        declared: task -> levels that it was trained on; else what the run that made the checkpoint says. control: what
        this entrant is a control for, in words ("trained on random rewards"). served: what an endpoint calls it.

        Raises UsageError when the round is drawn already, for a name that is taken, or a model that cannot be read.
        """
        name = require_name(name or name_for(model))
        with self._writing():
            self._require("open", "enter")
            if name.casefold() in {record["name"].casefold() for record in self._events("enter")}:
                raise UsageError(f"there is an entrant {name} already: choose another --name")
            entrant, ledger = commit_entrant(name, model, declared=declared, control=control, served=served)
            tasks = [part.task for part in self.manifest.parts if not part.sealed]
            looks = self.history.looks(entrant.weights, tasks)
            entrant = replace(entrant, looks=looks)
            files = {f"entrants/{name}.json": entrant.to_bytes()}
            if len(ledger):
                files[f"entrants/{name}.ledger.json"] = ledger.to_bytes()
            self._record("enter", files, name=name, commitment=entrant.commitment())
        return entrant

    def draw(self, beacon: str = "") -> list[Item]:
        """Close the entries, make the key and the problems. Raises UsageError without entrants or the secret."""
        with self._writing():
            self._require("open", "draw")
            entrants = self.entrants
            if not entrants:
                raise UsageError(f"nobody has entered: `whet round enter {self.path} --model MODEL`")
            items, keys = self.redraw(beacon)
            commitments = {entrant.name: entrant.commitment() for entrant in entrants}
            record = draw_record(items, keys, commitments, beacon)
            files = {
                "prompts.jsonl": lines(item.prompt() for item in items),
                "draw.json": (json.dumps(record, indent=2) + "\n").encode(),
            }
            self._record("draw", files, items=len(items))
        return items

    def answer(
        self,
        name: str,
        progress: Progress,
        *,
        model: str | None = None,
        api_key_file: Path | None = None,
        settings: Path | None = None,
    ) -> None:
        """Let one entrant answer every prompt.

        model: where its weights are now, if not where it entered from. api_key_file, settings: for a hosted one, as in
        `engine.backends.Source`. Raises UsageError when its weights are not those that entered, WorkFailed when its
        endpoint does not answer.
        """
        entrant = next((each for each in self.entrants if each.name == name), None)
        if entrant is None:
            raise UsageError(f"there is no entrant {name}; there are {', '.join(e.name for e in self.entrants)}")
        with self._writing():
            if self.state not in ("drawn", "answered"):
                raise UsageError(f"this round is {self.state}: answers are given between the draw and the reveal")
            if name not in self.unanswered():
                return
            if entrant.hosted:
                source = Source(entrant.model, entrant.backend["served"], api_key_file, settings)
            else:
                source = Source(model or entrant.model)
            backend = self._open(entrant, source)
            started = datetime.now(UTC)
            drawn = self._events("draw")[0]["files"]
            if changed := [each for each in drawn if digest((self.path / each).read_bytes()) != drawn[each]]:
                raise UsageError(f"{', '.join(changed)} changed since the draw: put back what was drawn")
            log = self.path / "outputs" / f"{name}.jsonl"
            records = answer(self.exam(), backend, log, name, progress)
            seconds = (datetime.now(UTC) - started).total_seconds()
            self._record(
                "answered",
                {},
                name=name,
                files={f"outputs/{name}.jsonl": digest(log.read_bytes())},
                head=head(records),
                seconds=round(seconds, 1),
                backend=backend.facts() or {},
            )

    def exam(self) -> Exam:
        """What every entrant is asked."""
        m = self.manifest
        return Exam.read(self.path / "prompts.jsonl", m.samples, m.temperature, self.drawn["sampling"], m.today)

    def reveal(self, progress: Progress, without: Sequence[str] = ()) -> dict[str, Any]:
        """Open the secret, judge all answers, write the report; returns it.

        without: entrants that gave no answers in time. Raises UsageError while others have not answered.
        """
        with self._writing():
            if self.state == "revealed":
                self._retire()
                return self._report(progress)
            if self.state not in ("drawn", "answered"):
                raise UsageError(f"cannot reveal: this round is {self.state}; first `whet round run {self.path}`")
            if missing := sorted(set(self.unanswered()) - set(without)):
                raise UsageError(
                    f"{', '.join(missing)} did not answer yet: `whet round run {self.path}`, or --without NAME"
                )
            if not self._events("reveal"):
                self._open_secret(list(without))
            self._judge(progress)
            self._retire()
            return self._report(progress)

    def _retire(self) -> None:
        self.history.revealed(self.manifest, self.head, [item.problem.id for item in self.items()])

    def decide(self, place: int, action: str, reason: str, text: str = "") -> None:
        """Put a decision on one problem into the log: keep, drop, accept TEXT or reject TEXT, for all entrants alike.

        Raises UsageError before the reveal, for an unknown problem, or without a reason.
        """
        if action not in ACTIONS:
            raise UsageError(f"unknown action {action!r}; choose one of {', '.join(ACTIONS)}")
        if not reason.strip():
            raise UsageError("a decision needs a reason, which stands in the log for good")
        if (action in ("accept", "reject")) != bool(text.strip()):
            raise UsageError("accept and reject are about an answer's text; keep and drop are not: see --text")
        with self._writing():
            self._require("revealed", "decide")
            if not 0 <= place < len(self.items()):
                raise UsageError(f"there is no problem {place} in this round")
            self._record("decision", {}, place=place, action=action, reason=reason, text=text)

    def void(self, reason: str) -> None:
        """End the round without a result. It stays in the history: rounds that were dropped are counted in public."""
        if not reason.strip():
            raise UsageError("give the reason: it stands in the log for good")
        with self._writing():
            if not self._events("void"):
                self._record("void", {}, reason=reason)
            self.history.voided(self.manifest, self.head, self._events("void")[0]["reason"])

    def report(self, progress: Progress) -> dict[str, Any]:
        """The report of a revealed round, computed anew from its files and written into it."""
        with self._writing():
            self._require("revealed", "report")
            return self._report(progress)

    # what lies in the folder

    def tasks(self) -> list[Task]:
        """One per part. Raises UsageError before the reveal, if there are sealed ones and the organiser's folder is
        not here."""
        parts = tuple(self.parts())
        if parts not in self._tasks:  # a user's own is a process: it is started once
            self._tasks[parts] = open_tasks(parts, self.path)
        return self._tasks[parts]

    def items(self) -> list[Item]:
        """All problems with their answers, made anew from the secret: the organiser's, or the revealed one."""
        return self.redraw(self.drawn["beacon"])[0]

    @property
    def drawn(self) -> dict[str, Any]:
        """draw.json, of a round that is drawn."""
        return self._json("draw.json")

    @property
    def without(self) -> list[str]:
        """Who gave no answers in time, of a round that is revealed."""
        return list(self._json("reveal.json")["without"])

    @property
    def judged(self) -> Record:
        """The log's line of the verdicts, of a round that is judged."""
        return self._events("judged")[0]

    def _json(self, name: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.path / name).read_text(encoding="utf-8"))
        return told

    def secret(self) -> Secret:
        """The organiser's. Raises UsageError where it is not at hand."""
        return Secret.read(self.path / ("reveal.json" if self._events("reveal") else SECRET_FILE))

    def parts(self) -> list[Part]:
        """With the sealed ones opened. Raises UsageError before the reveal, where the secret is not at hand."""
        sealed = any(part.sealed for part in self.manifest.parts)
        return self.manifest.opened(self.secret().seals if sealed else {})

    def redraw(self, beacon: str) -> tuple[list[Item], Keys]:
        """The problems and the keys, from the secret and the entrants' commitments."""
        if beacon not in self._drawn:
            commitments = [entrant.commitment() for entrant in self.entrants]
            keys = Keys.joint(self.secret().secret, commitments, beacon)
            self._drawn[beacon] = draw_items(self.manifest, self.parts(), self.tasks(), keys), keys
        return self._drawn[beacon]

    def _open(self, entrant: Entrant, source: Source) -> Backend:
        if not entrant.hosted and weights_root(model_files(source.model)[0]) != entrant.weights:
            raise UsageError(
                f"the weights in {source.model} are not those with which {entrant.name} entered: put them back, or say "
                f"where they are by --model"
            )
        return source.open()

    def _open_secret(self, without: list[str]) -> None:
        secret = self.secret()
        if secret.commitment() != self.manifest.secret:
            raise UsageError("the organiser's secret is not the one that this round was begun with")
        items = self.items()
        seals, files = {}, {}
        for place, about in secret.seals.items():
            name = f"tasks/part-{place}.py"
            files[name] = (self.path / about["kept"]).read_bytes()
            seals[place] = about | {"kept": name}
        told = secret.to_json() | {"sealed": seals, "without": without}
        files["reveal.json"] = (json.dumps(told, indent=2) + "\n").encode()
        files["items.jsonl"] = lines(item.told() for item in items)
        self._record("reveal", files)
        shutil.rmtree(self.path / "organiser", ignore_errors=True)

    def _judge(self, progress: Progress) -> None:
        items, tasks, m = self.items(), self.tasks(), self.manifest
        names = [record["name"] for record in self._events("answered")]
        files = {}
        with progress.stage("verdicts", len(items) * len(names)) as stage:
            for name in names:
                path = self.path / "verdicts" / f"{name}.jsonl"
                path.unlink(missing_ok=True)
                records = read_chain(self.path / "outputs" / f"{name}.jsonl")
                append(path, [], judge_answers(items, tasks, records, stage.advance))
                files[f"verdicts/{name}.jsonl"] = path.read_bytes()
        past = self.history.facts(m.id, [item.problem.id for item in items])
        files["history.json"] = (json.dumps(past, indent=2) + "\n").encode()
        self._record("judged", files, entrants=names, manifest=m.id)

    def _report(self, progress: Progress) -> dict[str, Any]:
        from whetstone.evals.rounds.page import render

        report = scoring.score(self)
        atomic_write_json(self.path / "report.json", report)
        atomic_write_text(self.path / "report.html", render(report))
        data = {name: (self.path / name).read_bytes() for name in ("report.json", "report.html")}
        last = self._events("report")
        if not last or last[-1]["files"] != {name: digest(each) for name, each in data.items()}:
            self._record("report", data)
        return report

    # writing

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with locked(self.path):
            self.log = mend(self.path / "log.jsonl")
            self._clear()
            yield

    def _clear(self) -> None:
        """Remove what a killed step left: it is done anew, and nothing may lie here that the log does not name."""
        for left_over in self.path.rglob(".*.part"):
            left_over.unlink()
        if self._events("reveal") and (self.path / "organiser").exists():
            shutil.rmtree(self.path / "organiser")
        known = {name for record in self.log for name in record.get("files", {})}
        for entry in (self.path / "entrants").glob("*"):
            if f"entrants/{entry.name}" not in known:
                entry.unlink()

    def _require(self, state: str, what: str) -> None:
        if self.state != state:
            raise UsageError(f"cannot {what}: this round is {self.state}, not {state}")

    def _record(self, event: str, contents: dict[str, bytes], **about: Any) -> None:
        """Write files, then the line of the log that binds them: a kill between the two leaves files that the repeated
        step writes again."""
        for name, data in contents.items():
            atomic_write_bytes(self.path / name, data)
        about.setdefault("files", {name: digest(data) for name, data in contents.items()})
        record = {"event": event, "time": _now(), **about}
        self.log = append(self.path / "log.jsonl", self.log, [record])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
