"""How many items it takes to see a difference, and how small a difference so many items can show.

All for a two-sided test at 5 % with 80 % power unless another `power` is given.
"""

from __future__ import annotations

import math

from scipy import optimize, stats

from whetstone.evals.statistics.intervals import LEVEL

POWER = 0.80
_Z = float(stats.norm.ppf(0.5 + LEVEL / 2))


def items_unpaired(difference: float, rate: float = 0.5, power: float = POWER) -> int:
    """Items *each* of two models must answer, on items of their own, to see `difference` (a fraction) around `rate`.

    n = (z_{.975} + z_power)^2 2 rate (1 - rate) / difference^2. 3 points around one half: 4,361 (4,360.5 before
    rounding up). ValueError unless 0 < difference <= 1, 0 < rate < 1 and 0.5 <= power < 1.
    """
    _check(difference, power)
    if not 0 < rate < 1:
        raise ValueError(f"a rate lies between 0 and 1, not {rate}")
    quantiles = _Z + float(stats.norm.ppf(power))
    return math.ceil(quantiles**2 * 2 * rate * (1 - rate) / difference**2)


def items_paired(difference: float, discordant: float, power: float = POWER) -> int:
    """Items that two models must *both* answer for McNemar's test to see `difference`.

    Connor (1987): n = (z_{.975} sqrt(psi) + z_power sqrt(psi - d^2))^2 / d^2, psi = `discordant`, the share of items
    that one model has right and the other wrong. 3 points with a fifth discordant: 1,742. ValueError unless
    0 < difference <= discordant <= 1 and 0.5 <= power < 1.
    """
    _check(difference, power)
    if not difference <= discordant <= 1:
        raise ValueError(f"a difference of {difference} needs at least that share of discordant items")
    return math.ceil((_quantiles(difference, discordant, power) / difference) ** 2)


def effect_paired(n: int, discordant: float, power: float = POWER) -> float:
    """The smallest difference that McNemar's test sees on `n` items of which a share `discordant` changes.

    The inverse of `items_paired`. A difference cannot exceed the share of items that change: where even that is too
    small to be found, the share is raised to meet it. 1 where nothing smaller can be found, or n = 0.
    """
    _check(1.0, power)
    if not 0 <= discordant <= 1:
        raise ValueError(f"a share of discordant items lies between 0 and 1, not {discordant}")

    def shortfall(d: float) -> float:
        return d * math.sqrt(n) - _quantiles(d, max(discordant, d), power)

    return float(optimize.brentq(shortfall, 0.0, 1.0)) if n > 0 and shortfall(1.0) > 0 else 1.0


def effect_of_error(error: float, freedom: float = math.inf, power: float = POWER) -> float:
    """The smallest difference that a t test with this standard error and these degrees of freedom sees: the sum of the
    two quantiles, times the error (Bloom 1995)."""
    _check(1.0, power)
    return error * float(stats.t.ppf(0.5 + LEVEL / 2, freedom) + stats.t.ppf(power, freedom))


def _quantiles(d: float, psi: float, power: float) -> float:
    return _Z * math.sqrt(psi) + float(stats.norm.ppf(power)) * math.sqrt(max(0.0, psi - d * d))


def _check(difference: float, power: float) -> None:
    if not 0 < difference <= 1:
        raise ValueError(f"a difference lies between 0 and 1, not {difference}")
    if not 0.5 <= power < 1:
        raise ValueError(f"power lies between 0.5 and 1, not {power}")
