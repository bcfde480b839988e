"""The life of a round: what may happen when, what a kill costs, what is counted."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.evals.rounds.world import begin, finished
from tests.tiny import digit_task, tiny_folder
from whetstone.errors import UsageError, WorkFailed
from whetstone.evals.history import History, Look
from whetstone.evals.rounds.appeals import blind
from whetstone.evals.rounds.chain import read_chain
from whetstone.evals.rounds.creating import new_round
from whetstone.evals.rounds.draw import Keys
from whetstone.evals.rounds.entrants import model_files, parse_declared, weights_root
from whetstone.evals.rounds.round import Round
from whetstone.evals.rounds.verifying import verify
from whetstone.runs.progress import Progress
from whetstone.tasks.keys import Key, Stream
from whetstone.tasks.ledger import Ledger


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Round:
    return finished(tmp_path_factory.mktemp("done"), samples=4)


def test_each_stratum_is_reported_apart(done: Round) -> None:
    report = json.loads((done.path / "report.json").read_text())
    assert [stratum["stratum"] for stratum in report["strata"]] == ["A", "B", "C"]
    for stratum in report["strata"]:
        row = stratum["entrants"]["first"]
        right = [
            record["verdicts"].count("right")
            for record in read_chain(done.path / "verdicts" / "first.jsonl")
            if done.manifest.parts[done.items()[record["place"]].part].stratum == stratum["stratum"]
        ]
        assert row["accuracy"]["mean"] == pytest.approx(sum(right) / 4 / len(right), abs=1e-6)
        assert row["accuracy"]["low"] <= row["accuracy"]["mean"] <= row["accuracy"]["high"]
        assert [each["k"] for each in row["pass_at_k"]] == [1, 2, 4]
        assert sum(row["verdicts"].values()) == 4 * stratum["n"]
        assert {"bins", "ece"} <= set(row["reliability"])
        assert set(stratum["baselines"]) == {"majority answer", "empty", "shotgun"}
        assert [(pair["before"], pair["after"]) for pair in stratum["pairs"]] == [("first", "second")]
    assert "accuracy" not in report  # nothing is averaged over strata
    assert report["weakest_link"] == report["links"][0]
    assert len(report["verdict"]) == 3


def test_prompts_tell_nothing_but_the_question(done: Round) -> None:
    for line in (done.path / "prompts.jsonl").read_text().splitlines():
        assert set(json.loads(line)) == {"place", "part", "id", "messages", "max_new_tokens"}


def test_secrets_are_hidden_until_the_reveal(tmp_path: Path) -> None:
    round_ = begin(tmp_path)
    assert (round_.path / "organiser").stat().st_mode & 0o077 == 0
    round_.enter(str(tiny_folder(tmp_path / "m")), "m")
    items = round_.draw()
    secret = json.loads((round_.path / "organiser" / "secret.json").read_text())
    for file in round_.path.rglob("*"):
        if file.is_file() and "organiser" not in file.parts:
            told = file.read_text()
            assert secret["secret"] not in told and secret["nonce"] not in told
            assert items[0].nonce not in told
    assert "02468" in (round_.path / "tasks" / "part-0.py").read_text()
    assert not (round_.path / "tasks" / "part-2.py").exists()  # the sealed one
    round_.answer("m", Progress())
    round_.reveal(Progress())
    assert (round_.path / "tasks" / "part-2.py").exists()
    assert not (round_.path / "organiser").exists()


def test_neither_side_alone_decides_the_draw() -> None:
    def key(secret: bytes, entries: list[str], beacon: str) -> bytes:
        return Keys.joint(secret, entries, beacon).parts

    base = key(b"s" * 32, ["aa", "bb"], "")
    assert base == key(b"s" * 32, ["bb", "aa"], "")
    others = [key(b"t" * 32, ["aa", "bb"], ""), key(b"s" * 32, ["aa", "bc"], ""), key(b"s" * 32, ["aa", "bb"], "x")]
    assert len({base, *others}) == 4


def test_entries_close_with_the_draw(tmp_path: Path) -> None:
    round_ = begin(tmp_path)
    with pytest.raises(UsageError, match="nobody has entered"):
        round_.draw()
    with pytest.raises(UsageError, match="is open"):
        round_.reveal(Progress())
    model = str(tiny_folder(tmp_path / "m"))
    round_.enter(model, "m")
    with pytest.raises(UsageError, match="already"):
        round_.enter(model, "m")
    with pytest.raises(UsageError, match="no name"):
        round_.enter(model, "../m")
    round_.draw()
    with pytest.raises(UsageError, match="cannot enter"):
        round_.enter(model, "late")
    with pytest.raises(UsageError, match="did not answer yet"):
        round_.reveal(Progress())
    with pytest.raises(UsageError, match="no entrant x"):
        round_.answer("x", Progress())


def test_swapped_weights_are_refused(tmp_path: Path) -> None:
    round_ = begin(tmp_path)
    folder = tiny_folder(tmp_path / "m", seed=1)
    round_.enter(str(folder), "m")
    round_.draw()
    tiny_folder(tmp_path / "other", seed=2)
    (folder / "model.safetensors").write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    with pytest.raises(UsageError, match="not those with which m entered"):
        round_.answer("m", Progress())


def test_an_interrupted_run_goes_on_with_the_same_answers(tmp_path: Path, done: Round) -> None:
    round_ = begin(tmp_path)
    round_.enter(str(tiny_folder(tmp_path / "m")), "m")
    round_.draw()
    round_.answer("m", Progress())
    whole = (round_.path / "outputs" / "m.jsonl").read_bytes()
    # as a kill leaves it: some lines, half a line, and no event in the log
    lines = whole.splitlines(keepends=True)
    (round_.path / "outputs" / "m.jsonl").write_bytes(b"".join(lines[:5]) + lines[5][:20])
    log = (round_.path / "log.jsonl").read_bytes().splitlines(keepends=True)
    (round_.path / "log.jsonl").write_bytes(b"".join(log[:-1]) + log[-1][:30])
    again = Round(round_.path, round_.history)
    assert again.unanswered() == ["m"]
    again.answer("m", Progress())
    assert (round_.path / "outputs" / "m.jsonl").read_bytes() == whole
    again.reveal(Progress())
    assert verify(round_.path).holds


def test_a_reveal_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    round_ = begin(tmp_path)
    round_.enter(str(tiny_folder(tmp_path / "m")), "m")
    round_.draw()
    round_.answer("m", Progress())

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("whetstone.evals.rounds.round.judge_answers", killed)
    with pytest.raises(KeyboardInterrupt):
        round_.reveal(Progress())
    monkeypatch.undo()
    Round(round_.path, round_.history).reveal(Progress())
    assert verify(round_.path).holds


def test_no_show(tmp_path: Path) -> None:
    round_ = begin(tmp_path)
    for seed, name in enumerate(("here", "gone")):
        round_.enter(str(tiny_folder(tmp_path / name, seed=seed)), name)
    round_.draw()
    round_.answer("here", Progress())
    report = round_.reveal(Progress(), without=["gone"])
    assert report["without"] == ["gone"]
    assert [entrant["name"] for entrant in report["entrants"]] == ["here"]
    assert any("gone" in link for link in report["links"])
    assert verify(round_.path).holds


def test_a_decision_holds_for_all_and_stands_in_the_log(tmp_path: Path) -> None:
    round_ = finished(tmp_path)
    before = round_.report(Progress())
    shown = blind(round_, 0)
    assert "first" not in " ".join(shown) and "second" not in " ".join(shown)
    round_.decide(0, "drop", "two answers are right")
    text = read_chain(round_.path / "outputs" / "first.jsonl")[1]["answers"][0]["text"]
    verdict = read_chain(round_.path / "verdicts" / "first.jsonl")[1]["verdicts"][0]
    round_.decide(1, "reject" if verdict == "right" else "accept", "the check misread it", text or "x")
    after = round_.report(Progress())
    assert after["strata"][0]["n"] == before["strata"][0]["n"] - 1
    assert after["strata"][0]["dropped"] == 1
    assert [decision["reason"] for decision in after["decisions"]] == ["two answers are right", "the check misread it"]
    assert verify(round_.path).holds
    round_.decide(0, "keep", "on second thought it is fine")
    assert round_.report(Progress())["strata"][0]["n"] == before["strata"][0]["n"]
    for wrong in (("melt", "r", ""), ("drop", " ", ""), ("accept", "r", ""), ("drop", "r", "x")):
        with pytest.raises(UsageError):
            round_.decide(0, *wrong)
    with pytest.raises(UsageError, match="no problem 999"):
        round_.decide(999, "drop", "r")


def test_history_counts_rounds_looks_and_used_up_problems(tmp_path: Path) -> None:
    history = History(tmp_path / "h.sqlite")
    model = tiny_folder(tmp_path / "m")
    weights = weights_root(model_files(str(model))[0])
    look = Look(weights, "m", "addition", "v", 2, 10, "k", 0.5, 0.4, 0.6)
    assert [history.add_look(look) for _ in range(3)] == [1, 2, 3]

    def one(name: str) -> Round:
        return new_round(tmp_path / name, "addition", level=1, n=8, strata="A", history=history)

    one("void").void("tried out")
    one("left")
    used = one("used")
    assert used.enter(str(model)).looks == 3
    used.draw()
    used.answer("m", Progress())
    assert used.reveal(Progress())["history"] == {"rounds": 3, "voided": 1, "unfinished": 1, "retired_before": 0}
    again = one("again")
    again.enter(str(model))
    again.draw()
    again.answer("m", Progress())
    past = again.reveal(Progress())["history"]
    drawn = [{item.problem.id for item in each.items()} for each in (used, again)]
    assert past["retired_before"] == len(drawn[0] & drawn[1]) > 0  # level 1 has few problems
    assert [each["state"] for each in history.rounds()].count("void") == 1
    Round(tmp_path / "void", history).void("again")  # the first reason stands
    assert [each["reason"] for each in history.rounds() if each["state"] == "void"] == ["tried out"]


def test_a_hosted_model_that_is_down_answers_later(tmp_path: Path) -> None:
    class Broken(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(500)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Broken)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/v1"
    round_ = begin(tmp_path, strata="A", n=4)
    with pytest.raises(UsageError, match="--served"):
        round_.enter(address, "hosted")
    entrant = round_.enter(address, "hosted", served="m")
    assert entrant.hosted and entrant.weights == ""
    round_.draw()
    settings = tmp_path / "endpoint.toml"
    settings.write_text("retries = 0\n")
    with pytest.raises(WorkFailed, match="not one of 4 prompts"):
        round_.answer("hosted", Progress(), settings=settings)
    server.shutdown()
    assert round_.unanswered() == ["hosted"]
    found = verify(round_.path)
    assert found.holds and "nothing can be proven" in " ".join(found.open)


def test_overlap_with_training_is_measured(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m")
    seen = Stream(begin(tmp_path / "x", strata="A").tasks()[0], Key.derive(b"any", "any"), "eval", 1)
    ledger = Ledger()
    ledger.add(*seen.take(100))
    ledger.save(folder / "ledger.json")
    round_ = begin(tmp_path / "y", strata="A")
    entrant = round_.enter(str(folder), "m")
    assert entrant.trained_problems == len(ledger)
    drawn = round_.draw()
    round_.answer("m", Progress())
    overlap = round_.reveal(Progress())["strata"][0]["entrants"]["m"]["overlap"]
    assert overlap["seen"] == sum(item.problem in ledger for item in drawn) > 0


def test_what_cannot_be_a_round_leaves_nothing(tmp_path: Path) -> None:
    task = digit_task(tmp_path)
    for options, message in (
        ({"n": 300, "level": 1}, "different"),
        ({"style": "shouted"}, "unknown style"),
        ({"strata": "AX"}, "unknown stratum X"),
        ({"strata": "B"}, "no level above"),
        ({"level": 7}, "no level 7"),
        ({"samples": 2, "temperature": 0.0}, "above 0"),
        ({"pairs": "some"}, "unknown pairs"),
    ):
        with pytest.raises(UsageError, match=message):
            new_round(tmp_path / "r", task, **{"history": History(tmp_path / "h"), "strata": "A", **options})  # type: ignore[arg-type]
        assert not (tmp_path / "r").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "f").write_text("x")
    with pytest.raises(UsageError, match="not an empty folder"):
        new_round(tmp_path / "full", task, history=History(tmp_path / "h"))
    with pytest.raises(UsageError, match="no round in"):
        Round(tmp_path / "nowhere")


def test_declared_training() -> None:
    assert parse_declared([]) is None
    assert parse_declared(["none"]) == {}
    assert parse_declared(["addition:1-3", "gcd:2"]) == {"addition": [1, 2, 3], "gcd": [2]}
    for wrong in ("addition", "addition:", "addition:x", "addition:3-1"):
        with pytest.raises(UsageError, match="cannot read"):
            parse_declared([wrong])


def test_a_history_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="WHETSTONE_HISTORY"):
        History(tmp_path / "file" / "h.sqlite").add_look(Look("w", "m", "t", "v", 1, 1, "k", 0, 0, 1))
    (tmp_path / "h.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(UsageError, match="cannot be read"):
        History(tmp_path / "h.sqlite").looks("w", ["t"])


def test_what_a_kill_leaves_is_cleared(tmp_path: Path) -> None:
    round_ = begin(tmp_path)
    round_.enter(str(tiny_folder(tmp_path / "m")), "m")
    (round_.path / ".prompts.jsonl.x.part").write_text("half")
    (round_.path / "entrants" / "gone.json").write_text("{}")
    round_.draw()
    round_.answer("m", Progress())
    assert verify(round_.path).holds
    round_.reveal(Progress())
    (round_.path / "organiser").mkdir()  # as a kill before its removal leaves it
    (round_.path / "organiser" / "secret.json").write_text("{}")
    assert not verify(round_.path).holds
    Round(round_.path, round_.history).reveal(Progress())
    assert verify(round_.path).holds


def test_the_history_hears_of_a_reveal_that_was_killed_before_it(tmp_path: Path) -> None:
    round_ = finished(tmp_path)
    lost = History(tmp_path / "lost.sqlite")
    Round(round_.path, lost).reveal(Progress())
    assert [each["state"] for each in lost.rounds()] == ["revealed"]


def test_a_folder_without_its_first_line_is_no_round(tmp_path: Path) -> None:
    round_ = begin(tmp_path)
    (round_.path / "log.jsonl").unlink()
    with pytest.raises(UsageError, match="begin anew"):
        Round(round_.path)


def test_names_that_would_collide_are_refused(tmp_path: Path) -> None:
    round_ = begin(tmp_path)
    model = str(tiny_folder(tmp_path / "m"))
    round_.enter(model, "log")
    for name in ("LOG", "log.ledger"):
        with pytest.raises(UsageError):
            round_.enter(model, name)
    round_.draw()
    round_.answer("log", Progress())
    round_.reveal(Progress())
    assert verify(round_.path).holds


def test_prompts_cannot_be_changed_for_one_entrant(tmp_path: Path) -> None:
    round_ = begin(tmp_path)
    round_.enter(str(tiny_folder(tmp_path / "m")), "m")
    round_.draw()
    prompts = round_.path / "prompts.jsonl"
    prompts.write_bytes(prompts.read_bytes().replace(b'"content":"', b'"content":"1', 1))
    with pytest.raises(UsageError, match="changed since the draw"):
        round_.answer("m", Progress())


def test_weights_may_not_hide_behind_an_index(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "shard.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"embed": "shard.safetensors"}}))
    before = weights_root(model_files(str(folder))[0])
    (folder / "optimizer.safetensors").write_bytes(b"other weights")
    assert weights_root(model_files(str(folder))[0]) != before  # an index could call them weights
    index.write_text(json.dumps({"weight_map": {"embed": "../elsewhere.safetensors"}}))
    with pytest.raises(UsageError, match="do not lie beside it"):
        model_files(str(folder))


def test_documents_are_worth_what_d_has_over_e(tmp_path: Path) -> None:
    round_ = new_round(tmp_path / "r", "addition", level=1, n=8, strata="DE", history=History(tmp_path / "h.sqlite"))
    round_.enter(str(tiny_folder(tmp_path / "m", max_positions=4096)), "m")
    items = round_.draw()
    half = len(items) // 2
    assert [item.problem.id for item in items[:half]] == [item.problem.id for item in items[half:]]
    assert len(items[0].messages[-1]["content"]) > len(items[half].messages[-1]["content"])
    round_.answer("m", Progress())
    report = round_.reveal(Progress())
    assert report["reading"]["m"]["n"] == half
    assert any("with the document" in line for line in report["verdict"])
    assert verify(round_.path).holds
