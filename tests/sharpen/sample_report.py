"""A report as the pipeline writes it, made of simulated scores: SmolLM2-135M on two-digit addition.

`python tests/sharpen/sample_report.py DIR` writes the pages that a person should look at after changing the
layout.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np

from whetstone.evals.statistics import compare, pass_at_k_curve, wilson

Row = dict[str, Any]
KS = [1, 2, 4, 8, 16]


def _scores(rng: np.random.Generator, chance: Any, n: int) -> list[int]:
    return [int(x) for x in rng.random(n) < chance]


def _accuracy(scores: list[int]) -> dict[str, float | int]:
    return wilson(sum(scores), len(scores)).to_dict()


def _difference(before: list[int], after: list[int]) -> Row:
    full = compare(before, after)
    return {key: full[key] for key in ("mean", "low", "high", "n", "p", "minimum_detectable")}


def _tried(right: int, truncated: float) -> Row:
    return {"greedy": wilson(right, 48).to_dict(), "truncated": truncated, "tokens_per_answer": 20.0}


def _temperatures(pool: float, voted: float, counts: list[tuple[int, int, int]]) -> Row:
    names = ("sampled", "pass_at_k", "vote")
    tried = {
        temperature: {name: wilson(right, 48).to_dict() for name, right in zip(names, each, strict=True)}
        for temperature, each in zip(("0.4", "0.7", "1"), counts, strict=True)
    }
    return {"samples": 4, "problems": 48, "tried": tried, "pool": pool, "vote": voted}


def sample_report() -> Row:
    """Everything measured; the twin ran 6 of 20 steps and did not move; pass@16 of the two is about level."""
    rng = np.random.default_rng(20260730)
    ease = rng.beta(0.6, 1.6, 500)
    scores = {
        "before": _scores(rng, ease, 500),
        "after": _scores(rng, 0.35 + 0.62 * ease**0.4, 500),
        "prompt": _scores(rng, ease * 1.05, 500),
        "shots": _scores(rng, ease * 0.55, 500),
        "votes": _scores(rng, ease * 0.8, 500),
    }
    scores["majority"] = [int(i % 83 == 0) for i in range(500)]
    scores["twin"] = [s if rng.random() > 0.03 else 1 - s for s in scores["before"]]
    hard = {"before": _scores(rng, 0.05, 200), "after": _scores(rng, 0.14, 200)}
    tries = rng.beta(0.35, 3.0, 64)
    drawn = {
        "base": [(16, int(c)) for c in rng.binomial(16, tries)],
        "sharpened": [(16, int(c)) for c in rng.binomial(16, 0.95 * tries**0.5)],
    }
    return {
        "title": "Sharpening SmolLM2-135M-Instruct on addition",
        "created": "2026-07-30T18:04:12+00:00",
        "command": "whet sharpen --model smollm2-135m --task addition --level 2 --steps 20 --out runs/a",
        "model": {
            "name": "SmolLM2-135M-Instruct",
            "parameters": 134_515_008,
            "sha256": "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",
        },
        "task": {
            "name": "addition",
            "level": 2,
            "version": "9f1c02ab77de",
            "instruction": "Reply with the number only.",
            "example": "What is 28 + 21? Reply with the number only.",
        },
        "method": "full",
        "steps": 20,
        "seconds": {
            "total": 781.2,
            "before": 96.4,
            "train": 402.9,
            "after": 71.8,
            "twin": 118.0,
            "harder": 31.7,
        },
        "before": {
            "greedy": _accuracy(scores["before"]),
            "sampled": wilson(46, 2000).to_dict(),
            "temperature": 0.4,
            "verdicts": {"right": 612, "wrong": 1104, "no_answer": 283, "error": 0, "timeout": 1},
            "tokens_per_answer": 8.7,
            "truncated": 0.081,
        },
        "after": {
            "greedy": _accuracy(scores["after"]),
            "sampled": wilson(1320, 2000).to_dict(),
            "temperature": 0.7,
            "verdicts": {"right": 1422, "wrong": 566, "no_answer": 12, "error": 0, "timeout": 0},
            "tokens_per_answer": 3.2,
            "truncated": 0.002,
        },
        "baselines": {
            "best_prompt": {
                "style": "steps",
                "greedy": _accuracy(scores["prompt"]),
                "truncated": 0.04,
                "tried": {
                    "only": _tried(24, 0.21),
                    "plain": _tried(19, 0.07),
                    "answer": _tried(17, 0.02),
                    "steps": _tried(29, 0.04),
                },
            },
            "few_shot": {
                "format": "worked",
                "shots": 8,
                "style": "plain",
                "greedy": _accuracy(scores["shots"]),
                "truncated": 0.0,
                "tried": [
                    {"format": form, "shots": shots, "style": "plain", **_tried(right, 0.0)}
                    for form, shots, right in (("bare", 4, 6), ("bare", 8, 10), ("worked", 4, 12), ("worked", 8, 14))
                ],
            },
            "self_consistency": {
                "k": 8,
                "temperature": 0.4,
                "accuracy": _accuracy(scores["votes"]),
                "tokens_per_problem": 70.1,
            },
            "majority_answer": {"text": "110", "accuracy": _accuracy(scores["majority"])},
            "empty": {"accuracy": wilson(0, 500).to_dict()},
        },
        "controls": {
            "random_reward": {
                "steps": 6,
                "greedy": _accuracy(scores["twin"]),
                "difference": _difference(scores["before"], scores["twin"]),
            }
        },
        "harder": {
            "level": 3,
            "before": _accuracy(hard["before"]),
            "after": _accuracy(hard["after"]),
            "difference": _difference(hard["before"], hard["after"]),
        },
        "pass_at_k": {
            "temperature": {"base": 0.4, "sharpened": 0.7},
            "temperatures": {
                "base": _temperatures(0.4, 0.4, [(9, 17, 11), (4, 14, 8), (2, 5, 2)]),
                "sharpened": _temperatures(0.7, 0.4, [(36, 38, 37), (35, 42, 37), (30, 41, 36)]),
            },
            "samples": 16,
            "problems": 64,
            **{name: pass_at_k_curve(counts, KS) for name, counts in drawn.items()},
        },
        "overlap": {"trained_on": 318, "evaluated_on": 500, "shared": 0},
        "statistics": {
            "difference": _difference(scores["before"], scores["after"]),
            "versus_best_prompt": _difference(scores["prompt"], scores["after"]),
            "versus_few_shot": _difference(scores["shots"], scores["after"]),
            "versus_self_consistency": _difference(scores["votes"], scores["after"]),
            "versus_majority_answer": _difference(scores["majority"], scores["after"]),
            "seed": 0,
            "seed_shared": True,
            "seed_note": "these are the problems of every run with seed 0, the default; another --seed draws others",
            "looks": 1,
            "training_seeds": 1,
        },
        "speed": {
            "seconds_per_step": 20.1,
            "tokens_per_second_generate": 212.0,
            "tokens_per_second_train": 410.5,
            "share": {"generate": 0.44, "train": 0.53, "other": 0.03},
        },
        "cost": {"core_seconds": 1562.4, "generated_tokens": 84_112, "trained_tokens": 29_870},
        "samples": _samples(),
        "hardware": "2 cores, x86-64 with AVX-512, 8 GB, no GPU",
        "versions": {"whetstone": "0.1.0", "torch": "2.13.0+cpu", "python": "3.11.7"},
    }


def _samples() -> list[Row]:
    ramble = "To add 47 and 36, we first add the tens: 40 + 30 = 70.\nThen we add the ones:  7 + 6 = 13.\n\n" * 6
    texts = [
        ("28 + 21", "49", "right", "49", "right"),
        ("47 + 36", ramble, "no_answer", "83", "right"),
        ("95 + 18", "28", "wrong", "113", "right"),
        ("60 + 77", " 137.\n", "right", "137", "right"),
        ("83 + 59", "83 + 59 = 132", "wrong", "142", "right"),
        ("14 + 88", "The answer is 92\tor 102.", "no_answer", "102", "right"),
        ("39 + 39", "\n\n78", "right", "78", "right"),
        ("52 + 67", "", "no_answer", "129", "wrong"),
        ("76 + 45", "111", "wrong", "111", "wrong"),
        ("91 + 29", "120", "right", "110", "wrong"),
    ]
    return [
        {
            "question": f"What is {sum_}? Reply with the number only.",
            "level": 2,
            "before": {"text": before, "verdict": verdict_before},
            "after": {"text": after, "verdict": verdict_after},
        }
        for sum_, before, verdict_before, after, verdict_after in texts
    ]


def sample_metrics(steps: int = 20, rise: float = 0.62, seed: int = 1) -> list[Row]:
    """One row per training step; `rise` is what accuracy gains in all (0 for a twin)."""
    rng = np.random.default_rng(seed)
    rows = []
    for step in range(steps):
        done = 1 - np.exp(-3.0 * step / max(1, steps - 1))
        accuracy = float(np.clip(0.04 + rise * done + rng.normal(0, 0.03), 0, 1))
        right = round(128 * accuracy)
        no_answer = round((128 - right) * 0.3 * (1 - done * (rise > 0)))
        rows.append(
            {
                "step": step,
                "reward": accuracy if rise else float(rng.normal(0.5, 0.04)),
                "accuracy": accuracy,
                "verdicts": {
                    "right": right,
                    "wrong": 128 - right - no_answer,
                    "no_answer": no_answer,
                    "error": 0,
                    "timeout": 0,
                },
                "groups": 16,
                "groups_with_signal": int(rng.integers(10, 16)),
                "all_right": int(4 * done * (rise > 0)),
                "all_wrong": int(rng.integers(0, 4)),
                "entropy": float(0.1 + 1.5 * np.exp(-step / 8) + rng.normal(0, 0.03)),
                "tokens_right": None if step == 0 else float(3.0 + 1.5 * (1 - done) + rng.normal(0, 0.1)),
                "tokens_wrong": float(3.5 + 6.0 * (1 - done) + rng.normal(0, 0.3)),
                "truncated": float(0.1 * (1 - done)),
                "ratio_mean": 1.0,
                "mismatch_kl": float(abs(rng.normal(2e-4, 1e-4))),
                "masked": 0.0,
                "grad_norm": float(abs(rng.normal(1.2, 0.3))),
                "learning_rate": 1e-5,
                "response_tokens": 640,
                "oversampled": 0,
            }
        )
    return rows


def sample_twin(steps: int = 6) -> list[Row]:
    """The random-reward twin's rows: its accuracy stays where it was."""
    return sample_metrics(steps, rise=0.0, seed=2)


def bare_report() -> Row:
    """The same run with every optional part absent or null."""
    report = sample_report()
    report["controls"] = {"random_reward": None}
    report["harder"] = None
    for part in (
        "baselines",
        "pass_at_k",
        "overlap",
        "speed",
        "cost",
        "samples",
        "hardware",
        "versions",
        "seconds",
    ):
        del report[part]
    report["statistics"] = {"difference": report["statistics"]["difference"]}
    return report


def hostile_report() -> Row:
    """Model text and names that try to break out of the page, plus one answer of a million characters."""
    report = copy.deepcopy(sample_report())
    attacks = [
        "</script><img src=http://evil.example/x.png onerror=alert(1)>",
        "</pre></td></table><style>@import url(http://evil.example/a.css);</style>",
        '"><svg/onload=alert(1)><a href="javascript:alert(1)">x</a>',
        "\x1b[2J\x1b[31mred\x1b]8;;http://evil.example\x07link\x00\x07\x9b",
        "{{ 7 * 7 }}{% for x in y %}<!-- ]]> -->&lt;b&gt;",
        "bidi \u202e\u2066 reversed \u200b\ufeff hidden \ud800 half \U000e0041 tag",
        "x" * 1_000_000,
        " \t \n" * 3000,
        "42$\\frac{1}{0}$ _^{",
        "$$" + "\u0301" * 300,
    ]
    for sample, attack in zip(report["samples"], attacks, strict=True):
        sample["question"] = attack[:200]
        sample["before"]["text"] = attack
        sample["after"] = {"text": attack, "verdict": "</span><b>made up"}
    report["title"] = report["model"]["name"] = report["task"]["name"] = "<b>$x_1$</b>\x1b[0m"
    report["command"] = "whet sharpen --task '</pre><script>alert(1)</script>'"
    report["baselines"]["best_prompt"]["style"] = "$\\frac{</text><script>alert(1)</script>"
    report["baselines"]["majority_answer"]["text"] = "</text></svg><script>alert(1)</script>\x1b"
    report["hardware"] = "<img src=//evil.example/y.png>"
    report["versions"] = {"<script>": "</td><script>alert(1)</script>"}
    return report


def moved_report() -> Row:
    """A sceptic's case: the twin improved, a prompt does as well, the base overtakes, problems leaked."""
    report = sample_report()
    after = report["after"]["greedy"]
    drift = {"mean": 0.11, "low": 0.07, "high": 0.15, "n": 500, "p": 1e-6}
    report["controls"]["random_reward"] = {
        "steps": 20,
        "greedy": {"mean": 0.38, "low": 0.34, "high": 0.42, "n": 500},
        "difference": drift,
    }
    report["statistics"]["versus_best_prompt"] = {
        "mean": 0.01,
        "low": -0.03,
        "high": 0.05,
        "n": 500,
        "p": 0.7,
    }
    report["baselines"]["best_prompt"]["greedy"] = {**after, "mean": after["mean"] - 0.01}
    report["pass_at_k"]["base"] = [
        {"k": k, "mean": m, "low": m - 0.05, "high": min(1.0, m + 0.04), "n": 200}
        for k, m in zip(KS, [0.1, 0.3, 0.6, 0.82, 0.95], strict=True)
    ]
    report["pass_at_k"]["sharpened"] = [
        {"k": k, "mean": m, "low": m - 0.05, "high": m + 0.05, "n": 200}
        for k, m in zip(KS, [0.68, 0.71, 0.74, 0.76, 0.78], strict=True)
    ]
    report["overlap"]["shared"] = 7
    report["after"]["truncated"] = 0.22
    return report


if __name__ == "__main__":
    from whetstone.sharpen.html import render

    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    reports = {
        "full": sample_report(),
        "bare": bare_report(),
        "hostile": hostile_report(),
        "moved": moved_report(),
    }
    for name, report in reports.items():
        has_rows = name != "bare"
        page = render(report, sample_metrics() if has_rows else [], sample_twin() if has_rows else [])
        (out / f"{name}.html").write_text(page, encoding="utf-8")
