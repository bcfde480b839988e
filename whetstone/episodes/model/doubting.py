"""English words by which a sentence does not say what it repeats: it calls it false, or only planned or supposed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from whetstone.episodes.normal import tokens

# called false, in the sentence or beside it
_REFUTED = re.compile(
    r"myths?|false|falsely|hoax(?:es)?|untrue|debunk\w*|incorrect\w*|wrong\w*|mistaken\w*|refut\w*|disprov\w*|contrary|"
    r"misconceptions?|fabricat\w*|satir\w*|rumou?r\w*"
)
# only said, planned or supposed
_HEDGED = re.compile(
    r"den(?:y|ied|ies)|alleg\w*|fiction\w*|imagin\w*|suppos\w*|believed|claim(?:s|ed)?|propos\w*|plan(?:s|ned)?|"
    r"expect\w*|forecast\w*|projected|projections?|aims?|hopes?|would|could|might|may|if|fail(?:s|ed)?|until|formerly"
)
_POINTS = re.compile("(?:that|this|it)(?:'s)?|these|those|they|such|both|but|however|actually|many|some|people")


def doubt(claim: str, text: str, beside: Sequence[str]) -> str:
    """A word by which a text, or a sentence beside it that points at it, does not say what it repeats, and that the
    claim does not have; "" for none. The month of May is no doubt."""
    own = set(tokens(claim))
    here = [token for word in text.split() if word.strip(".,;:") != "May" for token in tokens(word)]
    pointing = [found for found in map(tokens, beside) if _POINTS.fullmatch("".join(found[:1]))]
    words = [each for found in (tokens(text), *pointing) for each in found if _REFUTED.fullmatch(each)]
    words += [each for each in here if _HEDGED.fullmatch(each)]
    return next((each for each in words if each not in own), "")
