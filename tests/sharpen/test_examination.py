"""What is asked before and after: other problems than training draws, the same ones both times."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.tiny import tiny_model, tiny_tokenizer
from whetstone.engine.engine import Engine
from whetstone.engine.rollout import PromptTooLong
from whetstone.engine.step import BLOCK
from whetstone.errors import UsageError
from whetstone.evals.measure import Measurement
from whetstone.models.loading import Loaded
from whetstone.sharpen.examination import (
    MORE_ROOM,
    SHOTS,
    TEMPERATURES,
    TRIAL_SAMPLES,
    VALIDATION_PROBLEMS,
    Examination,
    Keys,
)
from whetstone.sharpen.settings import Settings
from whetstone.tasks.keys import Stream
from whetstone.tasks.registry import BUILTIN, load_task
from whetstone.tasks.task import Problem, PromptStyle, Task, Verdict


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


class Spelled(Numbers):
    """With a spelled-out answer beside the bare one."""

    def check(self, problem: Problem, text: str) -> Verdict:
        return Verdict.RIGHT if text.removeprefix("It is ") == str(problem.facts["n"]) else Verdict.WRONG

    def worked(self, problem: Problem) -> str | None:
        return f"It is {problem.facts['n']}"


def examine(task: Task, problems: int = 40, level: int | None = None, **options: object) -> Examination:
    settings = Settings.checked(**{"steps": 1, "problems": problems, "pool_samples": 2, "vote_samples": 2, **options})
    return Examination(task, task.default_level if level is None else level, keys(), settings)


def loaded(**changes: object) -> Loaded:
    return Loaded(tiny_model(**changes), tiny_tokenizer(), "tiny", Path("tiny"))


@pytest.mark.parametrize("task", sorted(BUILTIN))
def test_training_can_draw_no_problem_that_is_asked(task: str) -> None:
    """Whatever key a run trains with: the space itself is divided."""
    exam = examine(load_task(task), problems=60)
    asked = {problem.id for problem in exam.problems}
    held = {problem.id for problem in exam.validation} | {problem.id for problem, _ in exam.examples["bare"]}
    assert len(asked) == 60 and len(held) == len(exam.validation) + len(exam.examples["bare"])
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
    found = len(exam.examples["bare"]) + len(exam.validation)
    assert 4 <= found < max(SHOTS) + VALIDATION_PROBLEMS
    assert exam.styles(loaded())["tried"]["only"]["greedy"]["n"] == len(exam.validation)
    with pytest.raises(UsageError, match=r"only about \d+ different eval problems"):
        examine(Small(), problems=200)


def test_a_task_that_contradicts_itself_is_refused() -> None:
    class Wrong(Numbers):
        def answer(self, problem: Problem) -> str | None:
            return "0" + str(problem.facts["n"])

    class Broken(Numbers):
        def check(self, problem: Problem, text: str) -> Verdict:
            raise ZeroDivisionError("by 0")

    class Misspelled(Spelled):
        def worked(self, problem: Problem) -> str | None:
            return f"It was {problem.facts['n']}"

    with pytest.raises(UsageError, match=r"'wrong' contradicts itself: check.. says wrong to answer..'s own '0\d+'"):
        examine(Wrong())
    with pytest.raises(UsageError, match=r"contradicts itself: check.. says wrong to worked..'s own 'It was \d+'"):
        examine(Misspelled())
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
        assert {len(examples) for examples in exam.examples.values()} == {max(SHOTS)}


def test_a_style_that_withholds_the_document_is_never_a_candidate() -> None:
    exam = examine(load_task("fiction"), problems=20, level=1)
    assert "closed" in exam.task.styles()
    assert exam.candidates and not any(style.withholds for style in exam.candidates.values())


def test_without_answers_there_are_no_examples() -> None:
    class Silent(Numbers):
        def answer(self, problem: Problem) -> str | None:
            return None

    exam = examine(Silent())
    assert exam.examples == {} and exam.few_shot_forms() == []
    found = exam.constants()
    assert found["text"] is None and found["majority"] is None and found["empty"] == [0] * 40


def test_constants_of_a_task_with_a_usual_answer() -> None:
    class Usually(Numbers):
        def answer(self, problem: Problem) -> str | None:
            return "no" if problem.facts["n"] % 4 else ""

        def check(self, problem: Problem, text: str) -> Verdict:
            return Verdict.RIGHT if text == self.answer(problem) else Verdict.WRONG

    exam = examine(Usually(), problems=200)
    found = exam.constants()
    assert found["text"] == "no" and found["ids"] == [problem.id for problem in exam.problems]
    assert found["majority"] == [int(exam.task.answer(problem) == "no") for problem in exam.problems]
    assert found["empty"] == [1 - right for right in found["majority"]] and 0 < sum(found["empty"]) < 100


def test_every_measurement_is_of_the_same_problems() -> None:
    exam, model = examine(Numbers(), problems=10), loaded()
    form = {"format": "bare", "shots": 4, "style": "plain"}
    greedy, pool, few = exam.greedy(model), exam.pool(model, 0.7), exam.few_shot(model, form)
    assert (
        greedy.ids
        == few.ids
        == exam.in_style(model, "only, more room").ids
        == [problem.id for problem in exam.problems]
    )
    assert pool.ids == greedy.ids[: len(pool.ids)] and {len(texts) for texts in pool.texts} == {2}
    assert exam.votes(model, 0.7).ids == [problem.id for problem in exam.rival_problems]
    assert exam.greedy(model) == greedy and exam.pool(model, 0.7) == pool != exam.pool(model, 0.1)
    counted: list[tuple[int, int]] = []
    styles = exam.styles(model, lambda done, wanted: counted.append((done, wanted)))
    assert counted == [(place, 5) for place in (1, 2, 3, 4, 5)] and styles["best"] in styles["tried"]
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
    # not even four worked examples fit; one question does, but not with room for reasoning
    model = loaded(max_positions=120)
    assert exam.few_shot_trials(model) == {"best": None, "tried": []}
    assert list(exam.styles(model)["tried"]) == ["only"]
    # four of them fit, eight do not
    assert {one["shots"] for one in exam.few_shot_trials(loaded(max_positions=620))["tried"]} == {4}
    assert examine(LongerLater(), problems=8).harder(model) is None
    with pytest.raises(PromptTooLong, match=r"has \d+ tokens and its answer may take 3, but the model takes 64 in all"):
        exam.greedy(loaded(max_positions=64))


def test_where_the_cache_holds_less_than_the_model_has_positions_the_cache_counts() -> None:
    model = loaded(max_positions=1 << 40)
    questioner = examine(Numbers(), problems=8)._questioner(model, Numbers().styles()["plain"])
    assert isinstance(questioner.sampler, Engine)
    assert questioner.positions == questioner.sampler.pool.count * BLOCK < 1 << 40


def test_every_form_of_worked_examples_is_tried() -> None:
    exam, model = examine(Spelled(), problems=10), loaded()
    forms = {(one["format"], one["shots"], one["style"]) for one in exam.few_shot_forms()}
    assert forms == {(name, n, style) for name in ("bare", "worked") for n in SHOTS for style in ("only", "plain")}
    counted: list[int] = []
    trials = exam.few_shot_trials(model, lambda done, _wanted: counted.append(done))
    assert counted == list(range(1, 9)) and len(trials["tried"]) == 8
    best = max(one["greedy"]["mean"] for one in trials["tried"])
    assert {**trials["best"], "greedy": best} in [
        {**{name: one[name] for name in trials["best"]}, "greedy": one["greedy"]["mean"]} for one in trials["tried"]
    ]
    assert all(one["greedy"]["n"] == len(exam.validation) and "truncated" in one for one in trials["tried"])


def test_an_answer_to_worked_examples_has_the_room_of_the_longest_of_them() -> None:
    exam, model = examine(Spelled(), problems=10), loaded()
    longest = {
        name: max(len(text) for _, text in examples[:4]) for name, examples in exam.examples.items()
    }  # one token per character
    for name, length in longest.items():
        few = exam.few_shot(model, {"format": name, "shots": 4, "style": "only"})
        assert max(few.tokens)[0] <= length + exam.task.max_new_tokens
        cut = [tokens for [tokens], [cut] in zip(few.tokens, few.truncated, strict=True) if cut]
        assert set(cut) <= {length + exam.task.max_new_tokens}
    assert longest["worked"] == longest["bare"] + len("It is ")


def test_each_temperature_is_tried_and_the_best_of_each_use_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    exam, model = examine(Numbers(), problems=10), loaded()
    counted: list[int] = []
    found = exam.temperatures(model, lambda done, _wanted: counted.append(done))
    each = len(exam.validation) * TRIAL_SAMPLES
    assert counted[-1] == each * len(TEMPERATURES) and counted == sorted(counted)
    assert list(found["tried"]) == [f"{t:g}" for t in TEMPERATURES]
    assert exam.temperatures(model) == found

    def drawn(_loaded: object, problems: list[Problem], count: int, temperature: float, _show: object) -> object:
        texts = []
        for place, problem in enumerate(problems):
            right = str(problem.facts["n"])
            if temperature == TEMPERATURES[0]:  # every other problem, always
                texts.append([right] * count if place % 2 else ["no"] * count)
            elif temperature == TEMPERATURES[1]:  # each problem, once
                texts.append([right, *["no"] * (count - 1)])
            else:
                texts.append(["no"] * count)
        return Measurement(
            questions=[problem.question for problem in problems],
            ids=[problem.id for problem in problems],
            verdicts=[[exam.task.check(p, t).value for t in each] for p, each in zip(problems, texts, strict=True)],
            texts=texts,
            tokens=[[1] * count for _ in problems],
            truncated=[[False] * count for _ in problems],
        )

    monkeypatch.setattr(exam, "_sampled", drawn)
    found = exam.temperatures(model)
    assert (found["vote"], found["pool"]) == TEMPERATURES[:2]
    assert found["tried"]["0.7"]["pass_at_k"]["mean"] == 1 and found["tried"]["0.7"]["sampled"]["mean"] == 0.25


def test_room_is_a_matter_of_the_style() -> None:
    exam = examine(Numbers(), problems=10, style="steps")
    model = loaded()
    room = exam.task.max_new_tokens + exam.task.styles()["steps"].reasoning
    greedy = exam.greedy(model)
    assert exam.task.max_new_tokens < max(greedy.tokens)[0] <= room
    assert greedy == exam.in_style(model, "steps") or len(exam.rival_problems) < len(exam.problems)
    assert list(exam.candidates) == ["steps", *(f"{name}, more room" for name in ("only", "plain", "answer"))]
    brief = examine(Numbers(), problems=10)
    assert list(brief.candidates)[:: len(brief.candidates) - 1] == ["only", "steps"]
    assert brief.candidates["only, more room"].room(brief.task) == brief.task.max_new_tokens + MORE_ROOM
    assert max(brief.in_style(model, "only, more room").tokens)[0] > brief.task.max_new_tokens
    assert PromptStyle("x", None, "{question}").room(exam.task) == exam.task.max_new_tokens
