"""English words that turn round what a sentence seems to say: doubt, report, plan, and the opposite."""

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
_PAIRS = """
    rise rises rose risen rising grow grows grew grown increase increases increased increasing climbed
    / fall falls fell fallen falling shrink shrinks shrank shrunk decrease decreases decreased declined dropped
    | more / less fewer | higher highest / lower lowest | larger largest bigger biggest / smaller smallest
    | longer longest / shorter shortest | older oldest / younger youngest newer newest | faster fastest / slower slowest
    | above over / below under | before / after | first / last | most / least | wins won win / loses lost lose
    | buys bought buy / sells sold sell | born / died | opened opens open / closed closes close
    | began begins started starts / ended ends | imports imported import / exports exported export
    | legal / illegal banned | north northern / south southern | east eastern / west western
    | accepted accepts / rejected rejects | with / without
"""
_OPPOSITES = [
    (frozenset(one.split()), frozenset(other.split()))
    for one, _, other in (pair.partition("/") for pair in _PAIRS.split("|"))
]


def doubt(claim: str, text: str, beside: Sequence[str]) -> str:
    """A word by which a text, or a sentence beside it that points at it, does not say what it repeats, and that the
    claim does not have; "" for none. The month of May is no doubt."""
    own = set(tokens(claim))
    here = [token for word in text.split() if word.strip(".,;:") != "May" for token in tokens(word)]
    pointing = [found for found in map(tokens, beside) if _POINTS.fullmatch("".join(found[:1]))]
    words = [each for found in (tokens(text), *pointing) for each in found if _REFUTED.fullmatch(each)]
    words += [each for each in here if _HEDGED.fullmatch(each)]
    return next((each for each in words if each not in own), "")


def opposite(claim: str, text: str) -> str:
    """A word of the text that is the opposite of one of the claim's, where the text does not have that one as well."""
    said, there = set(tokens(claim)), set(tokens(text))
    for pair in _OPPOSITES:
        for here, other in (pair, pair[::-1]):
            if said & here and not said & other and there & other and not there & here:
                return min(there & other)
    return ""
