"""`whet bench stats`: the statistics of an evaluation beside scipy's and statsmodels' on the same scores.

Two models, 2,000 problems of 200 clusters, one greedy answer and 16 samples each. First everything that a report
prints, in seconds; then each statistic that has a peer. Both sides take turns and the quickest repetition counts; the
results are compared first, and a ratio is printed only of equal work. One thread: set OMP_NUM_THREADS=1. Holm is not
among them: statsmodels spends its time there in a garbage collection, so the ratio would say nothing.
"""

import argparse
import importlib.metadata
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import stats

from bench import report
from whetstone.errors import WorkFailed
from whetstone.evals import statistics

Work = Callable[[], Any]
KS = (1, 2, 4, 8, 16)
FLIPS, RESAMPLES = 10_000, 2_000


@dataclass(frozen=True)
class Material:
    """Scores of two models on the same problems: right or wrong [N], right ones of 16 samples [N], and clusters."""

    before_N: NDArray[np.int64]
    after_N: NDArray[np.int64]
    right_before_N: NDArray[np.int64]
    right_after_N: NDArray[np.int64]
    confidence_N: NDArray[np.float64]
    clusters: list[str]

    @property
    def differences_N(self) -> NDArray[np.float64]:
        return (self.right_after_N - self.right_before_N) / 16


def material(problems: int) -> Material:
    """Problems of uneven difficulty; clusters of ten share a part of it; `after` is 4 points better."""
    generator = np.random.default_rng(0)
    places_N = np.arange(problems) // 10
    shift_N = generator.normal(0, 0.1, places_N.max() + 1)[places_N]
    ease_N = np.clip(generator.beta(0.6, 0.8, problems) + shift_N, 0, 1)
    better_N = np.clip(ease_N + 0.04, 0, 1)
    drawn = [(generator.random(problems) < chance_N).astype(np.int64) for chance_N in (ease_N, better_N)]
    pools = [generator.binomial(16, chance_N) for chance_N in (ease_N, better_N)]
    return Material(*drawn, *pools, ease_N, [f"document {place}" for place in places_N])


def everything(given: Material) -> dict[str, Any]:
    """All that a report prints of two models on one set of problems."""
    clusters, before_N, after_N = given.clusters, given.before_N, given.after_N
    pools = {"before": given.right_before_N, "after": given.right_after_N}
    pairs = [statistics.compare(before_N, after_N), statistics.compare(before_N, after_N, clusters)]
    shares = [each / 16 for each in pools.values()]
    pairs += [statistics.compare(*shares), statistics.compare(*shares, clusters)]
    scores = (before_N, after_N, *shares)
    return {
        "accuracies": [statistics.accuracy_interval(each, ids) for each in scores for ids in (None, clusters)],
        "credible": [statistics.beta_binomial(int(each.sum()), len(each)) for each in (before_N, after_N)],
        "bootstrap": [statistics.cluster_bootstrap(each, clusters, RESAMPLES) for each in (before_N, after_N)],
        "pairs": pairs,
        "holm": statistics.holm([pair["p"] for pair in pairs]),
        "items": [statistics.items_unpaired(0.03), statistics.items_paired(0.03, 0.2)],
        "curves": [
            curve([(16, int(right)) for right in pool], KS, RESAMPLES)
            for pool in pools.values()
            for curve in (statistics.pass_at_k_curve, statistics.pass_hat_k_curve)
        ],
        "ranks": statistics.rank_intervals({"before": before_N, "after": after_N}, clusters, RESAMPLES),
        "reliability": statistics.reliability(given.confidence_N, after_N, clusters),
        "seeds": statistics.seed_spread([before_N, after_N]),
    }


# -- each statistic that has a peer: (ours, theirs, the peer's name, how far the results may be apart) ---------


def sign_flips(given: Material) -> tuple[Work, Work, str, float]:
    differences_N = given.differences_N[:300] - given.differences_N[:300].mean() + 0.01

    def theirs() -> float:
        found = stats.permutation_test(
            (differences_N,), np.mean, permutation_type="samples", vectorized=True, n_resamples=FLIPS, rng=0
        )
        return float(found.pvalue)

    return lambda: statistics.sign_flip(differences_N, flips=FLIPS), theirs, "scipy.stats.permutation_test", 0.03


def bootstrap(given: Material) -> tuple[Work, Work, str, float]:
    values_N = given.right_after_N / 16

    def theirs() -> list[float]:
        found = stats.bootstrap((values_N,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=0, batch=200)
        return [float(found.confidence_interval.low), float(found.confidence_interval.high)]

    def ours() -> list[float]:
        found = statistics.cluster_bootstrap(values_N, None, RESAMPLES)
        return [found.low, found.high]

    return ours, theirs, "scipy.stats.bootstrap", 0.005


def clustered(given: Material) -> tuple[Work, Work, str, float]:
    from statsmodels.api import OLS

    codes_N = np.unique(given.clusters, return_inverse=True)[1]

    def theirs() -> float:
        fitted = OLS(given.after_N, np.ones(len(codes_N))).fit(cov_type="cluster", cov_kwds={"groups": codes_N})
        return float(fitted.bse[0])

    return lambda: statistics.clustered_error(given.after_N, given.clusters), theirs, "statsmodels OLS", 1e-9


def exact_mcnemar(given: Material) -> tuple[Work, Work, str, float]:
    from statsmodels.stats.contingency_tables import mcnemar

    gained = int((given.after_N > given.before_N).sum())
    lost = int((given.after_N < given.before_N).sum())
    table = [[0, gained], [lost, 0]]
    return (
        lambda: statistics.mcnemar_exact(gained, lost),
        lambda: float(mcnemar(table, exact=True).pvalue),
        "statsmodels mcnemar",
        1e-9,
    )


def wilson(given: Material) -> tuple[Work, Work, str, float]:
    from statsmodels.stats.proportion import proportion_confint

    right, n = int(given.after_N.sum()), len(given.after_N)

    def ours() -> list[float]:
        found = statistics.wilson(right, n)
        return [found.low, found.high]

    return (
        ours,
        lambda: list(proportion_confint(right, n, method="wilson")),
        "statsmodels proportion_confint",
        1e-9,
    )


PEERS = {
    "sign_flip": sign_flips,
    "bootstrap": bootstrap,
    "clustered": clustered,
    "mcnemar": exact_mcnemar,
    "wilson": wilson,
}


def quickest(works: list[Work], seconds: float) -> list[float]:
    """Seconds of each work: they take turns, at least three times, and the quickest counts."""
    best = [math.inf] * len(works)
    begin, rounds = time.perf_counter(), 0
    while rounds < 3 or time.perf_counter() - begin < seconds:
        for place, work in enumerate(works):
            start = time.perf_counter()
            work()
            best[place] = min(best[place], time.perf_counter() - start)
        rounds += 1
    return best


def measure(problems: int, seconds: float) -> Iterator[dict[str, Any]]:
    """All rows; WorkFailed where the two sides of one disagree."""
    given = material(problems)
    everything(given)  # warm
    [total] = quickest([lambda: everything(given)], seconds)
    yield report.row(
        "stats.everything",
        total,
        None,
        "a peer for all of it",
        "s",
        higher_is_better=False,
        problems=problems,
        models=2,
    )
    versions = {"scipy": scipy.__version__}
    for name, make in PEERS.items():
        try:
            ours, theirs, peer, slack = make(given)
        except ImportError:
            report.say(f"stats.{name}: the peer statsmodels is not installed (pip install 'whetstone-lab[dev]')")
            continue
        if not np.allclose(ours(), theirs(), rtol=0, atol=slack):
            raise WorkFailed(f"stats.{name}: ours gives {ours()} and {peer} {theirs()}: not the same work")
        mine, other = quickest([ours, theirs], seconds)
        if peer.startswith("statsmodels"):
            versions["statsmodels"] = importlib.metadata.version("statsmodels")
        yield report.row(
            f"stats.{name}",
            1e3 * mine,
            1e3 * other,
            peer,
            "ms",
            higher_is_better=False,
            peer_versions=versions,
            problems=problems,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--problems", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=2.0, help="of repetitions for each figure")
    options = parser.parse_args()
    if options.problems < 400 or options.seconds < 0:
        parser.error("at least 400 problems, and no negative seconds")
    report.print_rows(measure(options.problems, options.seconds), options.json)


if __name__ == "__main__":
    report.main(main)
