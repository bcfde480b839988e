"""Verify a round: make everything anew from its manifest and secret, and compare byte by byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whetstone.engine.backends import Source
from whetstone.errors import UsageError, WorkFailed
from whetstone.evals.history import History
from whetstone.evals.rounds import scoring
from whetstone.evals.rounds.answering import ask
from whetstone.evals.rounds.chain import START, Record, head, linked, read_chain
from whetstone.evals.rounds.draw import SECRET_FILE, Item, Keys, Secret, draw_record, lines
from whetstone.evals.rounds.entrants import Entrant, model_files, weights_root
from whetstone.evals.rounds.hashing import canonical, commit, digest
from whetstone.evals.rounds.judging import judge_answers
from whetstone.evals.rounds.manifest import Manifest, code_digest
from whetstone.evals.rounds.round import Round
from whetstone.runs.progress import Progress

ORDER = {
    "new": 0,
    "enter": 1,
    "draw": 2,
    "answered": 3,
    "reveal": 4,
    "judged": 5,
    "decision": 6,
    "report": 6,
    "void": 7,
}


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
        except (UsageError, WorkFailed, OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
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
    published: str | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Check the round in `path`, whatever its state.

    models: where entrants' weights are now, if not where they entered from. rerun: so many problems of each entrant
    whose weights are at hand are asked again. published: a hash that the organiser published, which must be one of
    the log's.

    Never raises for a round that is damaged: the result says what is wrong.
    """
    path, found = Path(path), Verification()
    if not found.check("log: every line is hashed and follows the one before", lambda: _chain(path, published)):
        return found
    log = read_chain(path / "log.jsonl")
    found.check("log: its events are in order", lambda: _order(log))
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
    if rerun and opened:
        _rerun(round_, opened, rerun, found, progress or Progress())
    return None


def _chain(path: Path, published: str | None) -> str | None:
    records = read_chain(path / "log.jsonl")
    if not records:
        return "there is no log"
    if published and published not in {record["hash"] for record in records}:
        return f"the published hash {published[:16]}… is not in it: the log was written anew"
    return None


def _order(log: list[Record]) -> str | None:
    if log[0]["event"] != "new":
        return "it does not begin with the beginning of a round"
    stages = [ORDER[record["event"]] for record in log]
    return "an event stands where it cannot have happened" if stages != sorted(stages) else None


def _files(path: Path, log: list[Record]) -> str | None:
    known: dict[str, str] = {}
    for record in log:
        known |= record.get("files", {})
    here = {
        file.relative_to(path).as_posix()
        for file in path.rglob("*")
        if not file.is_dir() and file.name not in (".lock", "log.jsonl")
    }
    revealed = any(record["event"] == "reveal" for record in log)
    here -= set() if revealed else {name for name in here if name.startswith("organiser/")}
    # answers that are being given stand in no line of the log yet
    ended = {record["name"] for record in log if record["event"] == "answered"}
    here -= {name for name in here if name.startswith("outputs/") and name.removesuffix(".jsonl")[8:] not in ended}
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
    drawn = json.loads((round_.path / "draw.json").read_text(encoding="utf-8"))
    made: list[tuple[list[Item], Keys]] = []
    if not found.check("problems: made anew from the key", lambda: made.append(round_.redraw(drawn["beacon"]))):
        return
    items, keys = made[0]
    found.check(
        "problems: prompts, answers and nonces are those bound by the draw", lambda: _items(round_, items, keys)
    )
    if "judged" not in events:
        return
    found.check("verdicts: judged anew", lambda: _verdicts(round_, log, items))
    if "report" in events and not found.failed:
        found.check("report.json: computed anew", lambda: _report(round_))


def _secret(round_: Round) -> str | None:
    wrong = round_.secret().commitment() != round_.manifest.secret
    return "it is another one than the manifest binds" if wrong else None


def _seals(round_: Round) -> str | None:
    seals = Secret.read(round_.path / "reveal.json").seals
    for place, part in enumerate(round_.manifest.parts):
        if part.sealed:
            about = seals[str(place)]
            source = (round_.path / about["kept"]).read_bytes().decode("utf-8", "replace")
            if commit(bytes.fromhex(about["nonce"]), canonical([source, about["class_name"]])) != part.source:
                return f"part {place} is another source than the manifest binds"
    return None


def _items(round_: Round, items: list[Item], keys: Keys) -> str | None:
    drawn = json.loads((round_.path / "draw.json").read_text(encoding="utf-8"))
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


def _verdicts(round_: Round, log: list[Record], items: list[Item]) -> str | None:
    tasks = round_.tasks()
    for name in next(record["entrants"] for record in log if record["event"] == "judged"):
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
    logged = json.loads((round_.path / "report.json").read_text(encoding="utf-8"))
    anew = json.loads(json.dumps(scoring.score(round_)))
    different = [name for name in {*anew, *logged} if anew.get(name) != logged.get(name)]
    return f"it differs in {', '.join(sorted(different))}" if different else None


def _rerun(
    round_: Round, opened: list[tuple[Entrant, Source]], count: int, found: Verification, progress: Progress
) -> None:
    exam = round_.exam()
    step = max(1, len(exam.prompts) // count)
    chosen = exam.prompts[::step][:count]
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
