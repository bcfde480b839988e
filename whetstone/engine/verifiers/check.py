"""The question's own check as a verifier: exact, free, and only where it may be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from whetstone.engine.strategies.strategy import Candidate, Scores
from whetstone.errors import UsageError


@dataclass(frozen=True)
class Check:
    """1 for a candidate that the question's check takes, else 0 (`Task.verifiable`: the check needs only what the
    question says). A judge that knows the answer never gets here: such a question has no check."""

    name: str = "check"
    process: bool = False
    params_needed: Mapping[str, Any] = field(default_factory=dict)

    def score(self, candidates: Sequence[Candidate]) -> Scores:
        """Raises UsageError for a question without a check."""
        values = []
        for candidate in candidates:
            if candidate.check is None:
                raise UsageError(
                    "this task's answers cannot be checked from the question alone, so nothing may choose by 'check': "
                    "choose by certainty, or by a verifier that was learned"
                )
            values.append(float(candidate.check(candidate.text)))
        return Scores(tuple(values))
