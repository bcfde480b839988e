"""A log of the UK AI Security Institute's inspect_ai: one .json file, EvalLog version 2, which `inspect view` shows.

Names, types and required fields follow the harness' published schema (inspect-openapi.json, August 2026). A verdict is
its letter (C right, I wrong, N no answer; an error or a timeout of the check is I) with the word beside it.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whetstone.files import atomic_write_json
from whetstone.tasks.task import Verdict

Rows = Sequence[Mapping[str, Any]]
LETTERS = {Verdict.RIGHT: "C", Verdict.NO_ANSWER: "N"}
PACKAGE = "whetstone-lab"


def write_inspect(result: Mapping[str, Any], rows: Rows, folder: Path, now: datetime.datetime) -> list[Path]:
    """See `export`. The file is named as the harness names its own: time, task, id."""
    log = _log(result, rows, now)
    name = re.sub(r"[^A-Za-z0-9]+", "-", str(result["task"])).strip("-")
    stamp = now.isoformat(timespec="seconds").replace(":", "-")
    path = folder / f"{stamp}_{name}_{log['eval']['task_id']}.json"
    atomic_write_json(path, log)
    return [path]


def _log(result: Mapping[str, Any], rows: Rows, now: datetime.datetime) -> dict[str, Any]:
    model = f"whetstone/{result['model']}"
    choice = "choices" in rows[0]
    samples = [_choice_sample(row, model) if choice else _written_sample(row, model) for row in rows]
    return {
        "version": 2,
        "status": "success",
        "eval": _spec(result, rows, model, now),
        "plan": {
            "name": "plan",
            "steps": [{"solver": "multiple_choice" if choice else "generate", "params": {}, "params_passed": {}}],
            "config": {},
        },
        "results": {
            "total_samples": len(samples),
            "completed_samples": len(samples),
            "scores": [_score(name, samples) for name in samples[0]["scores"]],
        },
        # when it began and ended is not among what a result says
        "stats": {
            "started_at": "",
            "completed_at": "",
            "model_usage": {},
            "role_usage": {},
            "connection_limit_history": [],
        },
        "invalidated": False,
        "tags": [],
        "metadata": {},
        "samples": samples,
    }


def _spec(result: Mapping[str, Any], rows: Rows, model: str, now: datetime.datetime) -> dict[str, Any]:
    said = {name: value for name, value in result.items() if name != "rows"}
    content = json.dumps([said, [row["id"] for row in rows]], sort_keys=True)
    identity = hashlib.sha256(content.encode()).hexdigest()
    arguments = {name: said[name] for name in ("level", "style", "seed") if name in said}
    ids = list(dict.fromkeys(row["id"] for row in rows))
    return {
        "eval_id": identity[:22],
        "run_id": hashlib.sha256(f"{identity} {now.isoformat()}".encode()).hexdigest()[:22],
        "created": now.isoformat(timespec="seconds"),
        "task": result["task"],
        "task_id": identity[22:44],
        "task_version": result["task_version"],
        "task_attribs": {},
        "task_args": arguments,
        "task_args_passed": arguments,
        "dataset": {
            "name": result["task"],
            "location": said.get("file", {}).get("name"),
            "samples": len(ids),
            "sample_ids": ids,
            "shuffled": False,
        },
        "model": model,
        "model_generate_config": {"temperature": said["temperature"]} if "temperature" in said else {},
        "model_args": {},
        "config": {"epochs": len(rows) // len(ids)},
        "packages": {PACKAGE: importlib.metadata.version(PACKAGE)},
        "metadata": {"whetstone": said},
    }


def _written_sample(row: Mapping[str, Any], model: str) -> dict[str, Any]:
    asked = [dict(message) for message in row["messages"]]
    stop = "max_tokens" if row["truncated"] else "stop"
    target = "" if row["target"] is None else str(row["target"])
    facts = {"tokens": row["tokens"]}
    return _sample(row, row["sample"] + 1, asked, target, row["answer"], stop, model, facts) | {
        "scores": {"whetstone": _verdict(row["verdict"], row["answer"])}
    }


def _choice_sample(row: Mapping[str, Any], model: str) -> dict[str, Any]:
    target = chr(ord("A") + row["gold"])
    facts = {name: row[name] for name in ("logprobs", "greedy", "tokens")}
    asked = [{"role": "user", "content": row["prompt"]}]
    return _sample(row, 1, asked, target, row["answer"], "unknown", model, facts) | {
        "choices": list(row["choices"]),
        "scores": {
            "acc": _verdict(row["verdict"], row["answer"]),
            "acc_norm": _verdict(row["verdict_normalised"], row["answer_normalised"]),
        },
    }


def _sample(
    row: Mapping[str, Any],
    epoch: int,
    asked: list[dict[str, Any]],
    target: str,
    answer: str,
    stop: str,
    model: str,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    reply = {"role": "assistant", "content": answer, "source": "generate", "model": model}
    return {
        "id": row["id"],
        "epoch": epoch,
        "input": asked,
        "target": target,
        "messages": [*asked, reply],
        "output": {"model": model, "choices": [{"message": reply, "stop_reason": stop}], "completion": answer},
        "metadata": {"question": row["question"], **facts},
        "store": {},
        "events": [],
        "model_usage": {},
        "role_usage": {},
        "attachments": {},
    }


def _verdict(verdict: str, answer: str) -> dict[str, Any]:
    letter = LETTERS.get(Verdict(verdict), "I")
    return {"value": letter, "answer": answer, "explanation": verdict, "metadata": {"verdict": verdict}, "history": []}


def _score(name: str, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Accuracy over problems, and its standard error over the problems' means."""
    by_problem: dict[str, list[float]] = {}
    for sample in samples:
        by_problem.setdefault(sample["id"], []).append(float(sample["scores"][name]["value"] == "C"))
    means = [statistics.fmean(values) for values in by_problem.values()]
    error = statistics.stdev(means) / len(means) ** 0.5 if len(means) > 1 else 0.0
    values = {"accuracy": statistics.fmean(means), "stderr": error}
    return {
        "name": name,
        "scorer": name,
        "params": {},
        "scored_samples": len(samples),
        "unscored_samples": 0,
        "metrics": {metric: {"name": metric, "value": value, "params": {}} for metric, value in values.items()},
    }
