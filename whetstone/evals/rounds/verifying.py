"""Verify a round: make everything anew from its manifest and secret, and compare byte by byte."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whetstone.engine.backends import Source
from whetstone.errors import UsageError, WorkFailed
from whetstone.evals.history import History
from whetstone.evals.rounds import scoring
from whetstone.evals.rounds.answering import ask
from whetstone.evals.rounds.chain import START, Record, head, linked, read_chain
from whetstone.evals.rounds.draw import SECRET_FILE, Item, Keys, Secret, draw_record, lines, seal_of
from whetstone.evals.rounds.entrants import Entrant, model_files, weights_root
from whetstone.evals.rounds.events import events_of_a_round
from whetstone.evals.rounds.hashing import digest
from whetstone.evals.rounds.judging import judge_answers
from whetstone.evals.rounds.manifest import Manifest, code_digest
from whetstone.evals.rounds.page import render
from whetstone.evals.rounds.round import Round
from whetstone.files import json_bytes
from whetstone.runs.progress import Progress
from whetstone.tasks.ledger import Ledger

_FIGURE = re.compile(r"<svg.*?</svg>", re.DOTALL)


@dataclass
class Verification:
    """What was checked, and what could not be. `failed` is empty for a round that holds."""

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.failed

    def check(self, what: str, test: Callable[[], str | None]) -> bool:
        """Run a test that returns what is wrong, or nothing. Whatever it raises is a failure of that check."""
        try:
            wrong = test()
        except Exception as error:  # a forged file may break any code that reads it
            wrong = f"{type(error).__name__}: {error}" if not isinstance(error, UsageError | WorkFailed) else str(error)
        return self.note(what, wrong)

    def note(self, what: str, wrong: str | None) -> bool:
        """Take down what a check found; whether it found nothing."""
        if wrong:
            self.failed.append(f"{what}: {wrong}")
        else:
            self.passed.append(what)
        return not wrong


def verify(
    path: str | Path,
    *,
    models: Mapping[str, str] | None = None,
    rerun: int = 0,
    published: Sequence[str] = (),
    progress: Progress | None = None,
) -> Verification:
    """Check the round in `path`, whatever its state.

    models: where entrants' weights are now, if not where they entered from. rerun: so many problems of each entrant
    whose weights are at hand are asked again. published: hashes that were published at the time: each must be one
    of the log's, and binds everything up to its event.

    Never raises for a round that is damaged: the result says what is wrong.
    """
    path, found = Path(path), Verification()
    if not found.check("log: every line is hashed and follows the one before", lambda: _chain(path, published)):
        return found
    log = read_chain(path / "log.jsonl")
    for each in published:
        event = next(record["event"] for record in log if record["hash"] == each)
        found.passed.append(f"log: the published hash {each[:16]}… binds everything up to: {event}")
    found.check("log: its events are those of a round, in order", lambda: events_of_a_round(log))
    found.check("files: each is the one that the log names, and there are no others", lambda: _files(path, log))
    if not found.check("round.json: can be read", lambda: _manifest(path)):
        return found
    # a damaged file may be read by any check before the one that is about it
    found.check("its files can be read", lambda: _contents(path, log, found, models or {}, rerun, progress))
    return found


def _contents(
    path: Path,
    log: list[Record],
    found: Verification,
    models: Mapping[str, str],
    rerun: int,
    progress: Progress | None,
) -> str | None:
    round_ = Round(path, History(path / "no history"))
    if round_.manifest.code != code_digest():
        found.open.append(
            f"the tasks' code here is not that of the round (Whetstone {round_.manifest.whetstone}, commit "
            f"{round_.manifest.commit}): differences below may come from that"
        )
    found.check("entrants: each is as it was committed", lambda: _entrants(round_, log))
    opened = _weights(round_, models, found)
    if any(record["event"] == "draw" for record in log):
        found.check("answers: each log is whole and is of the round's prompts", lambda: _answers(round_, log))
    _drawn(round_, log, found)
    if any(record["event"] == "answered" for record in log):
        if rerun and opened:
            _rerun(round_, opened, rerun, found, progress or Progress())
        asked = {entrant.name for entrant, _ in opened} if rerun else set()
        for entrant in round_.entrants:
            if entrant.name not in asked:
                found.open.append(f"answers of {entrant.name}: not asked again (--rerun N, with its weights at hand)")
    return None


def _chain(path: Path, published: Sequence[str]) -> str | None:
    records = read_chain(path / "log.jsonl")
    if not records:
        return "there is no log"
    for each in published:
        if each not in {record["hash"] for record in records}:
            return f"the published hash {each[:16]}… is not in it: the log was written anew"
    return None


def _files(path: Path, log: list[Record]) -> str | None:
    known: dict[str, str] = {}
    for record in log:
        known |= record.get("files", {})
    everything = [entry for entry in path.rglob("*") if entry.is_symlink() or not entry.is_dir()]
    if links := [entry.relative_to(path).as_posix() for entry in everything if entry.is_symlink()]:
        return f"links to elsewhere: {', '.join(sorted(links))}"
    here = {entry.relative_to(path).as_posix() for entry in everything} - {".lock", "log.jsonl"}
    revealed = any(record["event"] == "reveal" for record in log)
    here -= set() if revealed else {name for name in here if name.startswith("organiser/")}
    # answers that are being given, or were never finished, stand in no line of the log
    here -= {f"outputs/{record['name']}.jsonl" for record in log if record["event"] == "enter"} - set(known)
    if missing := sorted(set(known) - here):
        return f"missing: {', '.join(missing)}"
    if foreign := sorted(here - set(known)):
        return f"not of this round: {', '.join(foreign)}"
    changed = [name for name in sorted(known) if digest((path / name).read_bytes()) != known[name]]
    return f"changed: {', '.join(changed)}" if changed else None


def _manifest(path: Path) -> str | None:
    Manifest.read(path / "round.json")
    return None


def _entrants(round_: Round, log: list[Record]) -> str | None:
    for record in log:
        if record["event"] == "enter":
            entrant = Entrant.read(round_.path / "entrants" / f"{record['name']}.json")
            if entrant.commitment() != record["commitment"] or entrant.name != record["name"]:
                return f"{record['name']} is not what was committed"
            if not entrant.hosted and weights_root(entrant.files) != entrant.weights:
                return f"the hashes of {record['name']}'s files do not make up its root"
            ledger = round_.path / "entrants" / f"{record['name']}.ledger.json"
            if (Ledger.load(ledger).root() if ledger.is_file() else "") != entrant.ledger:
                return f"{record['name']}'s list of training problems is not the one that was committed"
    return None


def _weights(round_: Round, models: Mapping[str, str], found: Verification) -> list[tuple[Entrant, Source]]:
    """The entrants whose weights are here and are those that entered."""
    opened = []
    for entrant in round_.entrants:
        if entrant.hosted:
            found.open.append(f"weights of {entrant.name}: hosted at {entrant.model}, nothing can be proven")
            continue
        where = models.get(entrant.name, entrant.model)
        try:
            files = model_files(where)[0]
        except (UsageError, OSError) as error:
            found.open.append(f"weights of {entrant.name}: not at hand ({error})")
            continue
        changed = sorted(name for name in {*files, *entrant.files} if files.get(name) != entrant.files.get(name))
        wrong = f"changed: {', '.join(changed)}" if changed else None
        if found.note(f"weights of {entrant.name}: those that entered", wrong):
            opened.append((entrant, Source(where)))
    return opened


def _answers(round_: Round, log: list[Record]) -> str | None:
    prompts = round_.exam().prompts
    for record in log:
        if record["event"] != "answered":
            continue
        answers = read_chain(round_.path / "outputs" / f"{record['name']}.jsonl")
        if head(answers) != record["head"]:
            return f"{record['name']}: its last hash is not the one in the log"
        if [(each["place"], each["id"]) for each in answers] != [(each["place"], each["id"]) for each in prompts]:
            return f"{record['name']}: it is not of the round's prompts"
        if any(len(each["answers"]) != round_.manifest.samples for each in answers):
            return f"{record['name']}: a problem has another number of answers than the round asks"
    return None


def _drawn(round_: Round, log: list[Record], found: Verification) -> None:
    """What the secret binds: as much of it as can be seen in the round's state."""
    events = [record["event"] for record in log]
    if "reveal" not in events:
        if (round_.path / SECRET_FILE).is_file():
            found.check("secret: the one that was committed", lambda: _secret(round_))
        if "draw" in events:
            found.open.append("problems and verdicts: sealed until the reveal")
        return
    if not found.check("secret: the one that was committed", lambda: _secret(round_)):
        return
    found.check("sealed tasks: the sources that were committed", lambda: _seals(round_))
    made: list[tuple[list[Item], Keys]] = []
    if not found.check("problems: made anew from the key", lambda: made.append(round_.redraw(round_.drawn["beacon"]))):
        return
    items, keys = made[0]
    found.check(
        "problems: prompts, answers and nonces are those bound by the draw", lambda: _items(round_, items, keys)
    )
    if "judged" not in events:
        found.open.append("verdicts: the round is revealed and not judged yet; `whet round reveal` goes on")
        return
    found.check("verdicts: judged anew", lambda: _verdicts(round_, items))
    if "report" in events and not found.failed:
        found.check("report: computed anew", lambda: _report(round_))


def _secret(round_: Round) -> str | None:
    wrong = round_.secret().commitment() != round_.manifest.secret
    return "it is another one than the manifest binds" if wrong else None


def _seals(round_: Round) -> str | None:
    seals = Secret.read(round_.path / "reveal.json").seals
    for place, part in enumerate(round_.manifest.parts):
        if part.sealed:
            about = seals[str(place)]
            if seal_of(about, (round_.path / about["kept"]).read_bytes()) != part.source:
                return f"part {place} is another source than the manifest binds"
            task = round_.tasks()[place]
            if (task.name, task.version) != (about["task"], about["version"]):
                return f"part {place} is {task.name} {task.version}, not {about['task']} {about['version']}"
    return None


def _items(round_: Round, items: list[Item], keys: Keys) -> str | None:
    drawn = round_.drawn
    commitments = {entrant.name: entrant.commitment() for entrant in round_.entrants}
    anew: dict[str, Any] = draw_record(items, keys, commitments, drawn["beacon"])
    if different := [name for name in {*anew, *drawn} if anew.get(name) != drawn.get(name)]:
        return f"draw.json differs in {', '.join(sorted(different))}"
    for name, made in (
        ("prompts.jsonl", lines(item.prompt() for item in items)),
        ("items.jsonl", lines(item.told() for item in items)),
    ):
        if (round_.path / name).read_bytes() != made:
            return f"{name} differs"
    return None


def _verdicts(round_: Round, items: list[Item]) -> str | None:
    tasks = round_.tasks()
    judged = round_.judged
    if judged["manifest"] != round_.manifest.id:
        return "they are of another manifest"
    if set(round_.without) != {entrant.name for entrant in round_.entrants} - set(judged["entrants"]):
        return "who gave no answers is not who is said to have given none"
    for name in judged["entrants"]:
        answers = read_chain(round_.path / "outputs" / f"{name}.jsonl")
        logged = read_chain(round_.path / "verdicts" / f"{name}.jsonl")
        previous = START
        for verdict, line in zip(judge_answers(items, tasks, answers), logged, strict=True):
            record = linked(verdict, previous)
            if record != line:
                return f"{name}: another verdict on problem {verdict['place']}"
            previous = record["hash"]
    return None


def _report(round_: Round) -> str | None:
    anew = scoring.score(round_)
    if (round_.path / "report.json").read_bytes() != json_bytes(anew):
        logged = json.loads((round_.path / "report.json").read_text(encoding="utf-8"))
        different = [name for name in {*anew, *logged} if json_bytes(anew.get(name)) != json_bytes(logged.get(name))]
        return f"report.json differs in {', '.join(sorted(different)) or 'its form'}"
    # what a figure looks like depends on fonts and the drawing library: of those the log's hash alone speaks
    page = (round_.path / "report.html").read_text(encoding="utf-8")
    return None if _FIGURE.sub("", page) == _FIGURE.sub("", render(anew)) else "report.html is not the report's page"


def _rerun(
    round_: Round, opened: list[tuple[Entrant, Source]], count: int, found: Verification, progress: Progress
) -> None:
    exam = round_.exam()
    # drawn now: who forged answers could not know which ones would be asked again
    places = sorted(secrets.SystemRandom().sample(range(len(exam.prompts)), min(count, len(exam.prompts))))
    chosen = [exam.prompts[place] for place in places]
    for entrant, source in opened:
        path = round_.path / "outputs" / f"{entrant.name}.jsonl"
        if not path.is_file():
            continue
        logged = read_chain(path)

        def compare(entrant: Entrant = entrant, source: Source = source, logged: list[Record] = logged) -> str | None:
            backend = source.open()
            if backend.tokenizer is not None:
                backend.tokenizer.today = exam.today
            with progress.stage(f"asking {entrant.name} again", len(chosen)) as stage:
                for prompt in chosen:
                    (anew,) = ask(exam, backend, [prompt])
                    if _said(anew) != _said(logged[prompt["place"]]):
                        return f"another answer to problem {prompt['place']}"
                    stage.advance()
            return None

        found.check(f"answers of {entrant.name}: {len(chosen)} asked again, the same", compare)


def _said(record: Record) -> list[dict[str, Any]]:
    """The answers without their log-probabilities, which another machine may round otherwise."""
    return [{name: value for name, value in answer.items() if name != "logprob"} for answer in record["answers"]]
