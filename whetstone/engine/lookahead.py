"""What a constraint allows along tokens that are only guessed, and failures of constraints that stay their own."""

from __future__ import annotations

import logging

import numpy as np

from whetstone.engine.protocol import Constraint

_log = logging.getLogger(__name__)


class OwnFailure:
    """What a constraint raises, a panic of compiled code included, is told in the log and harms nobody else."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is None or isinstance(error, KeyboardInterrupt | SystemExit):
            return False
        _log.warning("a constraint failed: %s", error)
        return True


class Lookahead:
    """Follows guesses with a copy of a branch's constraint, which itself stays where it is.

    `stuck`: it failed, allows nothing, or did not allow a guess; it goes no further then.
    """

    def __init__(self, constraint: Constraint | None) -> None:
        self._constraint, self._own = constraint, False
        self._allowed_V: np.ndarray | None = None
        self.stuck = False

    def mask(self) -> np.ndarray | None:
        """What is allowed next, as `Constraint.mask` says; None where everything is (or when it is `stuck`)."""
        self._allowed_V = None
        if self._constraint is None or self.stuck:
            return None
        with OwnFailure():
            self._allowed_V = self._constraint.mask()
        if self._allowed_V is None or not self._allowed_V.any():
            self._allowed_V, self.stuck = None, True
        return self._allowed_V

    def accept(self, token: int) -> bool:
        """Go on with a token; False, and `stuck`, when the last mask or the constraint does not take it."""
        if self._constraint is None:
            return True
        allowed_V = self._allowed_V
        if self.stuck or allowed_V is None or token >= len(allowed_V) or not allowed_V[token]:
            self.stuck = True
            return False
        self.stuck = True
        with OwnFailure():
            if not self._own:
                self._constraint, self._own = self._constraint.fork(), True
            self._constraint.accept(token)
            self.stuck = False
        return not self.stuck
