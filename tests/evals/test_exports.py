"""Exports against the written-down shapes of other harnesses, and their figures against the result they came from."""

from __future__ import annotations

import datetime
import hashlib
import json
import statistics
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.evals.schemas import INSPECT_LOG, LM_EVAL_RESULTS, LM_EVAL_SAMPLE
from tests.evals.test_choices import items_file
from tests.tiny import tiny_folder
from whetstone.errors import UsageError
from whetstone.evals.evaluate import evaluate
from whetstone.evals.exports.export import export, parsed_exports, write_rows

NOW = datetime.datetime(2026, 11, 24, 12, 0, 5, tzinfo=datetime.UTC)


def results(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Of a random model: one greedy answer, three samples, choices, letters, items of a file."""
    model, path = str(tiny_folder(tmp_path / "model")), items_file(tmp_path)
    facts = tmp_path / "facts.json"
    facts.write_text(json.dumps([{"question": f"{i}+1?", "answer": i + 1} for i in range(5)]))
    return {
        "greedy": evaluate(model, "addition", level=1, n=6, rows=True),
        "sampled": evaluate(model, "reversal", level=1, n=4, samples=3, seed=5, rows=True),
        "likelihood": evaluate(model, str(path), rows=True),
        "letter": evaluate(model, str(path), style="letter", rows=True),
        "facts": evaluate(model, str(facts), n=3, rows=True),
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return results(tmp_path_factory.mktemp("exports"))


CASES = ["greedy", "sampled", "likelihood", "letter", "facts"]


@pytest.mark.parametrize("case", CASES)
def test_lm_eval(case: str, made: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    result = made[case]
    aggregated, listed = export(result, result["rows"], "lm-eval", tmp_path, NOW)
    assert aggregated.parent == listed.parent and aggregated.parent.parent == tmp_path
    assert aggregated.name == "results_2026-11-24T12-00-05+00-00.json" and listed.suffix == ".jsonl"
    report = json.loads(aggregated.read_text())
    samples = [json.loads(line) for line in listed.read_text().splitlines()]
    jsonschema.validate(report, LM_EVAL_RESULTS)
    for sample in samples:
        jsonschema.validate(sample, LM_EVAL_SAMPLE)
    task = result["task"]
    metric = "acc" if case == "likelihood" else "exact_match"
    figures = report["results"][task]
    assert figures[f"{metric},none"] == pytest.approx(result["accuracy"]["mean"])
    values = [sample[metric] for sample in samples]
    assert figures[f"{metric}_stderr,none"] == pytest.approx(statistics.stdev(values) / len(values) ** 0.5)
    assert [sample["doc_id"] for sample in samples] == list(range(len(samples)))
    assert report["n-samples"][task]["effective"] == len(samples) == result["accuracy"]["n"]
    assert report["configs"][task]["metadata"]["whetstone"]["accuracy"] == result["accuracy"]
    assert set(samples[0]["metrics"]) <= set(samples[0])
    target = hashlib.sha256(samples[0]["target"].encode()).hexdigest()
    assert samples[0]["target_hash"] == target
    if case == "likelihood":
        assert figures["acc_norm,none"] == pytest.approx(result["accuracy_normalised"]["mean"])
        assert len(samples[0]["resps"]) == len(samples[0]["doc"]["choices"]) == len(samples[0]["arguments"])
        assert float(samples[0]["filtered_resps"][0][0]) == result["rows"][0]["logprobs"][0]
    else:
        assert len(samples[0]["resps"][0]) == (3 if case == "sampled" else 1)
        assert samples[0]["resps"][0][0] == result["rows"][0]["answer"]


@pytest.mark.parametrize("case", CASES)
def test_inspect(case: str, made: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    result = made[case]
    (path,) = export(result, result["rows"], "inspect", tmp_path, NOW)
    log = json.loads(path.read_text())
    jsonschema.validate(log, INSPECT_LOG)
    assert path.name.startswith("2026-11-24T12-00-05+00-00_") and path.name.endswith(f"_{log['eval']['task_id']}.json")
    scores = {score["name"]: score["metrics"] for score in log["results"]["scores"]}
    first = "acc" if case == "likelihood" else "whetstone"
    assert scores[first]["accuracy"]["value"] == pytest.approx(result["accuracy"]["mean"])
    assert len(log["samples"]) == len(result["rows"]) == log["results"]["total_samples"]
    assert log["eval"]["dataset"]["samples"] == result["accuracy"]["n"]
    assert log["eval"]["config"]["epochs"] == (3 if case == "sampled" else 1)
    letters = {"right": "C", "wrong": "I", "no_answer": "N"}
    for sample, row in zip(log["samples"], result["rows"], strict=True):
        assert sample["id"] == row["id"] and sample["output"]["completion"] == row["answer"]
        assert sample["scores"][first]["value"] == letters[row["verdict"]]
        assert sample["messages"][-1]["content"] == row["answer"] and sample["messages"][:-1] == sample["input"]
    pairs = {(sample["id"], sample["epoch"]) for sample in log["samples"]}
    assert len(pairs) == len(log["samples"]), "an item and its epoch name a sample"
    if case == "likelihood":
        assert scores["acc_norm"]["accuracy"]["value"] == pytest.approx(result["accuracy_normalised"]["mean"])
        assert log["samples"][0]["choices"][ord(log["samples"][0]["target"]) - ord("A")]


def test_rows_carry_all_that_was_said(made: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    rows = made["sampled"]["rows"]
    assert [row["sample"] for row in rows] == [0, 1, 2] * 4 and len({row["id"] for row in rows}) == 4
    assert set(rows[0]) == {
        "id", "sample", "question", "messages", "target", "answer", "verdict", "tokens", "truncated",
    }  # fmt: skip
    assert "rows" not in evaluate_without_rows(tmp_path)
    assert made["facts"]["rows"][0]["row"] in range(1, 6) and made["facts"]["rows"][0]["target"].isdigit()
    path = write_rows(rows, tmp_path / "deep" / "rows.jsonl")
    assert [json.loads(line) for line in path.read_text().splitlines()] == rows
    counted = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in made["sampled"]["verdicts"]}
    assert counted == made["sampled"]["verdicts"]


def evaluate_without_rows(folder: Path) -> dict[str, Any]:
    return evaluate(str(tiny_folder(folder / "model")), "addition", level=1, n=2)


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown format 'csv'; choose one of lm-eval, inspect"):
        export({}, [{}], "csv", tmp_path)
    with pytest.raises(UsageError, match="no rows to export"):
        export({}, [], "inspect", tmp_path)
    assert parsed_exports(["lm-eval=a/b", "inspect=c=d"]) == [("lm-eval", Path("a/b")), ("inspect", Path("c=d"))]
    for wrong in ("lm-eval", "lm-eval=", "csv=x"):
        with pytest.raises(UsageError, match="lm-eval, inspect"):
            parsed_exports([wrong])
