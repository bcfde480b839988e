"""The run as a whole, where a process of its own would hide what happens: the twin, the time left, the numbers."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import whetstone as wh
from tests.cli.process import Digits
from tests.tiny import tiny_folder
from whetstone.errors import UsageError, WorkFailed
from whetstone.evals.controls import CONTROLS
from whetstone.evals.measure import Measurement
from whetstone.files import disk_full_is_work_failed
from whetstone.models.tokenizer import Tokenizer
from whetstone.runs.progress import Progress
from whetstone.sharpen import origin, pipeline
from whetstone.sharpen.pipeline import resume, sharpen
from whetstone.sharpen.plan import FEWEST_STEPS
from whetstone.tasks.registry import BUILTIN

OPTIONS: dict[str, Any] = dict(
    problems=16, pool_problems=8, pool_samples=4, prompts=4, group_size=4, learning_rate=1e-3, steps=4, save_every=2
)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Options of a run; drawing the page takes longer than the run and is left out."""
    folder = tiny_folder(tmp_path_factory.mktemp("job") / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BUILTIN, Digits.name, Digits)
        patch.setattr(pipeline.html, "render", lambda *_: "<!doctype html>")
        yield {"model": str(folder), "task": Digits.name, **OPTIONS}


class Watched(Progress):
    """Keeps every line that would be shown, and the seconds left with it."""

    def __init__(self) -> None:
        super().__init__(stream=open(os.devnull, "w"))  # noqa: SIM115
        self.shown: list[tuple[str, float | None]] = []
        self.said: list[str] = []

    def show(self) -> None:
        self.shown.append((self.line(), self.seconds_left()))

    def message(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def whole(job: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its twin."""
    path = tmp_path_factory.mktemp("runs") / "whole"
    sharpen(path, Watched(), **job)
    return path


def test_the_numbers_of_the_report_are_those_of_the_stages(whole: Path) -> None:
    report = json.loads((whole / "report.json").read_text())

    def stage(name: str) -> Measurement:
        saved = json.loads((whole / "stages" / f"{name}.json").read_text())["result"]["measurement"]
        return Measurement(**saved)

    before, after = stage("before"), stage("after")
    assert report["before"]["greedy"] == before.accuracy().to_dict()
    assert report["before"]["verdicts"] == before.mix() and report["after"]["verdicts"] == after.mix()
    assert before.ids == after.ids and len(set(before.ids)) == 16
    changed = [b - a for a, b in zip(before.first_right, after.first_right, strict=True)]
    assert report["statistics"]["difference"]["mean"] == pytest.approx(sum(changed) / 16)
    assert report["statistics"]["difference"]["discordant"] == [changed.count(1), changed.count(-1)]
    assert report["before"]["sampled"]["mean"] == pytest.approx(
        sum(right for _, right in stage("samples_before").counts) / (8 * 4)
    )
    votes = stage("votes")
    assert votes.ids == before.ids[: len(votes.ids)] and {len(texts) for texts in votes.texts} == {8}
    assert report["statistics"]["versus_self_consistency"]["n"] == len(votes.ids) == 8
    temperature = json.loads((whole / "stages" / "temperature_before.json").read_text())["result"]["measurement"]
    assert report["before"]["temperature"] == temperature["pool"]
    assert report["pass_at_k"]["temperatures"]["base"] == temperature
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert report["cost"]["generated_tokens"] == sum(row["generated_tokens"] for row in rows)
    assert report["overlap"]["trained_on"] <= sum(row["groups"] for row in rows)
    for sample, text in zip(report["samples"], after.texts, strict=False):
        assert sample["after"]["text"] == text[0]


def test_each_run_is_a_look_at_its_problems_and_counted_once(
    job: dict[str, Any], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHETSTONE_HISTORY", str(tmp_path / "history.sqlite"))

    def looks(name: str) -> list[int | None]:
        shutil.copytree(whole, tmp_path / name)
        (tmp_path / name / "report.json").unlink()
        (tmp_path / name / "stages" / "look.json").unlink()
        again = []
        for _ in range(2):  # a report that is made again looks at nothing
            again.append(resume(tmp_path / name, Watched())["statistics"]["looks"])
            (tmp_path / name / "report.json").unlink()
        return again

    assert looks("first") == [1, 1]
    assert looks("second") == [2, 2]
    (tmp_path / "second" / "stages" / "look.json").unlink()  # killed between the history and the note that it is there
    assert resume(tmp_path / "second", Watched())["statistics"]["looks"] == 2
    monkeypatch.setenv("WHETSTONE_HISTORY", str(tmp_path / "first" / "config.toml" / "no"))
    assert looks("third") == [None, None]


def test_measurements_of_other_problems_are_not_paired(whole: Path, tmp_path: Path) -> None:
    """A stage's file of another run: a failure, not a number."""
    for stage in ("before", "votes", "samples_before", "twin"):
        run = tmp_path / stage
        shutil.copytree(whole, run)
        for name in ("report.html", "report.json"):
            (run / name).unlink()
        path = run / "stages" / f"{stage}.json"
        saved = json.loads(path.read_text())
        ids = saved["result"]["measurement"]["ids"]
        ids[0], ids[1] = ids[1], ids[0]
        path.write_text(json.dumps(saved))
        with pytest.raises(WorkFailed, match="are not of the same problems"):
            resume(run, Watched())


def test_a_run_keeps_the_day_on_which_it_began(
    job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chat template names the date; resumed on another day, the run asks with the same words."""
    dated = tiny_folder(tmp_path / "dated")
    config = json.loads((dated / "tokenizer_config.json").read_text())
    config["chat_template"] = "{{ strftime_now('%d %b %Y') }}" + config["chat_template"]
    (dated / "tokenizer_config.json").write_text(json.dumps(config))
    prompts: set[str] = set()
    render = Tokenizer.render

    def watched(self: Tokenizer, *arguments: Any, **variables: Any) -> str:
        text = render(self, *arguments, **variables)
        prompts.add(text[:11])
        return text

    def on(day: int) -> None:
        class Then(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return datetime(2024, 2, day, 12, tzinfo=tz)

        monkeypatch.setattr(origin, "datetime", Then)

    monkeypatch.setattr(Tokenizer, "render", watched)
    on(27)
    with pytest.raises(KeyboardInterrupt):
        sharpen(tmp_path / "run", Interrupted(Watched(), "train 3/"), **{**job, "model": str(dated)})
    on(29)
    resume(tmp_path / "run", Watched())
    assert prompts == {"27 Feb 2024"}
    assert json.loads((tmp_path / "run" / "provenance.json").read_text())["today"] == "2024-02-27T12:00:00"


def test_an_adapter_is_a_start(job: dict[str, Any], tmp_path: Path) -> None:
    """Trained on under lora, merged under full; both measure before what the adapter can do."""
    short = {**job, "twin": False, "learning_rate": 1e-2}
    first = sharpen(tmp_path / "first", Watched(), **{**short, "method": "lora"})
    adapter = tmp_path / "first" / "checkpoint"
    for method in ("lora", "full"):
        run = tmp_path / method
        options = {**short, "model": str(adapter), "method": method, "learning_rate": 1e-5, "steps": 1}
        again = sharpen(run, Watched(), **options)
        assert again["before"]["greedy"] == first["after"]["greedy"], method
        assert again["model"]["base"]["name"] == "tiny" and again["model"]["name"] == "checkpoint"
        assert (run / "checkpoint" / "adapter_model.safetensors").exists() == (method == "lora")
        assert (run / "checkpoint" / "model.safetensors").exists() == (method == "full")
        assert wh.Run(run).model().adapted == (method == "lora")
    config = json.loads((tmp_path / "lora" / "checkpoint" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == job["model"], "not the adapter that it began with"


def test_a_run_is_read(whole: Path, job: dict[str, Any], tmp_path: Path) -> None:
    run = wh.Run(whole)
    assert run.state == "finished" and repr(run) == f"Run({str(whole)!r}, finished)"
    assert run.report == json.loads((whole / "report.json").read_text())
    assert run.config.steps == 4 and run.config.model == job["model"]
    assert [row["step"] for row in run.metrics] == [1, 2, 3, 4] == [row["step"] for row in run.timing]
    assert run.samples[0]["texts"] and run.provenance["seed"] == 0
    answered = wh.sample(run.model(), ["12?", "7?"], max_new_tokens=6)
    assert [len(answers) for answers in answered] == [1, 1]
    with pytest.raises(UsageError, match="there is no run in"):
        wh.Run(tmp_path / "nowhere")
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(whole / "config.toml", begun)
    for read in (lambda run: run.report, lambda run: run.provenance, lambda run: run.model()):
        with pytest.raises(UsageError, match="whet resume"):
            read(wh.Run(begun))
    assert wh.Run(begun).metrics == []


def test_a_twin_that_fails_does_not_cost_the_report(
    job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> float:
        raise WorkFailed("step 3: the loss is not finite")

    monkeypatch.setitem(CONTROLS, "random", replace(CONTROLS["random"], reward=fail))
    progress = Watched()
    report = sharpen(tmp_path / "run", progress, **job)
    assert report["controls"] == {"random_reward": None, "random_reward_failure": "step 3: the loss is not finite"}
    assert any("The random-reward twin failed (step 3: the loss is not finite)" in line for line in report["verdict"])
    assert progress.said == [
        "the random-reward twin failed (step 3: the loss is not finite); the report goes on without it"
    ]
    assert resume(tmp_path / "run", Watched()) == report


def test_further_twins_share_the_code_and_may_be_kept(job: dict[str, Any], whole: Path, tmp_path: Path) -> None:
    options = {**job, "steps": 2, "controls": ("inverted", "format"), "keep_twins": True}
    report = sharpen(tmp_path / "run", Watched(), **options)
    assert set(report["controls"]) == {
        f"{name}_reward{end}" for name in ("random", "format", "inverted") for end in ("", "_failure")
    }
    for name, folder in (("random", "twin"), ("inverted", "controls/inverted"), ("format", "controls/format")):
        assert report["controls"][f"{name}_reward"]["steps"] == 2
        checkpoint = tmp_path / "run" / folder / "checkpoint"
        assert not (checkpoint / "optimizer.safetensors").exists()
        assert wh.load(str(checkpoint)).parameters
    before = json.loads((tmp_path / "run" / "controls" / "inverted" / "metrics.jsonl").read_text().splitlines()[0])
    assert before["reward"] == pytest.approx(1 - before["accuracy"])  # Digits gives no other verdicts
    assert any("rewarded for wrong answers only" in line for line in report["verdict"])
    assert any("rewarded for any answer that can be read" in line for line in report["verdict"])
    assert wh.Run(tmp_path / "run").config.controls == ("inverted", "format")
    assert not (whole / "twin" / "checkpoint").exists()


def test_a_full_disk_in_the_twin_is_no_failure_of_the_twin(
    job: dict[str, Any], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> float:
        with disk_full_is_work_failed(tmp_path, "all earlier rows are intact"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return 0.0

    monkeypatch.setitem(CONTROLS, "random", replace(CONTROLS["random"], reward=fail))
    with pytest.raises(WorkFailed, match="the disk is full"):
        sharpen(tmp_path / "run", Watched(), **job)
    monkeypatch.undo()
    report = resume(tmp_path / "run", Watched())
    assert report["controls"]["random_reward_failure"] is None
    assert (tmp_path / "run" / "twin" / "metrics.jsonl").read_bytes() == (whole / "twin" / "metrics.jsonl").read_bytes()


def test_a_disk_that_is_full_at_a_sync(job: dict[str, Any], whole: Path, tmp_path: Path) -> None:
    """Every place where a file is made final may be the one that fails; the run goes on to the same end."""
    sync = os.fsync
    kinds = {".config.toml", "stage", "metrics", "samples", "model", ".report.html"}
    refused: set[str] = set()

    def full(descriptor: int) -> None:
        """Refuses the first file of each kind."""
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        kind = "stage" if path.parent.name == "stages" else path.name.rsplit(".", 2 if ".part" in path.name else 1)[0]
        if kind in kinds - refused and path.is_file():
            refused.add(kind)
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for _ in range(40):
            try:
                sharpen(run, Watched(), **job) if not (run / "config.toml").exists() else resume(run, Watched())
                break
            except WorkFailed as failure:
                assert "the disk is full: " in str(failure) and "free some space and go on" in str(failure)
        else:
            raise AssertionError("it never came to an end")
    assert refused == kinds
    for log in ("metrics.jsonl", "samples.jsonl", "twin/metrics.jsonl"):
        assert (run / log).read_bytes() == (whole / log).read_bytes()
    assert not list(run.rglob("*.part"))


def test_the_time_left_counts_the_whole_run(job: dict[str, Any], tmp_path: Path) -> None:
    progress = Watched()
    timed = {**job, "minutes": 10.0, "steps": None, "twin": False}
    with pytest.raises(KeyboardInterrupt):
        sharpen(tmp_path / "run", Interrupted(progress, "train 3/"), **timed)
    for line, left in progress.shown:
        if left is not None:  # nothing is known of a stage that has just begun
            # before the steps are planned the ten minutes count; after that their pace, whatever the machine's load;
            # and the pace of the first few of many answers, which come together, says little yet
            done, of = map(int, line.partition(" · ")[0].rpartition(" ")[2].split("/"))
            assert left < 610 or "train" in line or done < of / 20, line
    known = [line for line, left in progress.shown if left is not None]
    assert any(line.startswith("before 16/16") for line in known) and any(line.startswith("train 2/") for line in known)
    assert all(" left" in line for line in known)


class Interrupted(Progress):
    """Passes on to `watched`, until a line begins with `until`: then the user stops the run."""

    def __init__(self, watched: Watched, until: str) -> None:
        super().__init__(stream=open(os.devnull, "w"))  # noqa: SIM115
        self.watched, self.until = watched, until

    def show(self) -> None:
        self.watched.shown.append((self.line(), self.seconds_left()))
        if self.line().startswith(self.until):
            raise KeyboardInterrupt


def test_with_steps_the_time_left_is_known_once_a_step_was_taken(job: dict[str, Any], tmp_path: Path) -> None:
    progress = Watched()
    sharpen(tmp_path / "run", progress, **job)
    left = {line: seconds for line, seconds in progress.shown}
    training = [seconds for line, seconds in left.items() if line.startswith("train ") and seconds is not None]
    assert len(training) >= 3
    assert all(seconds is not None for line, seconds in left.items() if line.startswith("after 0/"))


def test_too_little_time_is_said_and_not_obeyed(job: dict[str, Any], tmp_path: Path) -> None:
    progress = Watched()
    report = sharpen(tmp_path / "run", progress, **{**job, "minutes": 1e-6, "steps": None})
    assert report["steps"] == FEWEST_STEPS
    assert [line for line in progress.said if "min more than asked" in line] == progress.said


def test_stages_are_not_done_again(job: dict[str, Any], whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    for name in ("report.html", "report.json", "stages/after.json"):
        (run / name).unlink()
    progress = Watched()
    report = resume(run, progress)
    assert {line.partition(" 0/")[0] for line, _ in progress.shown if " 0/" in line} == {"after"}
    old = json.loads((whole / "report.json").read_text())
    for name in ("before", "after", "statistics", "controls", "samples", "overlap"):
        assert report[name] == old[name]


def test_an_option_that_cannot_be_leaves_no_directory(job: dict[str, Any], tmp_path: Path) -> None:
    for wrong in ({"level": 9}, {"task": "nope"}, {"model": str(tmp_path)}, {"colour": "red"}, {"minutes": 1}):
        with pytest.raises(UsageError):
            sharpen(tmp_path / "run", Watched(), **{**job, **wrong})
        assert not (tmp_path / "run").exists(), wrong


def test_a_model_that_has_learned_it_all_gets_its_report(job: dict[str, Any], tmp_path: Path) -> None:
    """No group has signal any more when every answer is right: that is success."""
    report = sharpen(tmp_path / "run", Watched(), **{**job, "learning_rate": 1e-2, "steps": 14, "twin": False})
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["groups_with_signal"] for row in rows[-3:]] == [0, 0, 0] and rows[-1]["accuracy"] == 1
    assert report["after"]["greedy"]["mean"] == 1
