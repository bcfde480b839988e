"""What is asked before and after: other problems than training draws, the same ones both times."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.tiny import tiny_model, tiny_tokenizer
from whetstone.engine.rollout import PromptTooLong
from whetstone.errors import UsageError
from whetstone.models.loading import Loaded
from whetstone.sharpen.examination import SHOTS, VALIDATION_PROBLEMS, Examination, Keys
from whetstone.sharpen.settings import Settings
from whetstone.tasks.keys import Stream
from whetstone.tasks.registry import BUILTIN, load_task
from whetstone.tasks.task import Problem, Task, Verdict


class Numbers(Task):
    """Repeat a number; `size` different problems."""

    version = "1"
    size = 10**6
    padding = 0
    max_new_tokens = 3

    def sample(self, seed: bytes, level: int) -> Problem:
        n = random.Random(seed).randrange(self.size)
        return Problem("x" * self.padding + f"{n}?", {"n": n})

    def check(self, problem: Problem, text: str) -> Verdict:
        return Verdict.RIGHT if text == str(problem.facts["n"]) else Verdict.WRONG

    def answer(self, problem: Problem) -> str | None:
        return str(problem.facts["n"])


def keys(seed: str = "0") -> Keys:
    return Keys.of(seed.encode())


def examine(task: Task, problems: int = 40, level: int | None = None) -> Examination:
    settings = Settings.checked(steps=1, problems=problems, pool_samples=2)
    return Examination(task, task.default_level if level is None else level, keys(), settings)


def loaded(**changes: object) -> Loaded:
    return Loaded(tiny_model(**changes), tiny_tokenizer(), "tiny", Path("tiny"))


@pytest.mark.parametrize("task", sorted(BUILTIN))
def test_training_can_draw_no_problem_that_is_asked(task: str) -> None:
    """Whatever key a run trains with: the space itself is divided."""
    exam = examine(load_task(task), problems=60)
    asked = {problem.id for problem in exam.problems}
    held = {problem.id for problem in exam.validation} | {problem.id for problem, _ in exam.examples}
    assert len(asked) == 60 and len(held) == len(exam.validation) + len(exam.examples)
    assert not asked & held, "worked examples and the choice of a prompt use other problems than the score"
    for seed in ("0", "1"):
        stream = Stream(exam.task, keys(seed).train, "train", exam.level)
        assert not (asked | held) & {stream.problem(i).id for i in range(400)}


def test_the_same_seed_asks_the_same() -> None:
    first, second = examine(load_task("addition")), examine(load_task("addition"))
    assert first.problems == second.problems and first.validation == second.validation
    other = Examination(first.task, first.level, keys("other"), first.settings)
    assert other.problems != first.problems


def test_the_keys_differ_and_are_only_committed_to() -> None:
    made = keys()
    assert made.train != made.evaluation
    assert {made.train.hex(), made.evaluation.hex()}.isdisjoint(made.commitments.values())
    assert made.commitments.keys() == {"train", "evaluation"}


def test_harder_is_the_next_level_and_may_be_missing() -> None:
    task = load_task("addition")
    exam = examine(task, level=task.levels[0] if len(task.levels) < 3 else task.levels[1])
    assert exam.harder_level == task.levels[task.levels.index(exam.level) + 1]
    assert {problem.level for problem in exam.harder_problems} == {exam.harder_level}
    hardest = examine(task, level=task.levels[-1])
    assert hardest.harder_level is None and hardest.harder(loaded()) is None


def test_a_small_space_gives_fewer_validation_problems() -> None:
    class Small(Numbers):
        size = 300

    exam = examine(Small(), problems=30)
    found = len(exam.examples) + len(exam.validation)
    assert 4 <= found < SHOTS + VALIDATION_PROBLEMS
    assert exam.styles(loaded())["tried"]["only"]["n"] == len(exam.validation)
    with pytest.raises(UsageError, match=r"only about \d+ different eval problems"):
        examine(Small(), problems=200)


def test_a_task_that_contradicts_itself_is_refused() -> None:
    class Wrong(Numbers):
        def answer(self, problem: Problem) -> str | None:
            return "0" + str(problem.facts["n"])

    class Broken(Numbers):
        def check(self, problem: Problem, text: str) -> Verdict:
            raise ZeroDivisionError("by 0")

    with pytest.raises(UsageError, match=r"'wrong' contradicts itself: check.. says wrong to answer..'s own '0\d+'"):
        examine(Wrong())
    with pytest.raises(UsageError, match=r"says error .* ZeroDivisionError: by 0; mend it"):
        examine(Broken())


@pytest.mark.parametrize("task", sorted(BUILTIN))
def test_no_builtin_task_contradicts_itself(task: str) -> None:
    for level in load_task(task).levels:
        try:
            exam = examine(load_task(task), problems=40, level=level)
        except UsageError as error:
            assert "different" in str(error)  # the easiest levels of some are small
            continue
        assert len(exam.examples) == SHOTS


def test_without_answers_there_are_no_examples() -> None:
    class Silent(Numbers):
        def answer(self, problem: Problem) -> str | None:
            return None

    exam = examine(Silent())
    assert exam.examples == [] and exam.few_shot(loaded()) is None
    assert exam.constants() == {"majority_answer": {"text": "", "accuracy": 0.0}, "empty": {"accuracy": 0.0}}


def test_constants_of_a_task_with_a_usual_answer() -> None:
    class Usually(Numbers):
        def answer(self, problem: Problem) -> str | None:
            return "no" if problem.facts["n"] % 4 else ""

        def check(self, problem: Problem, text: str) -> Verdict:
            return Verdict.RIGHT if text == self.answer(problem) else Verdict.WRONG

    found = examine(Usually(), problems=200).constants()
    assert found["majority_answer"]["text"] == "no"
    assert found["majority_answer"]["accuracy"] == pytest.approx(0.75, abs=0.1)
    assert found["empty"]["accuracy"] == pytest.approx(0.25, abs=0.1)


def test_every_measurement_is_of_the_same_problems() -> None:
    exam, model = examine(Numbers(), problems=10), loaded()
    greedy, pool, few = exam.greedy(model), exam.pool(model), exam.few_shot(model)
    assert few is not None
    assert greedy.ids == few.ids == exam.in_style(model, "plain").ids == [problem.id for problem in exam.problems]
    assert pool.ids == greedy.ids[: len(pool.ids)] and {len(texts) for texts in pool.texts} == {2}
    assert exam.greedy(model) == greedy and exam.pool(model) == pool
    counted: list[tuple[int, int]] = []
    styles = exam.styles(model, lambda done, wanted: counted.append((done, wanted)))
    assert counted == [(place, 4) for place in (1, 2, 3, 4)] and styles["best"] in styles["tried"]
    assert exam.styles(model) == styles


def test_prompts_longer_than_the_model_takes() -> None:
    class Long(Numbers):
        padding = 60

    class LongerLater(Numbers):
        levels = (1, 2, 3)

        def sample(self, seed: bytes, level: int) -> Problem:
            problem = super().sample(seed, level)
            return Problem("x" * 60 * (level - 1) + problem.question, problem.facts)

    exam = examine(Long(), problems=8)
    # eight worked examples do not fit; one question does, but for the style that asks for most words
    model = loaded(max_positions=120)
    assert exam.few_shot(model) is None
    assert "only" in exam.styles(model)["tried"] and "steps" not in exam.styles(model)["tried"]
    assert examine(LongerLater(), problems=8).harder(model) is None
    with pytest.raises(PromptTooLong, match=r"has \d+ tokens and its answer may take 3, but the model takes 64 in all"):
        exam.greedy(loaded(max_positions=64))
