"""A tiny model, its siblings, and the audit from end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.tiny import digit_task, tiny_folder
from whetstone.engine.engine import Engine
from whetstone.engine.rollout import PromptTooLong
from whetstone.errors import UsageError
from whetstone.evals.contamination import model_audit, siblings
from whetstone.evals.contamination.items import ItemSet, document_ids, draw, suspects
from whetstone.evals.contamination.measure import greedy_right
from whetstone.evals.contamination.model_audit import Plan, audit_model
from whetstone.evals.contamination.rewording import reword
from whetstone.evals.contamination.siblings import Effort, Pools, Sibling, documents, pools, train
from whetstone.evals.contamination.summary import lines
from whetstone.models.checkpoint import save_folder
from whetstone.models.loading import Loaded, load
from whetstone.runs.progress import Progress
from whetstone.tasks.registry import load_task

LEVEL, SMALL = 4, Effort(12, 60, 24, (Sibling("full", "verbatim"), Sibling("full", "clean")))
RATES = {"full": 1e-2, "lora": 2e-2, "rl": 1e-3}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little control, and rates at which twenty thousand parameters learn by heart."""
    monkeypatch.setitem(siblings.EFFORTS, "quick", SMALL)
    monkeypatch.setattr(siblings, "RATE", RATES)


def test_a_sibling_of_sixteen_copies_is_found_and_a_clean_model_is_not(tmp_path: Path, small: None) -> None:
    """The model that is audited was trained on the very items, 16 times; its unharmed self is audited beside it."""
    clean = tiny_folder(tmp_path / "clean", width=64)
    guilty = tmp_path / "guilty"
    _contaminate(clean, guilty, copies=16)
    reports = {
        name: audit_model(str(folder), "addition", tmp_path / f"audit-{name}", Progress(), LEVEL, n=24)
        for name, folder in (("clean", clean), ("guilty", guilty))
    }
    assert reports["guilty"]["verdict"].startswith("contaminated")
    assert not reports["clean"]["verdict"].startswith("contaminated")
    loss = next(each for each in reports["guilty"]["detectors"] if each["detector"] == "loss")
    assert loss["word"] == "contaminated" and loss["mean"]["items"] > loss["mean"]["twins"]
    for found in reports.values():
        control = found["control"]["full-verbatim"]
        assert control["loss"]["16"]["shown"] and control["loss"]["16"]["tpr"]["mean"] > 0.5
        assert all(each["word"] != "contaminated" for each in found["clean_sibling"])
        assert "canary" not in {each["detector"] for each in found["detectors"]}  # none were planted
        assert found["exposure_bits"]["full-verbatim"]["16"] > found["exposure_bits"]["full-verbatim"]["0"]
        assert found["verdict"] in "\n".join(lines(found, tmp_path))
    page = (tmp_path / "audit-guilty" / "audit.html").read_text()
    assert "contaminated: " in page and "<script" not in page and "canary exposure" in page


def _contaminate(source: Path, target: Path, copies: int) -> None:
    task = load_task("addition")
    items, _ = suspects(task, LEVEL, "0", 24, 48, 8)
    (filler,) = draw(task, LEVEL, b"filler", [24], items.items)
    drawn = Pools({copies: ItemSet(items.items)}, ItemSet(()), filler, ())
    loaded = load(str(source))
    train(loaded, task, LEVEL, "only", drawn, Sibling("full", "verbatim"), b"key", lambda *_: None)
    save_folder(loaded.model, target, loaded.tokenizer)


def test_a_killed_audit_goes_on(tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    model = str(tiny_folder(tmp_path / "model"))
    trained: list[str] = []
    real = model_audit.train

    def dying(*arguments: Any) -> str:
        trained.append(arguments[5].name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(model_audit, "train", dying)
    with pytest.raises(KeyboardInterrupt):
        audit_model(model, "addition", tmp_path / "out", Progress(), LEVEL, n=12)
    found = audit_model(model, "addition", tmp_path / "out", Progress(), LEVEL, n=12)
    assert trained == ["full-verbatim", "full-clean", "full-clean"]
    assert audit_model(model, "addition", tmp_path / "out", Progress(), LEVEL, n=12) == found
    assert json.loads((tmp_path / "out" / "audit.json").read_text()) == found
    assert len(trained) == 3
    with pytest.raises(UsageError, match="holds an audit with n 12, not 15"):
        audit_model(model, "addition", tmp_path / "out", Progress(), LEVEL, n=15)


def test_one_process_at_a_time(tmp_path: Path, small: None) -> None:
    model = str(tiny_folder(tmp_path / "model"))
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"), pytest.raises(UsageError, match="in use"):
        audit_model(model, "addition", tmp_path / "out", Progress(), LEVEL, n=12)


def test_every_way_of_leaking_runs_through(tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    every = tuple(
        Sibling(m, w) for m, w in (("full", "verbatim"), ("full", "reworded"), ("lora", "verbatim"), ("rl", "verbatim"))
    )
    monkeypatch.setitem(siblings.EFFORTS, "quick", replace(SMALL, members=6, fresh=24, filler=6, siblings=every))
    model = str(tiny_folder(tmp_path / "model"))
    task = digit_task(tmp_path)
    found = audit_model(
        model, task, tmp_path / "out", Progress(), 1, n=12, planted=True, references=(model,), style="plain"
    )
    assert set(found["control"]) | set(found["without_signal"]) == {each.name for each in every}
    assert found["control"]["full-verbatim"].keys() == {
        "loss", "zlib", "min_k", "min_k_plus", "completion", "order", "twin_gap", "canary"
    }  # fmt: skip
    assert "canary" not in found["control"]["full-reworded"] or found["control"]["full-reworded"]["canary"]
    assert {each["detector"] for each in found["detectors"]} >= {"canary", "order", "loss"}
    assert found["twin_gap"]["references"] == 1
    assert found["twin_gap"]["gap"]["mean"] == 0.0  # the model is its own reference


def test_a_reward_that_never_differs_is_said(tmp_path: Path) -> None:
    task = load_task("addition")
    loaded = load(str(tiny_folder(tmp_path / "model")))
    drawn = pools(task, LEVEL, b"key", replace(SMALL, members=6, fresh=6, filler=6))
    note = train(loaded, task, LEVEL, "only", drawn, Sibling("rl", "verbatim"), b"key", lambda *_: None)
    assert "no signal" in note


def test_a_model_without_room_for_the_questions_is_not_audited(tmp_path: Path) -> None:
    """Beyond its positions it answers noise, of which no gap to twins could be told."""
    loaded, task = load(str(tiny_folder(tmp_path / "model", max_positions=40))), load_task("addition")
    items = suspects(task, LEVEL, "7", 12, 12, 4)[0].items
    with pytest.raises(PromptTooLong, match="but the model takes 40 in all"):
        greedy_right(loaded, Engine(loaded.model), task, "only", items)


def test_no_item_stands_in_two_pools() -> None:
    task = load_task("addition")
    items, twins = suspects(task, LEVEL, "7", 30, 60, 10)
    drawn = pools(task, LEVEL, b"key", SMALL, (*items.items, *twins.items))
    sets = [items.items, twins.items, drawn.fresh.items, drawn.filler, drawn.clean]
    sets += [each.items for each in drawn.leaked.values()]
    ids = [item.problem.id for each in sets for item in each]
    assert len(ids) == len(set(ids))
    assert len(items.canaries) == 10 and not set(items.canaries) & set(twins.canaries)


def test_documents_hold_each_leak_as_often_as_its_dose() -> None:
    drawn = pools(load_task("addition"), LEVEL, b"key", SMALL)
    for wording in ("verbatim", "reworded", "clean"):
        found = documents(drawn, wording, b"key")
        assert len(found) == len(drawn.filler) // 3 + 21 * SMALL.members // 3
        texts = [text for document in found for text in document]
        for dose, leaked in drawn.leaked.items():
            for item in leaked.items:
                assert texts.count(item.text) == (dose if wording == "verbatim" else 0)
                assert sum(item.answer in text and wording == "reworded" for text in texts) >= (wording == "reworded")
            planted = sum(mark.text in texts for mark in leaked.canaries)
            assert planted == (len(leaked.canaries) if wording == "verbatim" else 0)
        assert not {item.text for item in drawn.fresh.items} & set(texts)
    assert documents(drawn, "verbatim", b"key") == documents(drawn, "verbatim", b"key")
    assert documents(drawn, "verbatim", b"key") != documents(drawn, "verbatim", b"other")


def test_rewording_keeps_what_the_item_is_about() -> None:
    question = "What is 60 + 34?"
    forms = {reword(question, "94", b"key", copy) for copy in range(12)}
    assert len(forms) > 4
    for form in forms:
        assert "60 + 34" in form and "94" in form and question not in form
    assert reword(question, "94", b"key", 3) == reword(question, "94", b"key", 3)


def test_the_order_of_texts_changes_no_token_inside_of_them(tmp_path: Path) -> None:
    loaded: Loaded = load(str(tiny_folder(tmp_path / "model")))
    left, right = document_ids(loaded.tokenizer, ["ab", "cd"]), document_ids(loaded.tokenizer, ["cd", "ab"])
    assert sorted(left) == sorted(right)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"effort": "huge"}, "effort"),
        ({"n": 3}, "at least 12"),
        ({"style": "odd"}, "style"),
        ({"level": 99}, "level 99"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_loaded(changes: dict[str, Any], message: str) -> None:
    task = load_task("addition")
    with pytest.raises(UsageError, match=message):
        replace(Plan("none", "addition", 2), **changes).check(task)


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="choose another --out"):
        audit_model("none", "addition", tmp_path, Progress(), LEVEL, n=12)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
