"""A user's own task file: loaded and run in a child process (`main`), seen from here as an ordinary task
(`UserTask`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from whetstone.errors import UsageError
from whetstone.sandbox.worker import Worker, WorkerDied, WorkerRaised, WorkerTimeout, python_command, serve
from whetstone.tasks.task import Facts, Problem, PromptStyle, Task, Verdict, as_verdict, require_no_code_execution

LOAD_SECONDS = 60.0  # importing the file may import large libraries
SAMPLE_SECONDS = 10.0
CHECK_SECONDS = 5.0
MEMORY = 8 * 2**30  # bytes
_WHAT = {"describe": "loading the file"}  # how a message names a method that the user did not write


class UserTask(Task):
    """A task of a user's file, run in a child that can be killed. A broken check is a verdict; the rest is
    UsageError.
    """

    def __init__(
        self,
        path: Path,
        class_name: str,
        sample_seconds: float = SAMPLE_SECONDS,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self.path = path
        self.class_name = class_name
        self._sample_seconds, self._check_seconds = sample_seconds, check_seconds
        # A child that is started again must run the same file: an edit during a run would go unseen.
        self._fingerprint = _fingerprint(path)
        arguments = str(path.resolve()), class_name, self._fingerprint
        command = python_command("whetstone.tasks.user_file", *arguments)
        self._worker = Worker(command, memory=MEMORY)
        about = self._ask("describe", {}, SAMPLE_SECONDS)
        self.name, self.version, self.instruction = about["name"], about["version"], about["instruction"]
        self.levels, self.max_new_tokens = tuple(about["levels"]), about["max_new_tokens"]
        self.stratum, self.siblings = about["stratum"], about["siblings"]
        self.verifiable = about["verifiable"]
        self._default_level: int = about["default_level"]
        self._styles = {style["name"]: PromptStyle(**style) for style in about["styles"]}

    @property
    def default_level(self) -> int:
        return self._default_level

    @property
    def source_digest(self) -> str:
        return self._fingerprint

    def sample(self, seed: bytes, level: int) -> Problem:
        """Raises UsageError, in one line, when the file's `sample` raises, hangs or returns nonsense."""
        made = self._ask("sample", {"seed": seed.hex(), "level": level}, self._sample_seconds)
        return Problem(**made)

    def check(self, problem: Problem, text: str) -> Verdict:
        """Never raises: TIMEOUT when the file's `check` hangs, ERROR when it fails (why: `last_error`)."""
        arguments = {"problem": asdict(problem), "text": text}
        try:
            return Verdict(self._worker.call("check", arguments, self._check_seconds, LOAD_SECONDS))
        except WorkerTimeout as error:
            self.last_error = f"{self.path}: check: {error}"
            return Verdict.TIMEOUT
        except WorkerRaised as error:
            self.last_error = self._explain("check", error)
        except WorkerDied as error:
            self.last_error = f"{self.path}: check: the process that runs it stopped: {error}"
        return Verdict.ERROR

    def canonical_facts(self, facts: Facts) -> Facts:
        result: Facts = self._ask("canonical_facts", {"facts": facts}, self._check_seconds)
        return result

    def answer(self, problem: Problem) -> str | None:
        result: str | None = self._ask("answer", {"problem": asdict(problem)}, self._sample_seconds)
        return result

    def worked(self, problem: Problem) -> str | None:
        result: str | None = self._ask("worked", {"problem": asdict(problem)}, self._sample_seconds)
        return result

    def closed(self, problem: Problem) -> str:
        result: str = self._ask("closed", {"problem": asdict(problem)}, self._sample_seconds)
        return result

    def source(self, problem: Problem) -> bytes | None:
        result: str | None = self._ask("source", {"problem": asdict(problem)}, self._sample_seconds)
        return None if result is None else bytes.fromhex(result)

    def final_answer(self, text: str) -> str | None:
        result: str | None = self._ask("final_answer", {"text": text}, self._check_seconds)
        return result

    def styles(self) -> dict[str, PromptStyle]:
        return dict(self._styles)

    def close(self) -> None:
        """Stop the child process; the next use starts another."""
        self._worker.close()

    def _ask(self, method: str, arguments: Mapping[str, Any], limit: float) -> Any:
        try:
            return self._worker.call(method, arguments, limit, LOAD_SECONDS)
        except WorkerTimeout as error:
            raise UsageError(f"{self.path}: {_WHAT.get(method, method)}: {error}") from error
        except WorkerRaised as error:
            raise UsageError(self._explain(method, error)) from error
        except WorkerDied as error:
            what = _WHAT.get(method, method)
            raise UsageError(f"{self.path}: {what}: the process that runs it stopped: {error}") from error

    def _explain(self, method: str, error: WorkerRaised) -> str:
        if error.kind == UsageError.__name__:  # one of ours, raised in the child: it says all
            return str(error).removeprefix(f"{error.kind}: ")
        place = f"{self.path}:{error.line}" if error.line else str(self.path)
        return f"{place}: {_WHAT.get(method, method)} raised {error}"


class _Host:
    """In the child: the user's task, behind methods that speak JSON."""

    def __init__(self, path: str, class_name: str, fingerprint: str) -> None:
        self.path, self.class_name, self.fingerprint = path, class_name, fingerprint
        self._task: Task | None = None

    def load(self) -> None:
        """Import the file. What it raises is raised again by every call until it loads."""
        if self._task is None:
            if _fingerprint(Path(self.path)) != self.fingerprint:
                raise UsageError(f"{self.path} was changed while it was in use; put it back or start anew")
            self._task = _load(self.path, self.class_name)

    @property
    def task(self) -> Task:
        self.load()
        assert self._task is not None
        return self._task

    def describe(self) -> dict[str, Any]:
        task = self.task
        about = {
            "name": task.name,
            "version": task.version,
            "levels": list(task.levels),
            "default_level": task.default_level,
            "instruction": task.instruction,
            "max_new_tokens": task.max_new_tokens,
            "stratum": task.stratum,
            "siblings": task.siblings,
            "verifiable": task.verifiable,
            "styles": [asdict(style) for style in task.styles().values()],
        }
        whole = all(type(n) is int for n in (*task.levels, task.max_new_tokens))
        require_no_code_execution(task)
        _require(whole and len(task.levels) > 0, self.path, "levels and max_new_tokens", "integers")
        _require(task.default_level in task.levels, self.path, "default_level", "one of its levels")
        roomy = all(type(style.reasoning) is int and style.reasoning >= 0 for style in task.styles().values())
        _require(roomy, self.path, "a style's reasoning", "an integer of at least 0")
        few = type(task.siblings) is int and 1 <= task.siblings <= 256
        _require(few, self.path, "siblings", "an integer from 1 to 256")
        _require(type(task.verifiable) is bool, self.path, "verifiable", "True or False")
        for field in ("name", "version", "instruction"):
            _require(isinstance(about[field], str), self.path, field, "a text")
        return about

    def sample(self, seed: str, level: int) -> dict[str, Any]:
        problem = self.task.sample(bytes.fromhex(seed), level)
        if not isinstance(problem, Problem):
            raise UsageError(f"{self.path}: sample must return a Problem, not {type(problem).__name__}")
        asked = isinstance(problem.question, str) and problem.question != ""
        _require(asked, self.path, "a problem's question", "a text")
        try:
            facts = json.loads(json.dumps(dict(problem.facts), allow_nan=False))
        except (TypeError, ValueError) as error:
            message = f"{self.path}: a problem's facts must be a dict of plain JSON values: {error}"
            raise UsageError(message) from error
        _require(isinstance(problem.cluster, str), self.path, "a problem's cluster", "a text")
        return {"question": problem.question, "facts": facts, "cluster": problem.cluster}

    def check(self, problem: dict[str, Any], text: str) -> str:
        return as_verdict(self.task.check(Problem(**problem), text)).value

    def canonical_facts(self, facts: dict[str, Any]) -> dict[str, Any]:
        return dict(self.task.canonical_facts(facts))

    def answer(self, problem: dict[str, Any]) -> str | None:
        answer = self.task.answer(Problem(**problem))
        _require(answer is None or isinstance(answer, str), self.path, "answer", "a text or None")
        return answer

    def worked(self, problem: dict[str, Any]) -> str | None:
        worked = self.task.worked(Problem(**problem))
        _require(worked is None or isinstance(worked, str), self.path, "worked", "a text or None")
        return worked

    def closed(self, problem: dict[str, Any]) -> str:
        closed = self.task.closed(Problem(**problem))
        _require(isinstance(closed, str), self.path, "closed", "a text")
        return closed

    def source(self, problem: dict[str, Any]) -> str | None:
        source = self.task.source(Problem(**problem))
        _require(source is None or isinstance(source, bytes), self.path, "source", "bytes or None")
        return None if source is None else source.hex()

    def final_answer(self, text: str) -> str | None:
        answer = self.task.final_answer(text)
        _require(answer is None or isinstance(answer, str), self.path, "final_answer", "a text or None")
        return answer


def _fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _require(holds: bool, path: str, what: str, kind: str) -> None:
    if not holds:
        raise UsageError(f"{path}: {what} must be {kind}")


def _load(path: str, class_name: str) -> Task:
    """Import the file and make its task. Raises UsageError or whatever the file raises."""
    sys.path.insert(0, str(Path(path).parent))  # so that the file can import its neighbours
    spec = importlib.util.spec_from_file_location("user_task_file", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    cls = getattr(module, class_name, None)
    if not (inspect.isclass(cls) and issubclass(cls, Task)):
        known = [
            name
            for name, value in vars(module).items()
            if inspect.isclass(value) and issubclass(value, Task) and value.__module__ == spec.name
        ]
        wrong = f"{class_name} is not a subclass of whetstone's Task" if cls else f"there is no class {class_name}"
        raise UsageError(f"{path}: {wrong}; the tasks in it: {', '.join(known) or 'none'}")
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise UsageError(f"{path}: class {class_name} lacks the method {' and '.join(missing)}")
    task: Task = cls()
    return task


def main() -> None:
    """The child process: FILE CLASS FINGERPRINT."""
    path, class_name, fingerprint = sys.argv[1:]
    host = _Host(path, class_name, fingerprint)
    handlers = {
        method.__name__: method
        for method in (
            host.describe,
            host.sample,
            host.check,
            host.canonical_facts,
            host.answer,
            host.worked,
            host.closed,
            host.source,
            host.final_answer,
        )
    }
    serve({"start": host.load, **handlers}, user_file=path)  # the start has a longer limit than other calls


if __name__ == "__main__":
    main()
