"""`whet sharpen` from one end to the other, as a new user types it, on tiny models of real families."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.cli.process import Finished, whet
from tests.tiny import digit_task, tiny_folder

SMALL = ("--problems", 24, "--prompts", 4, "--group-size", 4, "--learning-rate", "3e-3")
ACCURACY = {"mean", "low", "high", "n"}
DIFFERENCE = {*ACCURACY, "p", "test", "p_mcnemar_exact", "discordant", "minimum_detectable", "verdict"}
EXAMINED = {"greedy", "sampled", "temperature", "verdicts", "tokens_per_answer", "truncated"}
KEYS = {  # of report.json: a contract that other programs rely on
    "title": None,
    "created": None,
    "command": None,
    "model": {"name", "parameters", "sha256"},
    "task": {"name", "level", "version", "instruction", "example"},
    "method": None,
    "steps": None,
    "seconds": {"total", "before", "baselines", "train", "after", "harder", "twin", "plan"},
    "before": EXAMINED,
    "after": EXAMINED,
    "baselines": {"best_prompt", "few_shot", "self_consistency", "majority_answer", "empty"},
    "controls": {"random_reward", "random_reward_failure"},
    "harder": {"level", "before", "after", "difference"},
    "pass_at_k": {"temperature", "temperatures", "samples", "problems", "base", "sharpened"},
    "overlap": {"trained_on", "evaluated_on", "shared", "ledger_root"},
    "statistics": {
        "difference",
        "versus_best_prompt",
        "versus_few_shot",
        "versus_self_consistency",
        "versus_majority_answer",
        "looks",
        "seed",
        "seed_shared",
        "seed_note",
        "training_seeds",
    },
    "speed": {"seconds_per_step", "tokens_per_second_generate", "tokens_per_second_train", "share"},
    "cost": {"core_seconds", "generated_tokens", "trained_tokens"},
    "samples": None,
    "hardware": None,
    "versions": None,
    "keys": {"train", "evaluation"},
    "verdict": None,
}
ANSWERING = '''

class Said(Digits):
    """Like Digits, with answers to show."""

    levels = (1, 2, 3)

    def answer(self, problem):
        return "2"

    def worked(self, problem):
        return f"{problem.facts['n']} is not 2"
'''


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models and a task file, as a user has it."""
    folder = tmp_path_factory.mktemp("desk")
    tiny_folder(folder / "qwen", family="qwen3")
    tiny_folder(folder / "llama", family="llama")
    digit_task(folder)
    with open(folder / "mytask.py", "a") as file:
        file.write(ANSWERING)
    return folder


@pytest.fixture(scope="module")
def full(desk: Path) -> Finished:
    """A full run of a Qwen3-type model, in desk/full."""
    return whet(
        "sharpen", "--model", "qwen", "--task", "mytask.py:Said", "--steps", 6, *SMALL, "--out", "full", cwd=desk
    )


@pytest.fixture(scope="module")
def lora(desk: Path) -> Finished:
    """A LoRA run of a Llama-type model without a twin, in desk/lora; its report is the output."""
    # the last value of an option counts
    options = ("--lora", "--learning-rate", "2e-2", "--no-twin", "--json", "--seed", 5, "--objective", "ppo_clip")
    job = ("--model", "llama", "--task", "mytask.py:Digits", "--style", "plain", "--steps", 6, *SMALL, *options)
    return whet("sharpen", *job, "--out", "lora", cwd=desk)


def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())


def test_a_run_ends_well_and_says_what_it_found(desk: Path, full: Finished) -> None:
    assert full.code == 0, full.err
    assert "got better at said (level 2)" in full.out.splitlines()[0]
    assert "\nThe whole report: full/report.html" in full.out
    assert "Weakest link: " in full.out
    names = [line.partition(":")[0] for line in full.err.splitlines() if re.search(r": \d+/\d+ in ", line)]
    assert names == [
        "constant answers",
        "before",
        "temperature before",
        "samples before",
        "votes",
        "harder before",
        "few-shot trials",
        "few-shot",
        "prompt styles",
        "best prompt",
        "train",
        "after",
        "temperature after",
        "samples after",
        "harder after",
        "random-reward twin",
        "random-reward twin after",
    ]
    assert all(done == of for done, of in re.findall(r": (\d+)/(\d+) in ", full.err)), full.err


def test_the_directory_holds_what_was_promised(desk: Path, full: Finished) -> None:
    run = desk / "full"
    files = {path.name for path in run.iterdir()}
    kept = {"config.toml", "metrics.jsonl", "timing.jsonl", "samples.jsonl", "checkpoint", "stages", "twin"}
    assert files == kept | {"report.json", "report.html", "provenance.json", ".lock"}
    assert {path.name for path in (run / "twin").iterdir()} == {"metrics.jsonl", "timing.jsonl", "samples.jsonl"}
    assert max(run.rglob("*"), key=lambda path: path.stat().st_mtime_ns).name == "report.html"
    for folder in (run, run / "twin"):
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
        assert not any("second" in key or key == "time" for row in rows for key in row), "clock readings live elsewhere"
    config = tomllib.loads((run / "config.toml").read_text())
    assert config["steps"] == 6 and config["task"] == f"{desk}/mytask.py:Said" and config["model"] == f"{desk}/qwen"


def test_the_report_keeps_its_contract(desk: Path, full: Finished) -> None:
    found = report(desk / "full")
    assert found.keys() == KEYS.keys()
    for name, keys in KEYS.items():
        assert keys is None or found[name].keys() == keys, name
    for measure in (found["before"]["greedy"], found["after"]["sampled"], found["harder"]["after"]):
        assert measure.keys() == ACCURACY and 0 <= measure["low"] <= measure["mean"] <= measure["high"] <= 1
    assert found["controls"]["random_reward"].keys() == {"steps", "greedy", "difference"}
    rivals = ("best_prompt", "few_shot", "self_consistency", "majority_answer")
    for name in ("difference", *(f"versus_{rival}" for rival in rivals)):
        assert found["statistics"][name].keys() == DIFFERENCE, name
    assert sum(found["before"]["verdicts"].values()) == 24
    assert [row["k"] for row in found["pass_at_k"]["base"]] == [1, 2, 4, 8, 16]
    assert len(found["samples"]) == 10 and found["samples"][0]["before"].keys() == {"text", "verdict"}
    assert found["overlap"]["shared"] == 0 and found["overlap"]["evaluated_on"] == 24
    few_shot, votes = found["baselines"]["few_shot"], found["baselines"]["self_consistency"]
    assert len(few_shot["tried"]) == 8 and few_shot["shots"] in (4, 8) and few_shot["format"] in ("bare", "worked")
    assert votes["k"] == 8 and votes["temperature"] in (0.4, 0.7, 1.0) and votes["accuracy"]["n"] == 24
    assert set(found["pass_at_k"]["temperature"]) == {"base", "sharpened"}
    assert found["pass_at_k"]["temperature"]["base"] == found["before"]["temperature"]
    assert found["baselines"]["majority_answer"] == {
        "text": "2",
        "accuracy": {"mean": 1.0, "low": pytest.approx(0.862, abs=1e-3), "high": 1.0, "n": 24},
    }
    assert found["baselines"]["empty"]["accuracy"]["mean"] == 0
    assert all(one["greedy"].keys() == ACCURACY for one in found["baselines"]["best_prompt"]["tried"].values())
    shared = found["statistics"]
    assert shared["seed_shared"] is True and "problems of every run with seed 0" in shared["seed_note"]
    assert found["title"] == "Sharpening qwen on said, level 2"
    assert found["seconds"]["total"] == pytest.approx(sum(v for k, v in found["seconds"].items() if k != "total"))


def test_the_page_stands_alone(desk: Path, full: Finished) -> None:
    page = (desk / "full" / "report.html").read_text()
    assert page.lstrip().startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    assert "<svg" in page and report(desk / "full")["verdict"][0].split(":")[0] in page
    loaded = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)|url\(([^)]+)\)|@import\s+(\S+)""", page)
    assert all(target.startswith(("#", "data:")) for found in loaded for target in found if target), loaded


def test_provenance_is_enough_to_repeat_the_run(desk: Path, full: Finished) -> None:
    origin = json.loads((desk / "full" / "provenance.json").read_text())
    assert origin["command"].startswith("whet sharpen --model qwen --task mytask.py:Said --steps 6")
    assert origin["model"]["name"] == "qwen" and len(origin["model"]["sha256"]) == 64
    assert origin["task"]["name"] == "said" and len(origin["task"]["version"]) == 12
    assert all(len(commitment) == 64 for commitment in origin["keys"].values())
    assert {"versions", "commit", "hardware", "seed", "threads"} <= origin.keys()


def test_report_verb(desk: Path, full: Finished) -> None:
    said = whet("report", "full", cwd=desk)
    assert (said.code, said.err) == (0, "") and said.out == full.out
    assert json.loads(whet("report", "full", "--json", cwd=desk).out) == report(desk / "full")
    finished = whet("resume", "full", cwd=desk)
    assert (finished.code, finished.err) == (0, "") and finished.out == full.out


def test_lora_json_and_no_twin(desk: Path, lora: Finished) -> None:
    assert lora.code == 0, lora.err
    found = json.loads(lora.out)
    assert found == report(desk / "lora") and found["method"] == "lora"
    assert found["controls"] == {"random_reward": None, "random_reward_failure": None}
    assert found["harder"] is None and found["baselines"]["few_shot"] is None
    assert found["baselines"]["majority_answer"] is None and found["statistics"]["versus_majority_answer"] is None
    assert (found["statistics"]["seed"], found["statistics"]["seed_shared"]) == (5, False)
    assert found["task"]["example"].endswith("?"), "the plain style adds no instruction"
    files = {path.name for path in (desk / "lora" / "checkpoint").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= files and "model.safetensors" not in files
    assert not (desk / "lora" / "twin").exists()
    assert "got better" in found["verdict"][0]


@pytest.mark.parametrize("run", ["full", "lora"])
def test_the_sharpened_model_can_be_measured(desk: Path, full: Finished, lora: Finished, run: str) -> None:
    """From anywhere, for an adapter knows its base by an absolute path."""
    elsewhere = desk / f"elsewhere-{run}"
    elsewhere.mkdir()
    arguments = ("--task", "../mytask.py:Digits", "--n", 40, "--json", "--style", "plain" if run == "lora" else "only")
    found = {}
    for model in (f"../{'llama' if run == 'lora' else 'qwen'}", f"../{run}/checkpoint"):
        measured = whet("eval", model, *arguments, cwd=elsewhere)
        assert measured.code == 0, measured.err
        found[model] = json.loads(measured.out)["accuracy"]["mean"]
    before, after = found.values()
    assert after > before + 0.3, found


def test_a_sharpened_model_can_be_sharpened_again(desk: Path, full: Finished) -> None:
    arguments = (
        "--task",
        "digits",
        "--level",
        1,
        "--steps",
        1,
        "--no-twin",
        *SMALL,
        "--learning-rate",
        "1e-6",
    )
    again = whet("sharpen", "--model", "full/checkpoint", *arguments, "--out", "again", cwd=desk)
    assert again.code == 0, again.err
    assert report(desk / "again")["before"]["greedy"]["mean"] > 0.5


def test_a_builtin_task_without_signal_stops_with_a_clear_line(desk: Path) -> None:
    stopped = whet(
        "sharpen", "--model", "qwen", "--task", "addition", "--steps", 6, *SMALL, "--out", "hopeless", cwd=desk
    )
    assert stopped.code == 1
    assert "there is nothing to learn from: try a lower --level" in stopped.complaint
    assert "hopeless" in stopped.complaint, "it says where the run is"
    assert len((desk / "hopeless" / "metrics.jsonl").read_text().splitlines()) == 3
    assert (desk / "hopeless" / "stages" / "before.json").is_file() and stopped.out == ""
    unfinished = whet("report", "hopeless", cwd=desk)
    assert unfinished.code == 2 and "`whet resume hopeless` finishes it" in unfinished.complaint


def test_minutes_are_kept(desk: Path) -> None:
    options = ("--minutes", 0.2, "--problems", 24, "--prompts", 4, "--group-size", 4, "--learning-rate", "1e-5")
    done = whet("sharpen", "--model", "qwen", "--task", "digits", *options, "--out", "timed", cwd=desk)
    assert done.code == 0, done.err
    plan = json.loads((desk / "timed" / "stages" / "plan.json").read_text())["result"]
    assert 3 <= plan["steps"] == report(desk / "timed")["steps"]
    assert 1 <= report(desk / "timed")["controls"]["random_reward"]["steps"] <= plan["twin_steps"]
    assert not (desk / "timed" / "rehearsal").exists()


def test_too_few_minutes(desk: Path) -> None:
    """The run takes a few steps all the same, and says that it will be late."""
    task = ("--model", "qwen", "--task", "digits")
    late = whet("sharpen", *task, "--minutes", 0.001, *SMALL, "--out", "late", cwd=desk)
    assert late.code == 0, late.err
    assert "min more than asked" in late.err
    assert report(desk / "late")["controls"]["random_reward"]["steps"] >= 1


def test_from_python(desk: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    import whetstone as wh

    monkeypatch.chdir(desk)
    found = wh.sharpen(
        "python", model="qwen", task="mytask.py:Digits", steps=1, problems=8, pool_samples=2, prompts=2, twin=False
    )
    assert found == report(desk / "python") == wh.resume("python")
    assert found["command"].startswith(
        f"whetstone.sharpen('python', model='{desk}/qwen', task='{desk}/mytask.py:Digits'"
    )
    assert capfd.readouterr().out == ""


def test_the_installed_command(desk: Path) -> None:
    """Once for real: the script that pip installs."""
    script = Path(sys.executable).with_name("whet")
    done = subprocess.run([script, "eval", "llama", "--task", "sort"], cwd=desk, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("whet: unknown task 'sort'; did you mean sorting?") and done.stderr.count("\n") == 1
