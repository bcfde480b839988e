"""The whole measurement on a tiny model: what it holds, that it goes on where it was, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import whetstone as wh
from tests.cli.process import Digits
from tests.engine.remote.loopback import NAME, loopback
from tests.evals.scaling.test_break_even import finished_run
from tests.pages import assert_opens, assert_self_contained, browser
from tests.tiny import tiny_folder
from whetstone.engine.backends import Source
from whetstone.engine.samples import SampleFile
from whetstone.engine.strategies.names import METHODS as METHODS_OF
from whetstone.errors import UsageError
from whetstone.evals.scaling.page import render
from whetstone.evals.scaling.points import Point
from whetstone.evals.scaling.reading import read_points
from whetstone.runs.provenance import weights_sha256
from whetstone.tasks.registry import BUILTIN

METHODS = "greedy,consistency,prompts"
POINT = {
    "method": str,
    "name": str,
    "budget": int,
    "kind": str,
    "how": str,
    "accuracy": dict,
    "costs": dict,
    "failures": dict,
    "versus_greedy": (dict, type(None)),
    "versus_majority": (dict, type(None)),
    "versus_shuffled": (dict, type(None)),
    "front": list,
    "per_problem": dict,
}
MEASUREMENT = {"model", "task", "task_version", "level", "n", "room", "pools", "guess", "points", "knees", "cheapest"}
MEASUREMENT |= {"uncounted", "calibrations", "verifier", "left_out", "problems", "clusters", "looks"}
RESULT = {"kind", "schema", "created", "command", "seed", "seed_shared", "seed_note", "key", "style", "n", "budgets"}
RESULT |= {"methods", "want", "prices", "models", "measurements", "train_or_think", "versions", "machine", "sentences"}


@pytest.fixture(scope="module", autouse=True)
def digits() -> Iterator[None]:
    """A task that a random model gets right now and then, without a process for a user's file."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(BUILTIN, Digits.name, Digits)
        yield


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, a run that trained it into other weights, a task, and a price."""
    folder = tmp_path_factory.mktemp("desk")
    tiny_folder(folder / "tiny", seed=3)
    run = finished_run(folder / "run")
    tiny_folder(run / "checkpoint", seed=4)
    report = json.loads((run / "report.json").read_text())
    report["model"]["sha256"] = weights_sha256(folder / "tiny")
    (run / "report.json").write_text(json.dumps(report))
    price = 'usd_per_hour = 0.36\ndate = 2026-01-15\nsource = "a bill"\n'
    (folder / "prices.toml").write_text(f'["*"]\n{price}')
    return folder


@pytest.fixture(scope="module")
def measured(desk: Path) -> dict[str, Any]:
    """Two models on two levels, everything that is possible."""
    return scaled(desk, desk / "both", [desk / "tiny", desk / "run"], want=0.5, prices=desk / "prices.toml")


def scaled(desk: Path, out: Path, models: list[Path], **options: Any) -> dict[str, Any]:
    tasks = options.pop("tasks", "digits@1,2")
    defaults: dict[str, Any] = {"n": 12, "methods": METHODS, "budgets": "1,3"}
    return wh.scale([str(model) for model in models], tasks, out=out, **defaults | options)


def saved(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "scale.json").read_text())
    return found


def test_what_the_file_holds(desk: Path, measured: dict[str, Any]) -> None:
    """The schema: who changes it raises its version."""
    result = saved(desk / "both")
    assert set(result) == RESULT and result["kind"] == "scaling" and result["schema"] == 1
    assert len(result["measurements"]) == 4 and len(result["train_or_think"]) == 2
    for each in result["measurements"]:
        assert set(each) == MEASUREMENT and len(each["problems"]) == 12 and each["cheapest"]["want"] == 0.5
        names = [row["name"] for row in each["points"]]
        assert names == ["greedy", "consistency-1", "consistency-3", "prompts-1", "prompts-3", "pass@1", "pass@3"]
        for row in each["points"]:
            assert set(row) == set(POINT) and all(isinstance(row[name], kind) for name, kind in POINT.items())
            assert set(row["accuracy"]) == {"mean", "low", "high", "n"}
            assert {"tokens", "seconds", "flops", "usd", "prompt_tokens", "written_tokens"} <= set(row["costs"])
            assert all(len(values) == 12 for values in row["per_problem"].values())
    assert {each["level"] for each in result["measurements"]} == {1, 2}
    (pair, _) = result["train_or_think"]
    assert set(pair) == {"base", "trained", "task", "level", "trained_on", "by"}
    assert set(pair["by"]) == {"flops", "seconds", "usd"} and pair["by"]["seconds"]["one_off"] == 6.0
    assert pair["by"]["usd"]["one_off"] == pytest.approx(6.0 * 0.36 / 3600)
    trained = result["models"][1]["trained"]
    assert (
        trained["base_here"] == str(desk / "tiny")
        and pair["by"]["flops"]["one_off"] == trained["cost"]["flops"]["total"]
    )
    assert {each["kind"] for each in result["sentences"]} == {"thinking", "wanted", "train or think"}
    stripped = [point for each in measured["measurements"] for point in each["points"]]
    assert not any("per_problem" in point for point in stripped) and "problems" not in measured["measurements"][0]


def test_everything_can_be_computed_again_from_the_file(desk: Path, measured: dict[str, Any]) -> None:
    for each in saved(desk / "both")["measurements"]:
        points = [Point.read(row) for row in each["points"]]
        again = read_points(points, each["problems"], each["clusters"])
        assert [row | {"per_problem": p["per_problem"]} for row, p in zip(again, each["points"], strict=True)] == [
            {name: row[name] for name in row} for row in each["points"]
        ]


def test_greedy_is_what_eval_measures(desk: Path, measured: dict[str, Any]) -> None:
    alone = wh.evaluate(str(desk / "tiny"), "digits", level=1, n=12)
    assert alone["accuracy"] == measured["measurements"][0]["points"][0]["accuracy"]
    assert alone["key"] == measured["key"]


def test_the_page_stands_by_itself(desk: Path, measured: dict[str, Any]) -> None:
    page = (desk / "both" / "scale.html").read_text()
    parsed = assert_self_contained(page)
    assert render(saved(desk / "both")) == page, "made of what the file holds"
    for words in (
        "Train or think longer?",
        "Accuracy against tokens",
        "Accuracy against USD",
        "consistency-3",
        "a bill",
    ):
        assert words in parsed.words, words


@pytest.mark.slow
def test_the_page_opens_in_a_browser(desk: Path, measured: dict[str, Any]) -> None:
    with browser() as running:
        assert_opens(running, desk / "both" / "scale.html")


def test_it_goes_on_with_what_was_drawn(desk: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def drawn() -> int:
        file = SampleFile(out / "samples.sqlite")
        try:
            return len(file)
        finally:
            file.close()

    tasks = "digits@1"
    small = scaled(desk, out, [desk / "tiny"], tasks=tasks, methods="greedy,consistency", budgets=[2])
    assert drawn() == 12 * (1 + 2)
    larger = scaled(desk, out, [desk / "tiny"], tasks=tasks, methods="greedy,consistency", budgets=[2, 4])
    assert drawn() == 12 * (1 + 4), "two more of each"
    assert larger["measurements"][0]["points"][0] == small["measurements"][0]["points"][0], "greedy, its seconds too"
    more = scaled(desk, out, [desk / "tiny"], tasks=tasks, methods="greedy,consistency", budgets=[2, 4], n=14)
    assert drawn() == 14 * 5 and more["n"] == 14
    again = scaled(desk, out, [desk / "tiny"], tasks=tasks, methods="greedy,consistency", budgets=[2, 4], n=14)
    timeless = ("created", "command", "measurements")
    assert {k: v for k, v in again.items() if k not in timeless} == {k: v for k, v in more.items() if k not in timeless}
    assert [each["points"] for each in again["measurements"]] == [each["points"] for each in more["measurements"]]


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"seed": 5}, r"of other seed \(0; asked: 5\)"),
        ({"tasks": "addition@2"}, r"of other tasks and levels \(digits .* level 1, digits"),
        ({"temperatures": [0.5]}, r"of other temperature \(\[0.7, 0.7\]; asked: \[0.5, 0.5\]\)"),
        ({"style": "plain"}, "of other prompt style"),
    ],
)
def test_a_folder_of_another_measurement_is_refused(
    desk: Path, measured: dict[str, Any], changed: dict[str, Any], complaint: str
) -> None:
    before = (desk / "both" / "scale.json").read_bytes()
    with pytest.raises(wh.UsageError, match=complaint):
        scaled(desk, desk / "both", [desk / "tiny", desk / "run"], **changed)
    with pytest.raises(wh.UsageError, match=r"of other models"):
        scaled(desk, desk / "both", [desk / "tiny"])
    assert (desk / "both" / "scale.json").read_bytes() == before


def test_a_folder_of_somebody_else_or_in_use_is_refused(desk: Path, tmp_path: Path) -> None:
    from whetstone.runs.lock import locked

    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(wh.UsageError, match="not empty"):
        scaled(desk, tmp_path, [desk / "tiny"])
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"), pytest.raises(wh.UsageError, match="is in use by process"):
        scaled(desk, tmp_path / "out", [desk / "tiny"])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"methods": "vote"}, "unknown method 'vote'"),
        ({"budgets": "0"}, "--budgets"),
        ({"n": 1}, "--n must be at least 2"),
        ({"want": 80}, "--want is an accuracy"),
        ({"tasks": "additoin"}, "unknown task 'additoin'; did you mean addition"),
        ({"tasks": "addition@77"}, "no level 77"),
        ({"tasks": ["addition", "addition@2"]}, "named twice at level 2"),
        ({"temperatures": [0.0]}, "--temperature is a number"),
        ({"temperatures": [0.5, 0.6, 0.7]}, "given 3 times for 1 models"),
        ({"prices": Path("nowhere.toml")}, "nowhere.toml cannot be read"),
        ({"trained": ["nowhere"]}, "not the directory of a run"),
        ({"methods": "best:by=oracle"}, "there is no such verifier"),
        ({"methods": "best:by=head"}, "there is no such verifier"),
        ({"methods": "consistency", "verifier": Path("nowhere")}, "there is no verifier in nowhere"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_drawn(
    desk: Path, tmp_path: Path, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(wh.UsageError, match=complaint):
        scaled(desk, tmp_path / "out", [desk / "tiny"], **options)
    assert not (tmp_path / "out" / "scale.json").exists()


def test_a_run_of_another_base_is_refused(desk: Path, tmp_path: Path) -> None:
    tiny_folder(tmp_path / "other", seed=9)
    with pytest.raises(wh.UsageError, match="was trained from m, which is none of the models here"):
        scaled(desk, tmp_path / "out", [tmp_path / "other"], trained=[desk / "run"])
    with pytest.raises(wh.UsageError, match="named twice"):
        scaled(desk, tmp_path / "out", [desk / "tiny", desk / "tiny"])


def test_no_curve_needs_more_than_its_largest_point(desk: Path, measured: dict[str, Any]) -> None:
    """A vote of three costs three samples, whatever else was drawn."""
    rows = {row["name"]: row for row in saved(desk / "both")["measurements"][0]["points"]}
    one, three = (rows[f"consistency-{k}"]["per_problem"] for k in (1, 3))
    np.testing.assert_allclose(three["written_tokens"], 3 * np.array(one["written_tokens"]), rtol=1e-4)
    assert three["prompt_tokens"] == one["prompt_tokens"] and set(three["completions"]) == {3.0}


def test_every_method_appears_and_verifiers_choose_where_they_may(desk: Path, tmp_path: Path) -> None:
    """All that is registered, with nothing named; a check that knows the answer is none of them."""
    result = scaled(desk, tmp_path / "out", [desk / "tiny"], tasks="digits@1", methods=None, budgets="1,2", n=4)
    (each,) = result["measurements"]
    methods = {point["method"].split(":")[0] for point in each["points"] if point["kind"] == "method"}
    out = {left["method"].split("-")[0].split(":")[0] for left in each["left_out"]}
    assert methods | out == set(METHODS_OF) and {"greedy", "consistency", "best", "weighted", "agree"} <= methods
    verifiers = {point["method"] for point in each["points"] if point["method"].startswith("best:")}
    assert {"best:by=certainty", "best:by=likelihood"} <= verifiers and "best:by=check" not in verifiers


def test_thresholds_are_chosen_on_other_questions(desk: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scaled(desk, out, [desk / "tiny"], tasks="digits@1", methods="consistency,allocate,confident", budgets="2", n=6)
    (each,) = saved(out)["measurements"]
    told = {row["method"]: row for row in each["calibrations"]}
    assert set(told) == {"allocate", "confident"} and all(
        "kept for" in row["says"] or "questions" in row["says"] for row in told.values()
    )
    names = {row["method"]: row["name"] for row in each["points"]}
    assert names["allocate"].startswith("allocate-2:") and names["allocate"] == told["allocate"]["name"]
    # by its full name it is the same again, without a calibration
    again = scaled(desk, out, [desk / "tiny"], tasks="digits@1", methods=names["allocate"], budgets="2", n=6)
    (fixed,) = again["measurements"]
    assert fixed["calibrations"] == []
    by_name = {row["name"]: row["accuracy"] for row in each["points"]}
    assert fixed["points"][0]["accuracy"] == by_name[names["allocate"]]


def test_a_kept_question_is_none_that_is_measured() -> None:
    from whetstone.evals.evaluate import asked_of
    from whetstone.evals.scaling.thresholds import kept_questions
    from whetstone.tasks.registry import load_task

    asked = asked_of(load_task("addition"), 2, 50, "only", 0)
    measured_here = {problem.question for problem in asked.problems}
    kept = kept_questions(asked, 60)
    assert len(kept) == 60
    assert not any(question in each.prompts[0][-1]["content"] for each in kept for question in measured_here)


def test_no_question_is_kept_that_shares_its_luck_with_one_that_is_measured(tmp_path: Path) -> None:
    """Three questions to a document: whoever knows the document knows all three."""
    from whetstone.evals.evaluate import asked_of
    from whetstone.evals.scaling.thresholds import kept_questions
    from whetstone.tasks.files.shapes import Item
    from whetstone.tasks.files.task import QuestionFile
    from whetstone.tasks.registry import load_task
    from whetstone.tasks.task import Problem

    class Documents(QuestionFile):
        def _problem(self, number: int, item: Item) -> Problem:
            return replace(super()._problem(number, item), cluster=f"document {(number - 1) // 3}")

    rows = [{"question": f"What is item {i}?", "answer": str(i)} for i in range(90)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = load_task(str(tmp_path / "q.jsonl"))
    assert isinstance(plain, QuestionFile)
    asked = asked_of(Documents(plain.path, plain.columns), None, 10, "only", 0)
    texts = {problem.question: problem.cluster for problem in asked.task.draw(90, asked.key).problems}  # type: ignore[attr-defined]
    measured_here = {problem.cluster for problem in asked.problems}
    assert len(measured_here) > 5
    for count in (20, 90):
        kept = [each.prompts[0][-1]["content"] for each in kept_questions(asked, count)]
        clusters = [next(texts[q] for q in texts if q in content) for content in kept]
        assert not set(clusters) & measured_here
        assert len(kept) == min(count, 90 - 3 * len(measured_here)), "as many as there are"


@pytest.mark.parametrize("changed", [{"device": "cuda"}, {"backend": "vllm"}])
def test_another_engines_samples_are_not_mixed_in(
    desk: Path, measured: dict[str, Any], changed: dict[str, Any]
) -> None:
    """The same weights and seeds draw other samples there."""
    with pytest.raises(wh.UsageError, match=r"of other engine or device \(local, cpu"):
        scaled(desk, desk / "both", [desk / "tiny", desk / "run"], **changed)


def test_a_folder_that_does_not_say_which_engine_drew_is_refused(
    desk: Path, measured: dict[str, Any], tmp_path: Path
) -> None:
    from whetstone.evals.scaling.folder import opened

    known = json.loads((desk / "both" / "plan.json").read_text())
    del known["engines"], known["kind"]
    (tmp_path / "plan.json").write_text(json.dumps(known))
    holding = opened(tmp_path, known | {"engines": ["local, cpu"]})
    with pytest.raises(wh.UsageError, match=r"other engine or device \(not recorded; asked"), holding:
        pass


def test_a_learned_verifier_chooses_and_says_what_it_cost(desk: Path, tmp_path: Path) -> None:
    from whetstone.engine.backends import local
    from whetstone.engine.samples import Pool
    from whetstone.evals.verifier_quality import make_verifier
    from whetstone.models.loading import load
    from whetstone.runs.progress import Progress

    loaded = load(str(desk / "tiny"))
    backend = local(loaded)
    pool, task = Pool(backend.sampler, "tiny"), Digits()
    make_verifier(loaded, backend, pool, task, 1, b"k" * 32, tmp_path / "head", Progress(), problems=24, samples=4)
    options: dict[str, Any] = {"tasks": "digits@1", "verifier": tmp_path / "head", "budgets": "1,2", "n": 6}
    result = scaled(desk, tmp_path / "out", [desk / "tiny"], methods="best:by=head,consistency", **options)
    (each,) = result["measurements"]
    point = each["points"][1]
    assert point["name"] == "best-2:by=head" and point["costs"]["verifier_tokens"]["mean"] > 0
    assert point["versus_shuffled"]["rival"] == "best-2:by=head, scores shuffled"
    made = each["verifier"]
    assert made["problems"] == 24 and made["flops"] > 0 and made["tokens"] > 24 and made["words"]
    # it belongs to these weights; another model goes without it, or is refused where it stands alone
    with pytest.raises(wh.UsageError, match="make one for this model"):
        scaled(desk, tmp_path / "other", [desk / "run"], methods="best:by=head", **options)
    both = scaled(desk, tmp_path / "both", [desk / "tiny", desk / "run"], methods=None, **options | {"n": 3})
    assert [each["verifier"] is None for each in both["measurements"]] == [False, True]


def test_a_verifier_is_made_for_each_model_and_place_and_found_again(
    desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from whetstone.evals import verifier_quality
    from whetstone.evals.scaling import tools

    made: list[Path] = []

    def small(*arguments: Any, **options: Any) -> Any:
        made.append(arguments[6])
        return verifier_quality.make_verifier(*arguments, **options, problems=24, samples=4)

    monkeypatch.setattr(tools, "make_verifier", small)
    options: dict[str, Any] = {"methods": "best:by=head,greedy", "verifier": "new", "budgets": "1,2", "n": 6}
    first = scaled(desk, tmp_path / "out", [desk / "tiny"], tasks="digits@1", **options)
    (each,) = first["measurements"]
    assert [path.parent for path in made] == [tmp_path / "out" / "verifiers"]
    assert {point["name"] for point in each["points"]} >= {"best-2:by=head", "greedy"}
    assert each["verifier"]["problems"] == 24 and (made[0] / "head.json").is_file()
    again = scaled(desk, tmp_path / "out", [desk / "tiny"], tasks="digits@1", **options)
    assert len(made) == 1, "kept in the folder"
    assert [point["accuracy"] for point in again["measurements"][0]["points"]] == [
        point["accuracy"] for point in each["points"]
    ]


def test_an_endpoint_without_log_probabilities_is_measured_by_what_it_can_do(tmp_path: Path) -> None:
    with loopback(strict=("logprobs", "top_logprobs")) as server:
        source = Source(server.address, NAME)
        told = wh.scale(source, "digits", out=tmp_path / "out", n=3, budgets="2")
        [measured] = told["measurements"]
        assert {"greedy", "consistency", "revise"} <= {row["method"] for row in measured["points"]}
        [why] = [each["why"] for each in measured["left_out"] if each["method"] == "confident"]
        assert "log-probabilities" in why
        with pytest.raises(UsageError, match="log-probabilities"):
            wh.scale(source, "digits", out=tmp_path / "named", n=3, budgets="2", methods="confident-2:threshold=0.9")
