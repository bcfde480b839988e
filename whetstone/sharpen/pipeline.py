"""The main job: examine, train, examine again, train a twin on random rewards, write the report.

Every stage is done once and leaves a file; training leaves checkpoints. So the job can be killed anywhere and goes on
from there with the same result.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from whetstone.engine.protocol import Progress as Report
from whetstone.errors import UsageError, WorkFailed
from whetstone.evals.controls import Control
from whetstone.evals.looks import count_run
from whetstone.evals.measure import Measurement
from whetstone.files import atomic_write_json, atomic_write_text, restore_folder
from whetstone.models.loading import Loaded, add_lora, load, merge
from whetstone.runs import provenance
from whetstone.runs.directory import RunDirectory, RunState
from whetstone.runs.metrics import read
from whetstone.runs.progress import Progress, Stage
from whetstone.runs.stages import Stages
from whetstone.sharpen import html
from whetstone.sharpen.assemble import Results, Twin, assemble
from whetstone.sharpen.examination import TEMPERATURES, TRIAL_SAMPLES, Examination, Keys
from whetstone.sharpen.interrupt import first_ctrl_c
from whetstone.sharpen.origin import about_model, first_day
from whetstone.sharpen.plan import OVERHEAD, Budget, Plan, minutes_up, plan_steps, seconds_ahead
from whetstone.sharpen.settings import Settings
from whetstone.sharpen.verdict import verdict_lines
from whetstone.tasks.keys import Key, Stream
from whetstone.tasks.registry import load_task
from whetstone.training.rewards import Reward, task_reward
from whetstone.training.rlvr import Settings as TrainingSettings
from whetstone.training.rlvr import Setup, TrainingRun


class Stopped(Exception):
    """The user asked to stop; everything up to the last whole step is saved."""


class Sharpening:
    """One `whet sharpen` in one directory. `run` goes from wherever the directory is to the report."""

    def __init__(self, directory: RunDirectory, settings: Settings, progress: Progress) -> None:
        """Draws the problems. Raises UsageError for an unknown task, level or style, or a task that is broken."""
        self.directory, self.settings, self.progress = directory, settings, progress
        self.budget = Budget(settings.minutes)
        self.stages = Stages(directory.path / "stages")
        self.plan: Plan | None = None
        self.load_seconds = 0.0
        self.today = first_day(directory.provenance)
        self.task = load_task(settings.task)
        self.level = self.task.default_level if settings.level is None else settings.level
        self.task.require_level(self.level)
        if settings.style not in self.task.styles():
            raise UsageError(f"unknown style {settings.style!r}; choose one of {', '.join(self.task.styles())}")
        if self.task.styles()[settings.style].withholds:
            raise UsageError(
                f"style {settings.style!r} withholds part of the question; it is a control for `whet eval`"
            )
        self.keys = Keys.of(Key.derive(str(settings.seed).encode(), "whetstone run"))
        self.examination = Examination(self.task, self.level, self.keys, settings)

    def run(self, loaded: Loaded) -> dict[str, Any]:
        """All stages that are left, on a freshly loaded model; returns the report. Raises Stopped after Ctrl-C."""
        self._note_origin(loaded)
        results = self._before(loaded)
        self.plan = plan = self._plan(loaded)
        with first_ctrl_c(self.progress.message) as asked:
            run = self._train(loaded, "train", self.directory.path, task_reward, plan.steps, asked)
            trained = {"totals": run.totals, "ledger_root": run.ledger.root(), "trained_on": len(run.ledger)}
            shared = sum(identity in run.ledger for identity in results.before.ids)
        if asked():  # outside the block, where no signal can come between the question and its end
            raise Stopped
        self._after(loaded, results)
        results.training = {**trained, "steps": plan.steps, "shared": shared}
        del loaded, run
        twins = self.settings.twins() if plan.twin_steps else []
        for place, control in enumerate(twins):
            self._twin(control, len(twins) - place, results, plan)
        return self._report(results)

    def load(self) -> Loaded:
        """The model to begin with, as the method wants it. Raises UsageError for a model that cannot be.

        A model that comes as an adapter goes on with it under lora, and with the adapter merged under full; another
        one gets fresh adapters under lora. Its chat template is told the day on which the run began.
        """
        started = time.monotonic()
        loaded = load(self.settings.model, self.settings.device)
        loaded.tokenizer.today = self.today
        if self.settings.method == "full":
            merge(loaded)
        elif not loaded.adapted:
            rank = self.settings.lora_rank
            add_lora(loaded, rank, alpha=rank, seed=self.settings.seed)
        self.load_seconds = time.monotonic() - started
        return loaded

    def _note_origin(self, loaded: Loaded) -> None:
        """Write provenance.json, once: what made this run, on what, with which commitments.

        Raises UsageError when a resumed run would go on with another task or other weights than it trained with;
        while it has not trained yet, it only measures again.
        """
        about = {
            "model": about_model(loaded),
            "task": {"name": self.task.name, "version": self.task.version},
        }
        if self.directory.provenance.is_file():
            origin = json.loads(self.directory.provenance.read_text(encoding="utf-8"))
            changed = [part for part in about if origin.get(part, about[part]) != about[part]]
            if not changed:
                return
            what = " and ".join(f"the {part} {getattr(self.settings, part)}" for part in changed)
            if read(self.directory.metrics):
                raise UsageError(
                    f"{what} changed since this run began, and what was measured before would not compare with what "
                    "comes after: put it back, or start anew with another --out"
                )
            self.progress.message(f"{what} changed since this run began: measuring again")
            self.stages.forget()
        pinned = {"seed": self.settings.seed, "keys": self.keys.commitments, "today": self.today.isoformat()}
        origin = provenance.collect() | pinned | about
        if not origin["command"].startswith("whet sharpen"):  # called from Python, or killed before this point
            origin["command"] = self.settings.command(self.directory.path)
        atomic_write_json(self.directory.provenance, origin)

    def _measure(self, name: str, wanted: int, measure: Callable[[Report], Any]) -> Any:
        """A measuring stage of `wanted` answers with progress, done once; None where there is nothing to measure."""

        def compute() -> dict[str, Any]:
            with self.progress.stage(name, wanted) as stage:

                def show(done: int, _wanted: int) -> None:
                    stage.advance(done - stage.done)
                    self._foresee(stage)

                self._foresee(stage)
                measured = measure(show)
                stage.total = stage.done  # some end early, having nothing to ask
            return {"measurement": measured.to_dict() if isinstance(measured, Measurement) else measured}

        saved = self.stages.once(name.replace(" ", "_"), compute)["measurement"]
        return Measurement(**saved) if saved is not None and "questions" in saved else saved

    def _time_left(self) -> float | None:
        """Seconds left of the user's minutes, less what earlier processes spent; None without a limit."""
        left = self.budget.left()
        return None if left is None else left - self.stages.earlier

    def _foresee(self, stage: Stage, step_seconds: float | None = None) -> None:
        """Tell the progress line how long the stages after this one will take."""
        if self.plan is not None:
            twins = [twin for twin in self.settings.twins() if not self.stages.done(_stage_of(twin))]
            ahead = seconds_ahead(self.plan, self.stages.seconds, step_seconds or self.plan.step_seconds, twins)
            done = {name for name in ahead if self.stages.done(name.replace(" ", "_"))}
            self.progress.expect({name: seconds for name, seconds in ahead.items() if name not in done})
        elif (left := self._time_left()) is not None:
            # the plan will fit what remains, whatever this stage takes
            self.progress.expect({"the rest": max(0.0, left - (stage.seconds_left(None) or 0.0))})

    def _before(self, loaded: Loaded) -> Results:
        exam, n = self.examination, self.settings.problems
        answers = len(exam.pool_problems) * self.settings.pool_samples
        constants = self._measure("constant answers", n, lambda show: exam.constants(show))
        before = self._measure("before", n, lambda show: exam.greedy(loaded, show))
        temperature = self._temperature("temperature before", loaded)
        rivals = len(exam.rival_problems)
        results = Results(
            constants=constants,
            before=before,
            temperature_before=temperature,
            pool_before=self._measure(
                "samples before", answers, lambda show: exam.pool(loaded, temperature["pool"], show)
            ),
            votes=self._measure(
                "votes",
                rivals * self.settings.vote_samples,
                lambda show: exam.votes(loaded, temperature["vote"], show),
            ),
        )
        if exam.harder_problems:
            harder = len(exam.harder_problems)
            results.harder_before = self._measure("harder before", harder, lambda show: exam.harder(loaded, show))
        if forms := exam.few_shot_forms():
            results.shots = self._measure(
                "few-shot trials", len(forms), lambda show: exam.few_shot_trials(loaded, show)
            )
            if form := results.shots["best"]:
                results.few_shot = self._measure("few-shot", rivals, lambda show: exam.few_shot(loaded, form, show))
        styles = len(exam.candidates)
        results.styles = self._measure("prompt styles", styles, lambda show: exam.styles(loaded, show))
        best = results.styles["best"]
        if best != self.settings.style:
            results.best_style = self._measure("best prompt", rivals, lambda show: exam.in_style(loaded, best, show))
        return results

    def _temperature(self, name: str, loaded: Loaded) -> dict[str, Any]:
        exam = self.examination
        wanted = len(TEMPERATURES) * TRIAL_SAMPLES * len(exam.validation)
        found: dict[str, Any] = self._measure(name, wanted, lambda show: exam.temperatures(loaded, show))
        return found

    def _after(self, loaded: Loaded, results: Results) -> None:
        exam, n = self.examination, self.settings.problems
        answers = len(exam.pool_problems) * self.settings.pool_samples
        results.after = self._measure("after", n, lambda show: exam.greedy(loaded, show))
        results.temperature_after = temperature = self._temperature("temperature after", loaded)
        results.pool_after = self._measure(
            "samples after", answers, lambda show: exam.pool(loaded, temperature["pool"], show)
        )
        if exam.harder_problems:
            harder = len(exam.harder_problems)
            results.harder_after = self._measure("harder after", harder, lambda show: exam.harder(loaded, show))

    def _plan(self, loaded: Loaded) -> Plan:
        """Decide the number of steps once; a resumed run keeps it, so that the schedule is the same."""

        def compute() -> dict[str, Any]:
            if self.settings.steps is not None:
                return Plan(self.settings.steps, self.settings.steps if self.settings.twins() else 0).to_dict()
            step_seconds, save_seconds = self._rehearse(loaded)
            twins = len(self.settings.twins())
            # each run saves once more than its whole periods
            overhead = OVERHEAD + (1 + twins) * save_seconds + max(1, twins) * self.load_seconds
            step_seconds += save_seconds / self.settings.save_every
            left = self._time_left()
            assert left is not None
            plan, over = plan_steps(left, step_seconds, self.stages.seconds, twins, overhead)
            if over:
                late = f"{plan.steps} steps will take about {minutes_up(over)} min more than asked"
                self.progress.message(f"this machine is slow today: {late}")
            return plan.to_dict()

        return Plan(**self.stages.once("plan", compute))

    def _rehearse(self, loaded: Loaded) -> tuple[float, float]:
        """Seconds of one step and of one checkpoint; full disks show here, before the work is done."""
        folder = self.directory.path / "rehearsal"
        with self.progress.stage("timing one step", 1) as stage:
            run = self._training_run(loaded, folder, task_reward, steps=1)
            started = time.monotonic()
            run.rehearse()
            rehearsed = time.monotonic()
            run.save()
            saved = time.monotonic()
            stage.advance()
        shutil.rmtree(folder, ignore_errors=True)
        # later checkpoints hold the optimizer's two moments as well
        return rehearsed - started, 3 * (saved - rehearsed)

    def _training_run(self, loaded: Loaded, folder: Path, reward: Reward, steps: int) -> TrainingRun:
        s = self.settings
        folder.mkdir(exist_ok=True)
        restore_folder(folder / "checkpoint")
        stream = Stream(self.task, self.keys.train, "train", self.level)
        setup = Setup(self.task, stream, self.examination.style, self.keys.train, reward)
        dials = TrainingSettings(
            steps=steps,
            learning_rate=s.rate,
            temperature=s.temperature,
            prompts=s.prompts,
            group_size=s.group_size,
            max_new_tokens=self.examination.style.room(self.task),
            oversample=s.oversample,
            objective=s.objective,
            save_every=s.save_every,
        )
        return TrainingRun(loaded, setup, dials, folder)

    def _train(
        self, loaded: Loaded, name: str, folder: Path, reward: Reward, until: int, stop: Callable[[], bool]
    ) -> TrainingRun:
        assert self.plan is not None
        run = self._training_run(loaded, folder, reward, self.plan.steps)
        run.resume()
        self.budget.earlier += self._training_seconds(folder)
        if run.trainer.steps >= until:
            return run
        with self.progress.stage(name, until, run.trainer.steps) as stage:
            before = run.trainer.steps

            def show(row: dict[str, Any]) -> None:
                stage.advance(note=f"{100 * row['accuracy']:.0f} % right")
                if reward is task_reward:
                    self._foresee(stage, stage.seconds() / (stage.done - before))

            self._foresee(stage)
            run.train(show, until=until, stop=stop)
        return run

    def _twin(self, control: Control, to_come: int, results: Results, plan: Plan) -> None:
        """A control: the same run for another reward, for as many steps as the time allows. `to_come`: how many twins
        share the time that is left, this one included."""
        folder = self.directory.path / _folder_of(control)
        folder.parent.mkdir(exist_ok=True)

        def compute() -> dict[str, Any]:
            loaded = self.load()
            start = self._time_left()
            keep = plan.reserve + (start or 0.0) * (to_come - 1) / to_come
            with first_ctrl_c(self.progress.message) as asked:

                def stop() -> bool:
                    left = self._time_left()
                    return asked() or (left is not None and left < keep)

                try:
                    run = self._train(loaded, control.title, folder, control.reward, plan.twin_steps, stop)
                except WorkFailed as failure:
                    if isinstance(failure.__cause__, OSError):  # a full disk is not the twin's fault
                        raise
                    # the run itself is done and worth its report, which will say that the control is missing
                    self.progress.message(f"the {control.title} failed ({failure}); the report goes on without it")
                    return {"steps": 0, "measurement": None, "failure": str(failure)}
                if asked():
                    raise Stopped
            problems = self.settings.problems
            with self.progress.stage(f"{control.title} after", problems) as stage:
                measured = self.examination.greedy(loaded, lambda done, _wanted: stage.advance(done - stage.done))
            return {"steps": run.trainer.steps, "measurement": measured.to_dict()}

        saved = self.stages.once(_stage_of(control), compute)
        measured = None if saved["measurement"] is None else Measurement(**saved["measurement"])
        results.twins[control.name] = Twin(measured, saved["steps"], saved.get("failure", ""))
        if self.settings.keep_twins:
            (folder / "checkpoint" / "optimizer.safetensors").unlink(missing_ok=True)
        else:  # nobody wants the weights of a twin: its numbers are what it was for
            shutil.rmtree(folder / "checkpoint", ignore_errors=True)

    @staticmethod
    def _training_seconds(folder: Path) -> float:
        path = folder / "timing.jsonl"
        rows = read(path) if path.is_file() else []
        return sum(row["generate_seconds"] + row["train_seconds"] for row in rows)

    def _report(self, results: Results) -> dict[str, Any]:
        path = self.directory.path
        origin = json.loads(self.directory.provenance.read_text(encoding="utf-8"))
        results.timing = read(self.directory.timing)
        results.looks = self.stages.once("look", lambda: {"looks": self._look(results)})["looks"]
        report = assemble(self.settings, self.examination, results, self.stages.seconds, origin)
        report["verdict"] = verdict_lines(report)
        twin = path / "twin" / "metrics.jsonl"
        atomic_write_json(self.directory.report_json, report)
        page = html.render(report, read(self.directory.metrics), read(twin) if twin.is_file() else [])
        atomic_write_text(self.directory.report_html, page)
        return report

    def _look(self, results: Results) -> int | None:
        assert results.after is not None
        trained, key = self.directory.path / "checkpoint", self.keys.commitments["evaluation"]
        return count_run(trained, self.task, self.level, key, results.after.accuracy(), self.progress)


def _stage_of(control: Control) -> str:
    return "twin" if control.name == "random" else f"twin_{control.name}"


def _folder_of(control: Control) -> str:
    return "twin" if control.name == "random" else f"controls/{control.name}"


def sharpen(out: str | Path, progress: Progress | None = None, **options: Any) -> dict[str, Any]:
    """Begin a run in the new directory `out` and see it through; returns the report (DESIGN section 4).

    `options` are the fields of `settings.Settings`: model, task, minutes or steps, and so on. Raises UsageError
    before anything is written if they cannot work.
    """
    settings = Settings.checked(**options).anchored()
    with RunDirectory.create(Path(out)) as directory:
        try:
            sharpening = Sharpening(directory, settings, progress or Progress())
            loaded = sharpening.load()
        except UsageError:
            directory.discard()  # nothing is in it yet: a wrong option leaves no trace
            raise
        settings.save(directory.config)
        return sharpening.run(loaded)


def resume(out: str | Path, progress: Progress | None = None) -> dict[str, Any]:
    """Go on with the run in `out`, from its last checkpoint and finished stages; returns the report."""
    with RunDirectory.open(Path(out)) as directory:
        if directory.state is RunState.FINISHED:
            finished: dict[str, Any] = json.loads(directory.report_json.read_text(encoding="utf-8"))
            return finished
        for left_over in directory.path.glob(".*.part"):
            if left_over.is_file():
                left_over.unlink()
        sharpening = Sharpening(directory, Settings.load(directory.config), progress or Progress())
        return sharpening.run(sharpening.load())
