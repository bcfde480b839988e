"""report.html: one self-contained page made from report.json's dict and the rows of metrics.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from whetstone.evals.page.frame import Facts, answer, clipped, figure, fill
from whetstone.evals.page.numbers import accuracy, look, percent, signed, tied, verdict_shares
from whetstone.sharpen import plots
from whetstone.sharpen.comparisons import direction
from whetstone.sharpen.verdict import Finding, findings

Row = Mapping[str, Any]


def render(report: Row, metrics: Sequence[Row], twin: Sequence[Row]) -> str:
    """The page as text, UTF-8 safe. Equal arguments give equal bytes.

    report: report.json's dict; any part may be absent or None and is then said not to have been measured.
    metrics, twin: rows of metrics.jsonl of the run and of its random-reward twin, in order; may be empty.
    """
    return fill(
        "sharpen/page.html.j2",
        "sharpen/page.css",
        title=look(report, "title") or "Sharpening report",
        created=look(report, "created"),
        command=look(report, "command"),
        lines=_lines(report),
        hero=_hero(report),
        chips=_chips(report),
        figures=_figures(report, metrics, twin),
        samples=[_sample(sample) for sample in look(report, "samples") or []],
        overlap=_overlap(report),
        prompts=_prompts(report),
        shots=_shots(report),
        temperatures=_temperatures(report),
        speed=_speed(report),
        cost=_cost(report),
        provenance=_provenance(report),
    )


def _sample(sample: Row) -> dict[str, Any]:
    return {
        "question": clipped(look(sample, "question")),
        **{when: answer(look(sample, f"{when}.text"), look(sample, f"{when}.verdict")) for when in ("before", "after")},
    }


# -- the parts of the page -----------------------------------------------------------------------------------


def _lines(report: Row) -> list[Finding]:
    """The report's own sentences where it has them, marked where they are ours; else ours."""
    ours = findings(report)
    kinds = {finding.text: finding.kind for finding in ours}
    written = [str(text) for text in look(report, "verdict") or kinds]
    return [Finding(kinds.get(text, "open"), tied(text)) for text in written]


def _hero(report: Row) -> dict[str, Any]:
    difference = look(report, "statistics.difference")
    scores = {when: look(report, f"{when}.greedy") for when in ("before", "after")}
    if not difference or not all(scores.values()):
        return {"direction": "unclear", "change": None}
    way = direction(difference)
    marks = [
        {
            "when": when,
            "at": f"{100 * score['mean']:.2f}",
            "low": f"{100 * score['low']:.2f}",
            "width": f"{100 * (score['high'] - score['low']):.2f}",
        }
        for when, score in scores.items()
    ]
    return {
        # against it speaks, say, a prompt that does as well: then the colour of success would mislead
        "direction": "mixed" if way == "up" and any(line.kind == "bad" for line in findings(report)) else way,
        "before": percent(scores["before"]["mean"]),
        "after": percent(scores["after"]["mean"]),
        "change": signed(difference["mean"]),
        "interval": f"{signed(difference['low'])} to {signed(difference['high'])}",
        "n": difference["n"],
        "marks": marks,
    }


def _chips(report: Row) -> list[str]:
    method = {"full": "full fine-tuning", "lora": "LoRA"}.get(str(look(report, "method")), look(report, "method"))
    steps, total = look(report, "steps"), look(report, "seconds.total")
    chips = [
        look(report, "model.name"),
        _if(look(report, "model.parameters"), lambda n: f"{n / 1e6:,.1f} M parameters"),
        _if(look(report, "task.name"), lambda name: f"{name}, level {look(report, 'task.level')}"),
        _if(look(report, "task.example"), lambda example: f"“{str(example)[:120]}”"),
        _if(steps, lambda n: f"{n} steps, {method}" if method else f"{n} steps"),
        _if(total, lambda seconds: f"{_duration(seconds)} in all"),
        look(report, "hardware"),
    ]
    return [str(chip) for chip in chips if chip]


def _figures(report: Row, metrics: Sequence[Row], twin: Sequence[Row]) -> list[dict[str, Any]]:
    twin_words = "" if twin else " No random-reward twin was trained, so its curve was not measured."
    ends = "The points with bars at both ends are greedy answers to evaluation problems, with 95 % intervals."
    parts = [
        ("learning", "Learning curve", plots.learning_curve(report, metrics, twin),
         f"Share of sampled training answers that are right, at each step. {ends}{twin_words}",
         "No training steps were recorded, so there is no learning curve."),
        ("passk", "pass@k: amplified or new?", plots.pass_at_k(report),
         _pass_caption(report), "pass@k was not measured."),
        ("baselines", "Against doing without training", plots.baselines(report),
         "Every score of this run, best first. Bars: 95 % intervals." + _votes(report),
         "No baselines were measured."),
        ("harder", "One level harder", plots.harder(report),
         _harder_caption(report), "One level harder was not measured."),
        ("verdicts", "What the answers were", plots.verdict_mix(report),
         _mix_caption(report), "The mix of verdicts was not recorded."),
        ("lengths", "Length of answers", plots.answer_lengths(metrics),
         _length_caption(report), "Answer lengths were not recorded."),
        ("internals", "Inside the training", plots.internals(metrics),
         "A healthy run keeps some entropy, has groups with both right and wrong answers to learn from, "
         "a calm gradient, and a trainer that agrees with its sampler.",
         "The training's own measurements were not recorded."),
    ]  # fmt: skip
    shown: dict[str, dict[str, Any]] = {
        "internals": {"wide": True, "panels": True},
        "passk": {"table": _pass_table(report)},
    }
    return [figure(*part, **shown.get(part[0], {})) for part in parts]


def _pass_caption(report: Row) -> str:
    part = look(report, "pass_at_k") or {}
    counts = f"{part.get('problems')} problems, {part.get('samples')} samples each"
    warmth = " and ".join(f"{value:g} ({name})" for name, value in (part.get("temperature") or {}).items())
    best = f"each model at the temperature that suits it: {warmth}" if warmth else "at an unknown temperature"
    return f"Chance that one of k samples is right; {counts}, {best}. Bands: 95 %."


def _votes(report: Row) -> str:
    vote = look(report, "baselines.self_consistency.tokens_per_problem")
    own = look(report, "after.tokens_per_answer")
    if not vote or not own:
        return ""
    return f" A vote costs {vote:.0f} tokens per problem, a sharpened answer {own:.1f}."


def _harder_caption(report: Row) -> str:
    n = look(report, "harder.before.n")
    return f"Greedy answers at the trained level and, {n} problems, one level above it. Bars: 95 % intervals."


def _mix_caption(report: Row) -> str:
    mixes = [verdict_shares(look(report, when)) for when in ("before", "after")]
    read = [percent(mix["right"] + mix["wrong"]) if mix else "an unknown share" for mix in mixes]
    return f"Exactly one answer could be read out of {read[0]} of the texts before and {read[1]} after."


def _length_caption(report: Row) -> str:
    cut = [percent(look(report, f"{when}.truncated")) for when in ("before", "after")]
    limit = f"Cut off at the token limit in the evaluation: {cut[0]} of answers before, {cut[1]} after."
    return f"Mean tokens of training answers at each step. {limit}"


def _pass_table(report: Row) -> list[list[str]]:
    curves = [{p["k"]: p for p in look(report, f"pass_at_k.{name}") or []} for name in ("base", "sharpened")]
    rows = [["k", "base", "sharpened"]]
    for k in sorted(curves[0].keys() | curves[1].keys()):
        cells = (curve.get(k) for curve in curves)
        rows.append([str(k), *(accuracy(cell) for cell in cells)])
    return rows


# -- tables of facts -----------------------------------------------------------------------------------------


def _overlap(report: Row) -> Facts:
    names = {
        "trained_on": "distinct problems trained on",
        "evaluated_on": "problems evaluated on",
        "shared": "in both",
    }
    return [
        (words, f"{look(report, f'overlap.{key}'):,}")
        for key, words in names.items()
        if look(report, f"overlap.{key}") is not None
    ]


def _prompts(report: Row) -> Facts:
    best = look(report, "baselines.best_prompt.style")
    tried = look(report, "baselines.best_prompt.tried") or {}
    rows = [(f"“{style}”" + (" (chosen)" if style == best else ""), _tried(one)) for style, one in tried.items()]
    majority = look(report, "baselines.majority_answer")
    if majority:
        rows.append((f"always answering “{look(majority, 'text')}”", accuracy(look(majority, "accuracy"))))
    return rows


def _shots(report: Row) -> Facts:
    best = look(report, "baselines.few_shot") or {}
    words = {"bare": "bare", "worked": "spelled-out"}
    chosen = {name: best.get(name) for name in ("format", "shots", "style")}
    return [
        (
            f"{one.get('shots')} {words.get(str(one.get('format')), str(one.get('format')))}, “{one.get('style')}”"
            + (" (chosen)" if {name: one.get(name) for name in chosen} == chosen else ""),
            _tried(one),
        )
        for one in best.get("tried") or []
    ]


def _temperatures(report: Row) -> Facts:
    """For each model and temperature: one of the samples right, and the majority of them right."""
    rows = []
    for name in ("base", "sharpened"):
        part = look(report, f"pass_at_k.temperatures.{name}") or {}
        for temperature, scores in (part.get("tried") or {}).items():
            uses = [use for use in ("pool", "vote") if f"{part.get(use):g}" == temperature]
            if name == "sharpened":  # nobody votes over its answers
                uses = [use for use in uses if use == "pool"]
            chosen = f" (chosen for the {' and the '.join(uses)})" if uses else ""
            one, several, vote = (percent(look(scores, f"{key}.mean")) for key in ("sampled", "pass_at_k", "vote"))
            label = f"{name}, T = {temperature}{chosen}"
            rows.append((label, tied(f"{one} of samples; {several} with {part.get('samples')} tries; vote {vote}")))
    return rows


def _tried(one: Any) -> str:
    """The accuracy of what was tried, and how often its answers were cut off."""
    truncated = look(one, "truncated")
    return tied(accuracy(look(one, "greedy")) + ("" if truncated is None else f", {percent(truncated, 0)} cut off"))


def _speed(report: Row) -> Facts:
    speed = look(report, "speed") or {}
    words = {
        "seconds_per_step": ("seconds per training step", "{:,.1f}"),
        "tokens_per_second_generate": ("tokens generated per second", "{:,.0f}"),
        "tokens_per_second_train": ("tokens trained per second", "{:,.0f}"),
    }
    rows = [(name, pattern.format(speed[key])) for key, (name, pattern) in words.items() if speed.get(key) is not None]
    rows += [(f"share of a step: {name}", percent(share, 0)) for name, share in (speed.get("share") or {}).items()]
    rows += [
        (f"time: {name}", _duration(value))
        for name, value in (look(report, "seconds") or {}).items()
        if value is not None
    ]
    return rows


def _cost(report: Row) -> Facts:
    words = {
        "core_seconds": "CPU core seconds",
        "gpu_seconds": "GPU seconds",
        "generated_tokens": "tokens generated",
        "trained_tokens": "tokens trained on",
    }
    cost = look(report, "cost") or {}
    return [
        (words.get(key, key.replace("_", " ")), f"{value:,.0f}") for key, value in cost.items() if value is not None
    ]


def _provenance(report: Row) -> Facts:
    rows = [
        ("model", look(report, "model.name")),
        ("weights, sha256", look(report, "model.sha256")),
        ("task", look(report, "task.name")),
        ("task version", look(report, "task.version")),
        ("instruction", look(report, "task.instruction")),
        ("looks at the evaluation problems", look(report, "statistics.looks")),
        ("seed", _if(look(report, "statistics.seed_note"), lambda note: f"{look(report, 'statistics.seed')}: {note}")),
        ("training seeds", look(report, "statistics.training_seeds")),
        (
            "random-reward twin",
            _if(look(report, "controls.random_reward.steps"), lambda n: f"{n} steps") or "not run",
        ),
        ("hardware", look(report, "hardware")),
        ("made", look(report, "created")),
    ]
    rows += list((look(report, "versions") or {}).items())
    return [(str(name), str(value)) for name, value in rows if value is not None]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _if(value: Any, words: Any) -> str | None:
    return words(value) if value else None
