"""Controls for any training run: twins that are trained just so, for a reward that cannot teach the task.

A model that improves with one of them improves by the procedure, or by learning the form of an answer, and not by the
task (Shao et al., arXiv 2506.10947, found gains of 14 to 24 points from such rewards).
"""

from __future__ import annotations

from dataclasses import dataclass

from whetstone.training.rewards import Reward, format_reward, inverted_reward, random_reward


@dataclass(frozen=True)
class Control:
    """`title` names the twin in a table, `trained` ends the sentence "the twin ...", `teaches` says what an improvement
    of it would mean."""

    name: str
    title: str
    trained: str
    teaches: str
    reward: Reward


CONTROLS: dict[str, Control] = {
    control.name: control
    for control in (
        Control(
            "random",
            "random-reward twin",
            "trained on a random reward",
            "That much of the gain needs no true reward.",
            random_reward,
        ),
        Control(
            "format",
            "format-reward twin",
            "rewarded for any answer that can be read, right or wrong",
            "That much of the gain is the form of an answer, not the task.",
            format_reward,
        ),
        Control(
            "inverted",
            "inverted-reward twin",
            "rewarded for wrong answers only",
            "A reward against the task should not help: part of the gain has nothing to do with being right.",
            inverted_reward,
        ),
    )
}
EXTRA = tuple(name for name in CONTROLS if name != "random")
