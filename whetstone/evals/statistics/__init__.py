"""Intervals, paired tests, repeated answers, power, ranks and calibration; docs/statistics.md says which when."""

from whetstone.evals.statistics.best_of import best_of_k, random_of_k, weighted_at_k
from whetstone.evals.statistics.intervals import (
    LEVEL,
    Interval,
    accuracy_interval,
    beta_binomial,
    cluster_bootstrap,
    clustered_error,
    mean_interval,
    standard_error,
    wilson,
)
from whetstone.evals.statistics.pairs import (
    compare,
    difference_interval,
    holm,
    mcnemar_exact,
    minimum_detectable,
    paired_interval,
    reading,
    sign_flip,
    unpaired_difference,
)
from whetstone.evals.statistics.power import POWER, effect_paired, items_paired, items_unpaired
from whetstone.evals.statistics.ranking import auc, auc_by_problem, auc_overall
from whetstone.evals.statistics.ranks import rank_intervals
from whetstone.evals.statistics.reliability import Bin, Reliability, reliability
from whetstone.evals.statistics.repeated import (
    SeedSpread,
    pass_at_k,
    pass_at_k_curve,
    pass_hat_k,
    pass_hat_k_curve,
    seed_spread,
)
from whetstone.evals.statistics.votes import Ballot, maj_at_k, maj_at_k_curve

__all__ = [
    "LEVEL",
    "POWER",
    "Ballot",
    "Bin",
    "Interval",
    "Reliability",
    "SeedSpread",
    "accuracy_interval",
    "auc",
    "auc_by_problem",
    "auc_overall",
    "best_of_k",
    "beta_binomial",
    "cluster_bootstrap",
    "clustered_error",
    "compare",
    "difference_interval",
    "effect_paired",
    "holm",
    "items_paired",
    "items_unpaired",
    "maj_at_k",
    "maj_at_k_curve",
    "mcnemar_exact",
    "mean_interval",
    "minimum_detectable",
    "paired_interval",
    "pass_at_k",
    "pass_at_k_curve",
    "pass_hat_k",
    "pass_hat_k_curve",
    "random_of_k",
    "rank_intervals",
    "reading",
    "reliability",
    "seed_spread",
    "sign_flip",
    "standard_error",
    "unpaired_difference",
    "weighted_at_k",
    "wilson",
]
