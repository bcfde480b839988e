"""`whet route` from end to end on tiny models: what is written, what goes on, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.process import whet
from tests.serving.live import byte_folder, tiny_server
from tests.tiny import tiny_model, tiny_tokenizer
from whetstone.engine.prices import PriceTable
from whetstone.engine.routing.policy import Option, Policy
from whetstone.engine.samples import SampleFile
from whetstone.errors import UsageError
from whetstone.evals.routing.controls import at, mixture
from whetstone.evals.routing.equal_tokens import votes_at_equal_cost
from whetstone.evals.routing.measuring import PARTS, Asker, asked_of
from whetstone.evals.routing.options import parsed
from whetstone.evals.routing.outcomes import Played
from whetstone.evals.routing.page import number, render
from whetstone.evals.routing.route import route
from whetstone.models.checkpoint import save_folder
from whetstone.runs.progress import Progress
from whetstone.tasks.registry import load_task

COIN = """
import random

from whetstone import Problem, Task, Verdict


class Coin(Task):
    max_new_tokens = 6

    def sample(self, seed, level):
        number = random.Random(seed).randrange(10**6)
        return Problem(question=f"Number {number}?", facts={"n": number}, id=str(number))

    def check(self, problem, text):
        return Verdict.RIGHT if sum(map(ord, text)) % 2 else Verdict.WRONG

    def final_answer(self, text):
        return text[:1] or None
"""
PRICES = '["*"]\nusd_per_hour = 1\ndate = 2026-01-01\nsource = "a guess"\n'


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    save_folder(tiny_model(0), folder, tiny_tokenizer())
    return folder


@pytest.fixture(scope="module")
def learned(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    out = tmp_path_factory.mktemp("route") / "out"
    options = [f"{small}@greedy", f"{small}@consistency-2", f"{small}@consistency-4"]
    coin = out.parent / "coin.py"
    coin.write_text(COIN)
    yield out, route(options, f"{coin}:Coin", n=24, out=out, seed=3)


def test_what_is_written(learned: tuple[Path, dict[str, Any]]) -> None:
    out, told = learned
    assert json.loads((out / "route.json").read_text()) == json.loads(json.dumps(told))
    assert Policy.load(out).to_dict()["rule"] == json.loads(json.dumps(told["rule"]))
    facts = told["facts"]
    assert facts["problems"] == {"train": 24, "validation": 24, "eval": 24} and facts["seed_note"] is None
    assert len(facts["singles"]) == 3 and set(facts["curves"]) == {
        "cascade",
        "classifier, ngrams",
        "classifier, hidden",
    }
    assert any(0 < row["accuracy"]["mean"] < 1 for row in facts["singles"])
    costs = [row["cost"]["mean"] for row in facts["singles"]]
    assert costs == sorted(costs) and costs[0] > 0
    points = [(row["cost"]["mean"], row["accuracy"]["mean"]) for row in facts["singles"]]
    assert facts["diagonal"] == [list(point) for point in mixture(points)]
    assert at(mixture(points), np.array(costs))[0] == points[0][1]
    (equal,) = facts["equal_cost"]
    assert equal["cost"]["mean"] > 0 and "@consistency-" in equal["option"]
    page = (out / "route.html").read_text()
    assert page == render(json.loads((out / "route.json").read_text())), "the page is a function of the file"
    assert facts["sentence"][:30] in page and "<script" not in page


def test_the_control_is_asked_as_the_options_are_and_is_never_the_poorer_one(small: Path, tmp_path: Path) -> None:
    """Cost per completion, prompt included, says too little of what more samples cost: the prompt is paid once."""
    coin = tmp_path / "coin.py"
    coin.write_text(COIN)
    options = [f"{small}@consistency-2:t=0.25", f"{small}@revise-6"]
    told = route(options, f"{coin}:Coin", n=12, out=tmp_path / "out", seed=3, kind="cascade", want=0.01)
    asker, offered, outcomes = asked_again(options, f"{coin}:Coin", tmp_path / "out", 12, 3)
    assert told["facts"]["equal_cost"][0]["option"].endswith(":t=0.25")
    dear = Played(np.zeros(12), np.full(12, 150.0), np.zeros(12, dtype=np.int64))
    [row] = votes_at_equal_cost(asker, offered, outcomes, dear, "tokens")
    assert row["option"].endswith(":t=0.25") and 150 <= row["cost"]["mean"] < 170


def asked_again(options: list[str], task: str, out: Path, n: int, seed: int) -> tuple[Asker, list[Option], Any]:
    """What `route` had before it learned, from its samples."""
    offered, models = parsed(options, {}, "cpu")
    asked = asked_of(load_task(task), None, "only", seed, dict.fromkeys(PARTS, n))
    asker = Asker(asked, models, SampleFile(out / "samples.sqlite"), Progress(), PriceTable())
    return asker, offered, [asker.outcomes(option, asked.parts["eval"], "again") for option in offered]


def test_it_goes_on_with_its_samples(learned: tuple[Path, dict[str, Any]], small: Path) -> None:
    out, told = learned
    before = len(SampleFile(out / "samples.sqlite"))
    options = [f"{small}@greedy", f"{small}@consistency-2", f"{small}@consistency-4"]
    again = route(options, f"{out.parent / 'coin.py'}:Coin", n=24, out=out, seed=3)
    assert len(SampleFile(out / "samples.sqlite")) == before
    for name in ("rule", "options"):
        assert json.dumps(again[name]) == json.dumps(told[name])
    assert again["facts"]["singles"] == told["facts"]["singles"]


def test_problems_of_the_three_kinds_are_different() -> None:
    counts = {"train": 30, "validation": 20, "eval": 25}
    asked = asked_of(load_task("addition"), 2, "only", 1, counts)
    ids = {part: {problem.id for problem in problems} for part, problems in asked.parts.items()}
    assert {part: len(found) for part, found in ids.items()} == counts
    assert len(set.union(*ids.values())) == 75


def test_a_files_items_are_divided(tmp_path: Path) -> None:
    rows = [{"question": f"What is {n} plus {n}?", "answer": str(2 * n)} for n in range(40)]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = load_task(str(tmp_path / "items.jsonl"))
    asked = asked_of(task, None, next(iter(task.styles())), 1, {"train": 20, "validation": 10, "eval": 10})
    ids = [problem.id for problems in asked.parts.values() for problem in problems]
    assert len(ids) == len(set(ids)) == 40 and [len(p) for p in asked.parts.values()] == [20, 10, 10]
    fewer = asked_of(task, None, next(iter(task.styles())), 1, {"train": 60, "validation": 30, "eval": 30})
    assert [len(p) for p in fewer.parts.values()] == [20, 10, 10]


def test_a_sorted_file_is_divided_by_chance(tmp_path: Path) -> None:
    """Files are often sorted by topic: what is learned from sums says nothing about capitals."""
    rows = [{"question": f"Kind {n // 60}, number {n}?", "answer": str(n)} for n in range(180)]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = load_task(str(tmp_path / "items.jsonl"))
    counts = {"train": 60, "validation": 60, "eval": 60}
    asked = asked_of(task, None, next(iter(task.styles())), 1, counts)
    for problems in asked.parts.values():
        kinds = [problem.question.split(",")[0] for problem in problems]
        assert len(kinds) == 60 and all(kinds.count(f"Kind {kind}") >= 8 for kind in range(3)), sorted(kinds)
    other = asked_of(task, None, next(iter(task.styles())), 2, counts)
    assert [p.id for p in other.parts["eval"]] != [p.id for p in asked.parts["eval"]]


def test_samples_of_another_device_are_not_taken_for_these(small: Path) -> None:
    options = [f"{small}@greedy", f"{small}@consistency-2"]
    kept = [parsed(options, {}, device)[1][str(small)] for device in ("cpu", "cuda")]
    assert kept[0].samples_of != kept[1].samples_of and kept[0].weights == kept[1].weights


def test_an_endpoint_can_be_an_option(small: Path, tmp_path: Path) -> None:
    byte_folder(tmp_path / "tiny")
    with tiny_server(tmp_path) as running:
        (tmp_path / "models.toml").write_text(f'["far"]\naddress = "{running.url}/v1"\nmodel = "tiny"\n')
        (tmp_path / "prices.toml").write_text(PRICES)
        told = route(
            [f"{small}@greedy", "far@consistency-2"],
            "addition",
            level=2,
            n=6,
            out=tmp_path / "out",
            endpoints=tmp_path / "models.toml",
            prices=tmp_path / "prices.toml",
            cost="usd",
            seed=2,
        )
    assert told["options"][1]["weights"] == f"{running.url}/v1 tiny"
    assert told["facts"]["backends"]["far"]["usage"]["answered"] > 0
    assert all(row["cost"]["mean"] > 0 for row in told["facts"]["singles"])
    assert {line["model"] for line in told["facts"]["prices"]} == {str(small), "tiny"}


@pytest.mark.parametrize(
    ("options", "more", "complaint"),
    [
        (["small@greedy"], {}, "at least two options"),
        (["small@greedy", "small@greedy"], {}, "named twice"),
        (["small", "small@greedy"], {}, "is no option"),
        (["small@vote-3", "small@greedy"], {}, "unknown strategy"),
        (["http://127.0.0.1:9/v1@greedy", "small@greedy"], {}, "in --endpoints"),
        (["small@greedy", "small@consistency-2"], {"cost": "usd"}, "no price for"),
        (["small@greedy", "small@consistency-2"], {"cost": "joules"}, "unknown cost"),
        (["small@greedy", "small@consistency-2"], {"kind": "oracle"}, "unknown kind"),
        (["small@greedy", "small@consistency-2"], {"want": 0.5, "budget": 3.0}, "leave out --want or --budget"),
        (["small@greedy", "small@consistency-2"], {"level": 99}, "level"),
        (["small@greedy", "small@consistency-2"], {"style": "baroque"}, "unknown style"),
        (["small@greedy", "missing@consistency-2"], {}, "missing"),
    ],
)
def test_mistakes_are_told_before_anything_is_asked(
    small: Path, tmp_path: Path, options: list[str], more: dict[str, Any], complaint: str
) -> None:
    options = [option.replace("small", str(small)) for option in options]
    with pytest.raises(UsageError, match=complaint):
        route(options, "addition", out=tmp_path / "out", **{"n": 4, "level": 2} | more)
    assert not (tmp_path / "out").exists()


def test_somebody_elses_folder_is_left_alone(small: Path, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="choose another --out"):
        route([f"{small}@greedy", f"{small}@consistency-2"], "addition", level=2, n=4, out=tmp_path)


def test_the_verb(small: Path, tmp_path: Path) -> None:
    arguments = (f"{small}@greedy", f"{small}@consistency-2", "--level", 2, "--n", 6, "--out", tmp_path / "out")
    finished = whet("route", *arguments, cwd=tmp_path)
    assert finished.code == 0, finished.err
    assert "at equal cost" in finished.out and "written: " in finished.out
    bad = whet("route", *arguments, "--want", 0.99, cwd=tmp_path)
    assert bad.code == 2 and "no route reaches 99.0 %" in bad.complaint


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (58.7123, "58.7"), (0.00004, "4.00·10^-5"), (1.5e9, "1.50·10^9"), (12345, "12,345")]
)
def test_costs_are_readable(value: float, text: str) -> None:
    assert number(value) == text
