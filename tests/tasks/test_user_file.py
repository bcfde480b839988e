"""A user's own task file: the fine one works everywhere, every broken one ends in one clear line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from whetstone.errors import UsageError
from whetstone.tasks.baselines import majority_answer
from whetstone.tasks.keys import Partition, Stream
from whetstone.tasks.registry import BUILTIN, load_task
from whetstone.tasks.task import Problem, Task, Verdict, as_verdict, judge
from whetstone.tasks.user_file import UserTask

FILE = '''
import os, random, sys, time
from whetstone.tasks.answers import judge_integer
from whetstone.tasks.task import Problem, Task, Verdict

print("printed while loading")

class Fine(Task):
    """Double a number."""
    levels = (1, 2, 3)
    instruction = "Reply with the number only."

    def sample(self, seed, level):
        n = random.Random(seed).randrange(10 ** level, 10 ** (level + 1))
        return Problem(f"What is twice {n}?", {"n": n, "pair": (n, n)})

    def check(self, problem, text):
        assert problem.facts["pair"] == [problem.facts["n"]] * 2
        return judge_integer(text, 2 * problem.facts["n"])

    def answer(self, problem):
        return str(2 * problem.facts["n"])

class Spelled(Fine):
    def worked(self, problem):
        return f"2 * {problem.facts['n']} = {2 * problem.facts['n']}"

    def styles(self):
        from whetstone.tasks.task import PromptStyle
        return {"long": PromptStyle("long", None, "{question}", reasoning=7)}

class Grouped(Fine):
    """Four problems share the first digits of their number."""
    siblings, stratum, verifiable = 4, "C", True
    def sample(self, seed, level):
        n = 1000 * random.Random(seed[:16]).randrange(1, 10 ** 6) + seed[-1]
        return Problem(f"Secret {n}. What is twice it?", {"n": n, "pair": (n, n)}, cluster=str(n // 1000))
    def closed(self, problem): return "What is twice it?"
    def source(self, problem): return str(problem.facts["n"] // 1000).encode()
    def styles(self):
        from whetstone.tasks.task import PromptStyle
        return {"closed": PromptStyle("closed", None, "{closed}")}

class BadSiblings(Fine):
    siblings = 0

class BadCluster(Fine):
    def sample(self, seed, level):
        return Problem("What is twice 7?", {"n": 7, "pair": (7, 7)}, cluster=7)

class BadClosed(Grouped):
    def closed(self, problem): return None

class BadSource(Grouped):
    def source(self, problem): return "7"

class Coder(Fine):
    needs_code_execution = True

class BadWorked(Fine):
    def worked(self, problem): return 7

class BadRoom(Fine):
    def styles(self):
        from whetstone.tasks.task import PromptStyle
        return {"long": PromptStyle("long", None, "{question}", reasoning="7")}

class Loud(Fine):
    def check(self, problem, text):
        print("a" * 100000); sys.stderr.write("e"); return super().check(problem, text) is Verdict.RIGHT

class Raises(Fine):
    def sample(self, seed, level): raise ValueError("no\\nnumbers left")

class Hangs(Fine):
    def sample(self, seed, level):
        while True: pass

class Leaves(Fine):
    def sample(self, seed, level): os._exit(4)

class Nonsense(Fine):
    def sample(self, seed, level): return "What is 2?"

class NotJson(Fine):
    def sample(self, seed, level): return Problem("q", {"n": {1, 2}})

class NoQuestion(Fine):
    def sample(self, seed, level): return Problem(None, {})

class BadCheck(Fine):
    def check(self, problem, text):
        return {
            "raise": lambda: 1 / 0, "hang": lambda: time.sleep(60), "exit": lambda: os._exit(5),
            "stop": sys.exit, "memory": lambda: bytearray(2**45), "none": lambda: None,
            "number": lambda: 1, "name": lambda: "right", "yes": lambda: True, "no": lambda: False,
        }[text]()

class Lacks(Task):
    def sample(self, seed, level): return Problem("q", {})

class BadLevels(Fine):
    levels = ("easy",)

class BadInit(Fine):
    def __init__(self): raise RuntimeError("no licence")

class NotATask: pass
'''

Load = Callable[..., UserTask]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    path = tmp_path / "mytask.py"
    path.write_text(FILE)
    loaded: list[UserTask] = []

    def make(name: str, sample_seconds: float = 10.0, check_seconds: float = 5.0) -> UserTask:
        loaded.append(UserTask(path, name, sample_seconds, check_seconds))
        return loaded[-1]

    yield make
    for task in loaded:
        task.close()


def one(task: Task) -> Problem:
    return Stream(task, b"k", "train", task.default_level, Partition(b"p")).problem(0)


def usage_error(act: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message and "mytask.py" in message
    return message


def test_a_fine_task_behaves_like_a_built_in_one(load: Load) -> None:
    task = load("Fine")
    assert (task.name, task.levels, task.default_level) == ("fine", (1, 2, 3), 2)
    assert task.instruction == "Reply with the number only." and len(task.version) == 12
    drawn = Stream(task, b"k", "eval", 2, Partition(b"p")).take(20, distinct=True)
    assert drawn == Stream(load("Fine"), b"k", "eval", 2, Partition(b"p")).take(20, distinct=True)
    gold = task.answer(drawn[0])
    assert gold is not None and task.check(drawn[0], gold) is Verdict.RIGHT
    assert task.check(drawn[0], "1") is Verdict.WRONG
    assert task.check(drawn[0], "") is Verdict.NO_ANSWER
    assert task.check(drawn[0], "9" * 1_000_000) is Verdict.NO_ANSWER
    assert set(task.styles()) == {"only", "plain", "answer", "steps"}
    assert majority_answer(task, 1, b"k", 20)
    assert task.worked(drawn[0]) is None and task.styles()["steps"].room(task) == task.max_new_tokens + 192


def test_spelled_out_answers_and_room_come_through(load: Load) -> None:
    task = load("Spelled")
    problem = Problem("q", {"n": 21, "pair": [21, 21]})
    assert task.worked(problem) == "2 * 21 = 42" and task.check(problem, "2 * 21 = 42") is Verdict.RIGHT
    assert task.styles()["long"].room(task) == task.max_new_tokens + 7
    assert "worked must be a text or None" in usage_error(lambda: load("BadWorked").worked(problem))
    assert "a style's reasoning must be an integer of at least 0" in usage_error(lambda: load("BadRoom"))


def test_clusters_siblings_and_closed_questions_come_through(load: Load) -> None:
    task = load("Grouped")
    assert task.stratum == "C" and task.siblings == 4 and load("Fine").stratum == "A"
    assert task.verifiable and not load("Fine").verifiable
    drawn = [Stream(task, b"k", "eval", 1, Partition(b"p")).problem(i) for i in range(8)]
    assert [problem.facts["n"] % 1000 for problem in drawn] == [0, 1, 2, 3] * 2
    assert len({problem.cluster for problem in drawn}) == 2 and all(problem.cluster for problem in drawn)
    assert task.source(drawn[0]) == drawn[0].cluster.encode()
    style = task.styles()["closed"]
    assert style.withholds and style.messages(task, drawn[0])[0]["content"] == "What is twice it?"
    assert "siblings must be an integer from 1 to 256" in usage_error(lambda: load("BadSiblings"))
    assert "a problem's cluster must be a text" in usage_error(lambda: one(load("BadCluster")))
    assert "source must be bytes" in usage_error(lambda: one(load("BadSource")))
    assert "closed must be a text" in usage_error(lambda: load("BadClosed").closed(drawn[0]))


def test_load_task_finds_the_file(load: Load, tmp_path: Path) -> None:
    task = load_task(f"{tmp_path}/mytask.py:Fine")
    assert isinstance(task, UserTask) and one(task).task == "fine"
    task.close()


def test_prints_do_no_harm(load: Load) -> None:
    task = load("Loud")
    problem = one(task)
    assert task.check(problem, task.answer(problem) or "") is Verdict.RIGHT


def test_broken_samples(load: Load) -> None:
    line = next(i for i, text in enumerate(FILE.splitlines(), 1) if "numbers left" in text)
    message = usage_error(lambda: one(load("Raises")))
    assert f"mytask.py:{line}: sample raised ValueError: no numbers left" in message
    assert "sample: it took longer than 0.3 s" in usage_error(lambda: one(load("Hangs", sample_seconds=0.3)))
    assert "exit code 4" in usage_error(lambda: one(load("Leaves")))
    assert "sample must return a Problem, not str" in usage_error(lambda: one(load("Nonsense")))
    assert "plain JSON" in usage_error(lambda: one(load("NotJson")))
    assert "question must be a text" in usage_error(lambda: one(load("NoQuestion")))


def test_broken_checks_are_verdicts(load: Load) -> None:
    task = load("BadCheck", check_seconds=0.5)
    problem = one(task)
    for text, verdict, reason in (
        ("raise", Verdict.ERROR, "ZeroDivisionError"),
        ("hang", Verdict.TIMEOUT, "longer than 0.5 s"),
        ("exit", Verdict.ERROR, "exit code 5"),
        ("stop", Verdict.ERROR, "SystemExit"),
        ("memory", Verdict.ERROR, "MemoryError"),
        ("none", Verdict.ERROR, "not NoneType"),
        ("number", Verdict.ERROR, "not int"),
        ("name", Verdict.RIGHT, ""),
        ("yes", Verdict.RIGHT, ""),
        ("no", Verdict.WRONG, ""),
    ):
        task.last_error = ""
        assert task.check(problem, text) is verdict
        assert reason in task.last_error and "\n" not in task.last_error
        assert bool(task.last_error) == (verdict in (Verdict.ERROR, Verdict.TIMEOUT))


def test_files_that_cannot_be_loaded(load: Load, tmp_path: Path) -> None:
    message = usage_error(lambda: load("Missing"))
    assert "no class Missing" in message and "Fine" in message
    assert "not a subclass" in usage_error(lambda: load("NotATask"))
    assert "lacks the method check" in usage_error(lambda: load("Lacks"))
    assert "levels and max_new_tokens must be integers" in usage_error(lambda: load("BadLevels"))
    assert "RuntimeError: no licence" in usage_error(lambda: load("BadInit"))
    (tmp_path / "mytask.py").write_text("x = 1\ndef broken(:\n")
    assert "mytask.py:2: loading the file raised SyntaxError" in usage_error(lambda: load("Fine"))
    (tmp_path / "mytask.py").write_text("import nothing_of_that_name\n")
    assert "mytask.py:1: loading the file raised ModuleNotFoundError" in usage_error(lambda: load("Fine"))


def test_a_file_edited_during_a_run_is_noticed(load: Load, tmp_path: Path) -> None:
    task = load("BadCheck", check_seconds=0.3)
    problem = one(task)
    (tmp_path / "mytask.py").write_text(FILE.replace("lambda: False", "lambda: True"))
    assert task.check(problem, "no") is Verdict.WRONG  # the running child holds the file as it was
    assert task.check(problem, "hang") is Verdict.TIMEOUT
    assert task.check(problem, "no") is Verdict.ERROR and "was changed" in task.last_error
    assert "was changed" in usage_error(lambda: one(task))


def test_names(tmp_path: Path) -> None:
    assert len(BUILTIN) >= 10
    for spec, hint in (
        ("adition", "did you mean addition"),
        ("zzz", "choose one of addition"),
        ("nowhere.py:Mine", "no file nowhere.py"),
        ("mytask.py", "name the class"),
        (f"{tmp_path}/x.py:", "no file"),
    ):
        with pytest.raises(UsageError, match=hint):
            load_task(spec)


class InProcess(Task):
    """A task handed over as an object, not as a file."""

    def sample(self, seed: bytes, level: int) -> Problem:
        return Problem("q", {"n": seed[0]})

    def check(self, problem: Problem, text: str) -> Verdict:
        raise KeyError("lost")


def test_judge_turns_a_failing_check_into_a_verdict() -> None:
    task = InProcess()
    assert judge(task, one(task), "x") is Verdict.ERROR and "KeyError" in task.last_error
    assert len(task.version) == 12 and task.name == "inprocess" and task.default_level == 1
    assert as_verdict(True) is Verdict.RIGHT and as_verdict("timeout") is Verdict.TIMEOUT


def test_a_task_that_runs_a_models_code_is_refused(load: Load) -> None:
    class Coder(InProcess):
        needs_code_execution = True

    with pytest.raises(UsageError, match="run code that a model wrote"):
        judge(Coder(), Problem("q", {}), "print(1)")
    with pytest.raises(UsageError, match=r"'coder' wants to run code that a model wrote"):
        load("Coder")


def test_facts_must_be_json() -> None:
    with pytest.raises(UsageError, match="plain JSON"):
        InProcess().canonical(Problem("q", {"n": {1}}))


def test_messages_of_styles() -> None:
    task = load_task("addition")
    problem, example = Problem("What is 28 + 21?", {}), Problem("What is {1} + 1?", {})
    assert task.styles()["only"].messages(task, problem) == [
        {"role": "user", "content": "What is 28 + 21? Reply with the number only."}
    ]
    turns = task.styles()["plain"].messages(task, problem, [(example, "2")])
    assert [turn["content"] for turn in turns] == ["What is {1} + 1?", "2", "What is 28 + 21?"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]


def test_every_built_in_task_documents_its_levels() -> None:
    for cls in BUILTIN.values():
        assert (inspect.getdoc(cls) or "").startswith("Level n:")
