"""The files of EleutherAI's lm-evaluation-harness: MODEL/results_DATE.json and MODEL/samples_TASK_DATE.jsonl.

Names and types follow the harness' own declaration (lm_eval/result_schema.py, August 2026). Fields about its own
environment (versions, timing) are optional there and left out: what did not happen is not claimed. A task is
`multiple_choice` (metrics acc, acc_norm) or `generate_until` (exact_match, judged by us; and no_answer).
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import statistics
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from whetstone.files import atomic_write_json, atomic_write_text
from whetstone.tasks.task import Verdict

Rows = Sequence[Mapping[str, Any]]
FILTER = "none"


def write_lm_eval(result: Mapping[str, Any], rows: Rows, folder: Path, now: datetime.datetime) -> list[Path]:
    """See `export`. The files lie in `folder`/MODEL, as the harness puts them."""
    samples = [_choice_sample(i, row) for i, row in enumerate(rows)] if "choices" in rows[0] else _written(rows, result)
    task, model, date = str(result["task"]), str(result["model"]), now.isoformat().replace(":", "-")
    home = folder / _safe(model)
    aggregated = _aggregated(result, samples, task, model, now)
    results, listed = home / f"results_{date}.json", home / f"samples_{_safe(task)}_{date}.jsonl"
    atomic_write_json(results, aggregated)
    atomic_write_text(listed, "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples))
    return [results, listed]


def _safe(name: str) -> str:
    return re.sub(r"[\"<>:/|\\?*\[\]]+", "__", name)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _choice_sample(place: int, row: Mapping[str, Any]) -> dict[str, Any]:
    scores = [[str(logprob), str(greedy)] for logprob, greedy in zip(row["logprobs"], row["greedy"], strict=True)]
    metrics = {
        "acc": float(row["verdict"] == Verdict.RIGHT),
        "acc_norm": float(row["verdict_normalised"] == Verdict.RIGHT),
    }
    doc = {name: row[name] for name in ("id", "question", "choices", "gold")}
    pairs = [(row["prompt"], f" {choice}") for choice in row["choices"]]
    return _sample(place, doc, str(row["gold"]), pairs, [[score] for score in scores], scores, metrics)


def _written(rows: Rows, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One sample for each problem; several answers to it are its repeats, and its metrics are shares of them."""
    samples = []
    for place, (_, group) in enumerate(groupby(rows, key=lambda row: row["id"])):
        answers = list(group)
        first, verdicts = answers[0], [row["verdict"] for row in answers]
        metrics = {
            "exact_match": verdicts.count(Verdict.RIGHT) / len(verdicts),
            "no_answer": verdicts.count(Verdict.NO_ANSWER) / len(verdicts),
        }
        doc = {"id": first["id"], "question": first["question"], "answer": first["target"]}
        arguments = [(json.dumps(first["messages"], ensure_ascii=False), _decoding(result))]
        target = "" if first["target"] is None else str(first["target"])
        texts = [row["answer"] for row in answers]
        samples.append(_sample(place, doc, target, arguments, [texts], texts[:1], metrics))
    return samples


def _decoding(result: Mapping[str, Any]) -> dict[str, Any]:
    temperature = result.get("temperature", 0.0)
    return {"do_sample": temperature > 0, "temperature": temperature}


def _sample(
    place: int,
    doc: dict[str, Any],
    target: str,
    arguments: Sequence[tuple[Any, ...]],
    responses: Sequence[Any],
    filtered: Sequence[Any],
    metrics: Mapping[str, float],
) -> dict[str, Any]:
    return {
        "doc_id": place,
        "doc": doc,
        "target": target,
        "arguments": {
            f"gen_args_{i}": {f"arg_{j}": value for j, value in enumerate(values)} for i, values in enumerate(arguments)
        },
        "resps": responses,
        "filtered_resps": filtered,
        "filter": FILTER,
        "metrics": list(metrics),
        "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": _hash(str(arguments[0][0])),
        "target_hash": _hash(target),
        **metrics,
    }


def _aggregated(
    result: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], task: str, model: str, now: datetime.datetime
) -> dict[str, Any]:
    names, n = samples[0]["metrics"], len(samples)
    metrics: dict[str, Any] = {"name": task, "alias": task, "sample_len": n}
    for name in names:
        values = [sample[name] for sample in samples]
        metrics[f"{name},{FILTER}"] = statistics.fmean(values)
        # the harness' own: the standard error of a mean, from the sample's variance
        metrics[f"{name}_stderr,{FILTER}"] = statistics.stdev(values) / n**0.5 if n > 1 else "N/A"
    hashes = "".join(sample["doc_hash"] + sample["prompt_hash"] + sample["target_hash"] for sample in samples)
    choice = "acc" in names
    config = {
        "task": task,
        "output_type": "multiple_choice" if choice else "generate_until",
        "num_fewshot": 0,
        "repeats": 1 if choice else len(samples[0]["resps"][0]),
        "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": _higher(name)} for name in names],
        # what the harness has no field for: intervals, verdicts, seeds, where the items come from
        "metadata": {"version": result["task_version"], "whetstone": {k: v for k, v in result.items() if k != "rows"}},
    }
    return {
        "results": {task: metrics},
        "group_subtasks": {task: []},
        "configs": {task: config},
        "versions": {task: result["task_version"]},
        "n-shot": {task: 0},
        "higher_is_better": {task: {name: _higher(name) for name in names}},
        "n-samples": {task: {"original": result.get("file", {}).get("items", n), "effective": n}},
        "config": {
            "model": "whetstone",
            "model_args": {"pretrained": model},
            "batch_size": None,
            "limit": n,
            "gen_kwargs": None if choice else _decoding(result),
            "random_seed": result["seed"],
        },
        "date": now.timestamp(),
        "model_source": "whetstone",
        "model_name": model,
        "model_name_sanitized": _safe(model),
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": False,
        "chat_template": None,
        "chat_template_sha": None,
        "task_hashes": {task: _hash(hashes)},
    }


def _higher(metric: str) -> bool:
    return metric != "no_answer"
