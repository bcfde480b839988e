"""Other words for the same item, chosen by a key: what a leak looks like after somebody rewrote it.

No model is asked: phrases that questions often open with are exchanged for others of the same meaning, and the whole is
put into one of several frames. Numbers, names and the answer stay, as they do when a benchmark is paraphrased.
"""

from __future__ import annotations

import random
import re

from whetstone.tasks.keys import problem_seed

# Of each line, any may stand for any. Case is that of a sentence's beginning; matching ignores it.
_PHRASES = (
    ("What is the greatest common divisor of", "Find the largest number that divides both", "Give the GCD of"),
    ("What is the largest of", "Which number is biggest among", "Pick out the maximum from"),
    ("How many times does the letter", "Count how often the letter", "In total, how frequently does the letter"),
    (
        "Write these words in reverse order:",
        "Put the following words back to front:",
        "Say these words from last to first:",
    ),
    ("Sort these numbers in ascending order:", "Arrange from smallest to largest:", "Order these values upwards:"),
    ("What is the capital of", "Which city is the seat of government of", "Name the capital city of"),
    ("What is", "Work out", "Compute", "Find the value of"),
    ("How many", "What number of"),
    ("How much", "What amount of"),
    ("Who is", "Name the person who is"),
    ("Where is", "In what place is"),
    ("Which", "What"),
    ("appear in the word", "occur in the word"),
)
_FRAMES = (
    "{question} The answer: {answer}",
    "Q: {question} A: {answer}",
    "Somebody asked: {question}\nThe right reply is {answer}",
    "{answer}, because the question was: {question}",
    "Exercise. {question}\nSolution. {answer}",
)


def reword(question: str, answer: str, key: bytes, copy: int) -> str:
    """The item in other words; which ones follows from the key, the question and the number of the copy."""
    rng = random.Random(problem_seed(key, "rewording", question, "1", copy))
    for phrases in _PHRASES:
        for phrase in phrases:
            found = re.search(re.escape(phrase) + r"(?!\w)", question, re.IGNORECASE)
            if found:
                other = rng.choice([each for each in phrases if each != phrase])
                question = question[: found.start()] + other + question[found.end() :]
                break
        else:
            continue
        break
    if question.endswith("?") and rng.random() < 0.5:
        question = question[:-1] + "."
    return rng.choice(_FRAMES).format(question=question, answer=answer)
