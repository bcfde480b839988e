"""Whatever is changed in a round, verify finds it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.evals.rounds.world import begin, finished, forge_log
from tests.tiny import tiny_folder
from whetstone.evals.history import History
from whetstone.evals.rounds.chain import append, linked, read_chain
from whetstone.evals.rounds.hashing import canonical, digest
from whetstone.evals.rounds.round import Round
from whetstone.evals.rounds.verifying import verify
from whetstone.runs.progress import Progress
from whetstone.tasks.ledger import Ledger


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Round:
    return finished(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def copy(whole: Round, tmp_path: Path) -> Path:
    shutil.copytree(whole.path, tmp_path / "copy")
    return tmp_path / "copy"


def test_an_honest_round_holds(whole: Round) -> None:
    found = verify(whole.path, rerun=4)
    assert found.holds, found.failed
    assert found.open == []
    assert len(found.passed) == 17


def test_a_copy_that_was_mailed_holds(copy: Path) -> None:
    assert verify(copy, published=[read_chain(copy / "log.jsonl")[-1]["hash"]]).holds


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_flipped_bit_anywhere_is_found(whole: Round, data: st.DataObject) -> None:
    models = [whole.path.parent / name for name in ("first", "second")]
    files = sorted(p for p in (*whole.path.rglob("*"), *(f for m in models for f in m.iterdir())) if p.is_file())
    file = data.draw(st.sampled_from([f for f in files if f.name != ".lock" and f.stat().st_size]))
    before = file.read_bytes()
    place = data.draw(st.integers(0, len(before) - 1))
    bit = data.draw(st.integers(0, 7))
    file.write_bytes(before[:place] + bytes([before[place] ^ 1 << bit]) + before[place + 1 :])
    try:
        assert not verify(whole.path).holds, (file, place, bit)
    finally:
        file.write_bytes(before)


def test_every_file_of_the_round_is_covered(copy: Path) -> None:
    """The property test picks at random; this one goes through all files once."""
    for file in sorted(p for p in copy.rglob("*") if p.is_file() and p.name != ".lock"):
        before = file.read_bytes()
        place = len(before) // 2
        file.write_bytes(before[:place] + bytes([before[place] ^ 1]) + before[place + 1 :])
        assert not verify(copy).holds, (file, place)
        file.write_bytes(before)


def _rechain(path: Path, change: object) -> None:
    previous, lines = "0" * 64, []
    for place, record in enumerate(read_chain(path)):
        body = {key: value for key, value in record.items() if key not in ("hash", "prev")}
        made = linked(change(place, body), previous)  # type: ignore[operator]
        previous = made["hash"]
        lines.append(canonical(made) + b"\n")
    path.write_bytes(b"".join(lines))


def test_a_forger_who_hashes_everything_anew_is_found(copy: Path) -> None:
    """The hashes are right then; what is made anew from the key is not."""

    def kinder(place: int, record: dict) -> dict:  # type: ignore[type-arg]
        return record | {"verdicts": ["right"]} if place == 3 else record

    first = copy / "verdicts" / "first.jsonl"
    before = first.read_bytes()
    _rechain(first, kinder)
    if first.read_bytes() == before:
        _rechain(first, lambda place, record: record | {"verdicts": ["wrong"]} if place == 3 else record)
    forge_log(copy)
    found = verify(copy)
    assert [each.split(":")[0] for each in found.failed] == ["verdicts"], found.failed


@pytest.mark.parametrize(
    ("name", "old", "new", "check"),
    [
        ("items.jsonl", b'"facts":{"n":', b'"facts":{"n":1', "problems"),
        ("prompts.jsonl", b'"content":"', b'"content":"1', "problems"),
        ("draw.json", b'"beacon": ""', b'"beacon": "x"', "problems"),
        ("entrants/first.json", b'"looks": 0', b'"looks": 1', "entrants"),
        ("round.json", b'"title": "', b'"title": "x', "verdicts"),
        ("report.json", b'"mean": 0', b'"mean": 1', "report"),
        ("report.html", b"</h1>", b"!</h1>", "report"),
        ("tasks/part-2.py", b"02468", b"13579", "sealed tasks"),
    ],
)
def test_what_a_forger_changes_is_named(copy: Path, name: str, old: bytes, new: bytes, check: str) -> None:
    data = (copy / name).read_bytes()
    assert old in data
    (copy / name).write_bytes(data.replace(old, new, 1))
    forge_log(copy)
    found = verify(copy)
    assert any(each.startswith(check) for each in found.failed), found.failed


def test_another_secret_is_found(copy: Path) -> None:
    told = json.loads((copy / "reveal.json").read_text())
    told["secret"] = "00" * 32
    (copy / "reveal.json").write_text(json.dumps(told, indent=2) + "\n")
    forge_log(copy)
    assert any(each.startswith("secret") for each in verify(copy).failed)


def test_a_log_that_was_written_anew_does_not_hold_the_published_hash(copy: Path) -> None:
    published = read_chain(copy / "log.jsonl")[-1]["hash"]
    lines = (copy / "log.jsonl").read_text().splitlines()
    (copy / "log.jsonl").write_text("\n".join([lines[0].replace('"time":"20', '"time":"19'), *lines[1:]]) + "\n")
    forge_log(copy)
    assert not verify(copy).holds  # the report names the hash under which it was judged
    Round(copy, History(copy.parent / "h.sqlite")).report(Progress())
    assert verify(copy).holds  # with a new report, nothing but the published hash can tell
    assert not verify(copy, published=[published]).holds


def test_events_that_are_lost_or_out_of_order_are_found(copy: Path) -> None:
    lines = (copy / "log.jsonl").read_bytes().splitlines(keepends=True)
    (copy / "log.jsonl").write_bytes(b"".join(lines[:-1]))
    assert any(each.startswith("files") for each in verify(copy).failed)


def test_a_foreign_file_is_found(copy: Path) -> None:
    (copy / "entrants" / "third.json").write_text("{}")
    assert "third" in " ".join(verify(copy).failed)


@pytest.mark.parametrize("name", ["outputs/ghost.jsonl", "outputs/first.jsonl.bak", "outputs/.x.part", "outputs/first"])
def test_a_stranger_among_the_answers_is_found(copy: Path, name: str) -> None:
    (copy / name).write_text("")
    assert [each.split(":")[0] for each in verify(copy).failed] == ["files"]


def test_a_folder_without_a_round(tmp_path: Path) -> None:
    assert verify(tmp_path).failed == ["log: every line is hashed and follows the one before: there is no log"]


def test_states_before_the_reveal_hold_as_far_as_they_go(tmp_path: Path) -> None:
    round_ = begin(tmp_path)
    assert verify(round_.path).holds
    round_.enter(str(tiny_folder(tmp_path / "m")), "m")
    assert verify(round_.path).holds
    round_.draw()
    found = verify(round_.path)
    assert found.holds and "sealed until the reveal" in " ".join(found.open)
    round_.answer("m", Progress())
    assert verify(round_.path).holds
    shutil.rmtree(round_.path / "organiser")  # as it is mailed
    assert verify(round_.path).holds


def test_weights_that_are_elsewhere_are_said_to_be_unchecked(whole: Round, copy: Path, tmp_path: Path) -> None:
    shutil.copytree(whole.path.parent / "first", tmp_path / "moved")
    found = verify(copy, models={"first": str(tmp_path / "moved"), "second": str(tmp_path / "nowhere")})
    assert found.holds
    assert "second: not at hand" in found.open[0]
    assert [each.split(":")[0] for each in found.open[1:]] == ["answers of first", "answers of second"]


def _with(path: Path, *records: dict, drop: str = "") -> None:  # type: ignore[type-arg]
    """The log without the events `drop` and with more at its end, every line hashed anew."""
    kept = [
        {key: value for key, value in record.items() if key not in ("hash", "prev")}
        for record in read_chain(path / "log.jsonl")
        if record["event"] != drop
    ]
    (path / "log.jsonl").unlink()
    append(path / "log.jsonl", [], [*kept, *records])


def test_a_later_line_cannot_bind_an_earlier_file_anew(copy: Path) -> None:
    (copy / "round.json").write_bytes((copy / "round.json").read_bytes().replace(b'"first"', b'"all"'))
    files = {"round.json": digest((copy / "round.json").read_bytes())}
    _with(copy, {"event": "report", "time": "", "files": files})
    assert any("may not bind round.json" in each for each in verify(copy).failed)


def test_an_emptied_list_of_training_problems_is_found(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m")
    ledger = Ledger(["aa" * 16])
    ledger.save(folder / "ledger.json")
    round_ = begin(tmp_path)
    round_.enter(str(folder), "m")
    Ledger().save(round_.path / "entrants" / "m.ledger.json")
    forge_log(round_.path)
    assert any("list of training problems" in each for each in verify(round_.path).failed)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"drop": "judged"}, "cannot happen"),
        ({"drop": "reveal"}, "cannot happen"),
        ({"drop": "new"}, "cannot happen"),
        ({"drop": "draw"}, "cannot happen"),
        ({"add": {"event": "decision", "place": -1, "action": "keep", "reason": "r", "text": ""}}, "a decision"),
        ({"add": {"event": "decision", "place": 0, "action": "bless", "reason": "r", "text": ""}}, "a decision"),
        ({"add": {"event": "decision", "place": 0, "action": "drop", "reason": " ", "text": ""}}, "a decision"),
        ({"add": {"event": "enter", "name": "late", "files": {}}}, "cannot happen"),
        ({"add": {"event": "party"}}, "unknown"),
    ],
)
def test_events_that_cannot_have_been(copy: Path, change: dict, said: str) -> None:  # type: ignore[type-arg]
    _with(copy, *([change["add"]] if "add" in change else []), drop=change.get("drop", ""))
    assert any(said in each for each in verify(copy).failed), verify(copy).failed


def test_an_entrant_that_answered_cannot_be_left_out(copy: Path) -> None:
    records = read_chain(copy / "log.jsonl")
    judged = next(r for r in records if r["event"] == "judged")
    bodies = [{k: v for k, v in r.items() if k not in ("hash", "prev")} for r in records]
    bodies[records.index(judged)]["entrants"] = ["first"]
    (copy / "log.jsonl").unlink()
    append(copy / "log.jsonl", [], bodies)
    assert any("not those who answered" in each for each in verify(copy).failed)


def test_a_sealed_task_cannot_be_renamed_after_the_entries(tmp_path: Path) -> None:
    """Its name is committed, and is no part of the key: a new name would be a new draw."""
    round_ = begin(tmp_path)
    round_.enter(str(tiny_folder(tmp_path / "m")), "m")
    before = [item.problem.id for item in Round(round_.path, round_.history).redraw("")[0]]
    kept = round_.path / "organiser" / "secret.json"
    told = json.loads(kept.read_text())
    told["sealed"]["2"]["version"] = "other"
    kept.write_text(json.dumps(told))
    assert [item.problem.id for item in Round(round_.path, round_.history).redraw("")[0]] == before
    round_.draw()
    round_.answer("m", Progress())
    round_.reveal(Progress())
    assert any(each.startswith("sealed tasks") for each in verify(round_.path).failed)


def test_links_and_files_of_hidden_names_are_found(copy: Path) -> None:
    for name, make in (
        ("more", lambda p: p.symlink_to("/etc")),
        ("tasks/log.jsonl", lambda p: p.write_text("")),
        ("entrants/.lock", lambda p: p.write_text("")),
    ):
        make(copy / name)
        assert not verify(copy).holds, name
        (copy / name).unlink()
    assert verify(copy).holds


def test_what_breaks_a_reader_is_a_failure_and_no_crash(copy: Path) -> None:
    (copy / "reveal.json").write_text("[" * 100_000)
    forge_log(copy)
    assert not verify(copy).holds
