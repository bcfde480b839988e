"""The main job: examine, train, examine again, train a twin on random rewards, write the report.

Every stage is done once and leaves a file; training leaves checkpoints. So the job can be killed anywhere and goes on
from there with the same result.
"""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from whetstone.engine.protocol import Progress as Report
from whetstone.errors import UsageError
from whetstone.evals.measure import Measurement
from whetstone.files import atomic_write_json, atomic_write_text
from whetstone.models.loading import Loaded, add_lora, load
from whetstone.runs import provenance
from whetstone.runs.directory import RunDirectory
from whetstone.runs.metrics import read
from whetstone.runs.progress import Progress
from whetstone.sharpen import html
from whetstone.sharpen.assemble import Results, assemble
from whetstone.sharpen.examination import Examination, Keys
from whetstone.sharpen.plan import Plan, plan_steps
from whetstone.sharpen.settings import Settings
from whetstone.sharpen.stages import Stages
from whetstone.sharpen.verdict import verdict_lines
from whetstone.tasks.keys import Key, Stream
from whetstone.tasks.registry import load_task
from whetstone.training.rewards import Reward, random_reward, task_reward
from whetstone.training.rlvr import Run, Setup
from whetstone.training.rlvr import Settings as TrainingSettings


class Stopped(Exception):
    """The user asked to stop; everything up to the last whole step is saved."""


class Sharpening:
    """One `whet sharpen` in one directory. `run` goes from wherever the directory is to the report."""

    def __init__(self, directory: RunDirectory, settings: Settings, progress: Progress) -> None:
        """Raises UsageError for an unknown task, level, style, objective or model."""
        self.directory, self.settings, self.progress = directory, settings, progress
        self.stages = Stages(directory.path / "stages")
        self.task = load_task(settings.task)
        self.level = self.task.default_level if settings.level is None else settings.level
        self.task.require_level(self.level)
        if settings.style not in self.task.styles():
            raise UsageError(f"unknown style {settings.style!r}; choose one of {', '.join(self.task.styles())}")
        self.keys = Keys.of(Key.derive(str(settings.seed).encode(), "whetstone run"))
        self.examination = Examination(self.task, self.level, self.keys, settings)

    def run(self, loaded: Loaded) -> dict[str, Any]:
        """All stages that are left, on a freshly loaded model; returns the report. Raises Stopped after Ctrl-C."""
        self._note_origin(loaded)
        results = self._before(loaded)
        plan = self._plan(loaded)
        with self._ctrl_c() as asked:
            run = self._train(loaded, "train", self.directory.path, task_reward, plan.steps, asked)
            trained = {"totals": run.totals, "ledger_root": run.ledger.root(), "trained_on": len(run.ledger)}
            shared = sum(identity in run.ledger for identity in results.before.ids)
        self._after(loaded, results)
        results.training = {**trained, "steps": plan.steps, "shared": shared}
        del loaded, run
        if plan.twin_steps:
            self._twin(results, plan)
        return self._report(results)

    def load(self) -> Loaded:
        """The base model, with fresh adapters if the method is lora. Raises UsageError for a model that cannot be."""
        loaded = load(self.settings.model, self.settings.device)
        if self.settings.method == "lora":
            rank = self.settings.lora_rank
            add_lora(loaded, rank, alpha=rank, seed=self.settings.seed)
        return loaded

    def _note_origin(self, loaded: Loaded) -> None:
        """Write provenance.json, once: what made this run, on what, with which commitments."""
        if self.directory.provenance.is_file():
            return
        origin = provenance.collect()
        origin |= {"seed": self.settings.seed, "keys": self.keys.commitments}
        weights = loaded.folder / "model.safetensors"
        origin["model"] = {
            "name": loaded.name,
            "parameters": loaded.parameters,
            "sha256": provenance.sha256_file(weights) if weights.is_file() else provenance.sha256_folder(loaded.folder),
        }
        atomic_write_json(self.directory.provenance, origin)

    def _measure(self, name: str, measure: Callable[[Report], Measurement | None]) -> Measurement | None:
        """A measuring stage with progress, done once."""

        def compute() -> dict[str, Any]:
            with self.progress.stage(name, 1) as stage:

                def show(done: int, wanted: int) -> None:
                    stage.total = wanted
                    stage.advance(done - stage.done)

                measured = measure(show)
            return {"measurement": None if measured is None else measured.to_dict()}

        saved = self.stages.once(name.replace(" ", "_"), compute)["measurement"]
        return None if saved is None else Measurement(**saved)

    def _before(self, loaded: Loaded) -> Results:
        exam = self.examination
        before = self._measure("before", lambda show: exam.greedy(loaded, show))
        pool = self._measure("samples before", lambda show: exam.pool(loaded, show))
        assert before is not None and pool is not None
        results = Results(before=before, pool_before=pool)
        results.harder_before = self._measure("harder before", lambda show: exam.harder(loaded, show))
        results.few_shot = self._measure("few-shot", lambda show: exam.few_shot(loaded, show))
        with self.progress.stage("prompt styles", len(self.task.styles())):
            results.styles = self.stages.once("styles", lambda: exam.styles(loaded))
        best = results.styles["best"]
        if best != self.settings.style:
            results.best_style = self._measure("best prompt", lambda show: exam.in_style(loaded, best, show))
        return results

    def _after(self, loaded: Loaded, results: Results) -> None:
        exam = self.examination
        results.after = self._measure("after", lambda show: exam.greedy(loaded, show))
        results.pool_after = self._measure("samples after", lambda show: exam.pool(loaded, show))
        results.harder_after = self._measure("harder after", lambda show: exam.harder(loaded, show))

    def _plan(self, loaded: Loaded) -> Plan:
        """Decide the number of steps once; a resumed run keeps it, so that the schedule is the same."""

        def compute() -> dict[str, Any]:
            if self.settings.steps is not None:
                return Plan(self.settings.steps, self.settings.steps if self.settings.twin else 0, 0.0).to_dict()
            with self.progress.stage("timing one step", 1) as stage:
                folder = self.directory.path / "rehearsal"
                run = self._training_run(loaded, folder, task_reward, steps=1)
                started = time.monotonic()
                run.rehearse()
                seconds = time.monotonic() - started
                stage.advance()
            assert self.settings.minutes is not None
            spent = sum(self.stages.seconds.values()) + seconds
            left = 60 * self.settings.minutes - spent
            return plan_steps(left, seconds, self.stages.seconds, self.settings.twin).to_dict()

        return Plan(**self.stages.once("plan", compute))

    def _training_run(self, loaded: Loaded, folder: Path, reward: Reward, steps: int) -> Run:
        s = self.settings
        folder.mkdir(exist_ok=True)
        stream = Stream(self.task, self.keys.train, "train", self.level, self.keys.partition)
        setup = Setup(self.task, stream, self.examination.style, self.keys.train, reward)
        dials = TrainingSettings(
            steps=steps,
            learning_rate=s.rate,
            prompts=s.prompts,
            group_size=s.group_size,
            max_new_tokens=self.task.max_new_tokens,
            oversample=s.oversample,
            objective=s.objective,
            save_every=s.save_every,
        )
        return Run(loaded, setup, dials, folder)

    def _train(
        self, loaded: Loaded, name: str, folder: Path, reward: Reward, until: int, stop: Callable[[], bool]
    ) -> Run:
        plan = Plan(**self.stages.once("plan", dict))
        run = self._training_run(loaded, folder, reward, plan.steps)
        run.resume()
        with self.progress.stage(name, until, run.trainer.steps) as stage:
            run.train(
                lambda row: stage.advance(note=f"{100 * row['accuracy']:.0f} % right"),
                until=until,
                stop=stop,
            )
        if run.trainer.steps < until and name == "train":
            raise Stopped
        return run

    def _twin(self, results: Results, plan: Plan) -> None:
        """The control: the same run with coin flips for rewards, for as many steps as the time allows."""
        folder = self.directory.path / "twin"

        def compute() -> dict[str, Any]:
            loaded = self.load()
            spent = sum(self.stages.seconds.values()) + self._training_seconds(self.directory.path)
            deadline = None if self.settings.minutes is None else 60 * self.settings.minutes - spent - plan.reserve
            with self._ctrl_c() as asked:
                started = time.monotonic()
                before = self._training_seconds(folder)

                def stop() -> bool:
                    late = deadline is not None and before + time.monotonic() - started > deadline
                    return late or asked()

                run = self._train(loaded, "random-reward twin", folder, random_reward, plan.twin_steps, stop)
                if asked():
                    raise Stopped
            with self.progress.stage("twin after", 1) as stage:
                measured = self.examination.greedy(loaded)
                stage.advance()
            return {"steps": run.trainer.steps, "measurement": measured.to_dict()}

        saved = self.stages.once("twin", compute)
        results.twin_steps, results.twin = saved["steps"], Measurement(**saved["measurement"])
        # nobody wants the weights of the twin: its numbers are what it was for
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)

    @staticmethod
    def _training_seconds(folder: Path) -> float:
        path = folder / "timing.jsonl"
        rows = read(path) if path.is_file() else []
        return sum(row["generate_seconds"] + row["train_seconds"] for row in rows)

    def _report(self, results: Results) -> dict[str, Any]:
        path = self.directory.path
        origin = json.loads(self.directory.provenance.read_text())
        results.timing = read(self.directory.timing)
        report = assemble(self.settings, self.examination, results, self.stages.seconds, origin)
        report["verdict"] = verdict_lines(report)
        twin = path / "twin" / "metrics.jsonl"
        atomic_write_json(self.directory.report_json, report)
        page = html.render(report, read(self.directory.metrics), read(twin) if twin.is_file() else [])
        atomic_write_text(self.directory.report_html, page)
        shutil.rmtree(path / "rehearsal", ignore_errors=True)
        return report

    @contextmanager
    def _ctrl_c(self) -> Iterator[Callable[[], bool]]:
        """Within the block the first Ctrl-C lets the step finish; the second one ends the process as usual."""
        asked = threading.Event()
        if threading.current_thread() is not threading.main_thread():
            yield asked.is_set
            return
        usual = signal.getsignal(signal.SIGINT)

        def handler(number: int, frame: Any) -> None:
            asked.set()
            self.progress.message("finishing this step, then saving; press Ctrl-C again to stop at once")
            signal.signal(signal.SIGINT, usual)

        signal.signal(signal.SIGINT, handler)
        try:
            yield asked.is_set
        finally:
            signal.signal(signal.SIGINT, usual)


def sharpen(out: str | Path, progress: Progress | None = None, **options: Any) -> dict[str, Any]:
    """Begin a run in the new directory `out` and see it through; returns the report (DESIGN section 4).

    `options` are the fields of `settings.Settings`: model, task, minutes or steps, and so on. Raises UsageError
    before anything is written if they cannot work.
    """
    settings = Settings.checked(**options)
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
        sharpening = Sharpening(directory, Settings.load(directory.config), progress or Progress())
        return sharpening.run(sharpening.load())
