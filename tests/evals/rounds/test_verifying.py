"""Whatever is changed in a round, verify finds it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.evals.rounds.world import begin, finished, forge_log
from whetstone.evals.rounds.chain import linked, read_chain
from whetstone.evals.rounds.hashing import canonical
from whetstone.evals.rounds.round import Round
from whetstone.evals.rounds.verifying import verify
from whetstone.runs.progress import Progress


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
    assert verify(copy, published=read_chain(copy / "log.jsonl")[-1]["hash"]).holds


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
        ("round.json", b'"title": "', b'"title": "x', "report.json"),
        ("report.json", b'"mean": 0', b'"mean": 1', "report.json"),
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
    (copy / "report.html").write_text("forged")
    forge_log(copy)
    assert verify(copy).holds  # nothing but the published hash can tell
    assert not verify(copy, published=published).holds


def test_events_that_are_lost_or_out_of_order_are_found(copy: Path) -> None:
    lines = (copy / "log.jsonl").read_bytes().splitlines(keepends=True)
    (copy / "log.jsonl").write_bytes(b"".join(lines[:-1]))
    assert any(each.startswith("files") for each in verify(copy).failed)


def test_a_foreign_file_is_found(copy: Path) -> None:
    (copy / "entrants" / "third.json").write_text("{}")
    assert "third" in " ".join(verify(copy).failed)


def test_a_folder_without_a_round(tmp_path: Path) -> None:
    assert verify(tmp_path).failed == ["log: every line is hashed and follows the one before: there is no log"]


def test_states_before_the_reveal_hold_as_far_as_they_go(tmp_path: Path) -> None:
    from tests.tiny import tiny_folder

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
    assert len(found.open) == 1 and "second" in found.open[0]
