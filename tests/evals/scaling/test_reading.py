"""What is read off the points: fronts, knees, rivals and the cheapest setting, by hand and against a plain search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whetstone.errors import UsageError
from whetstone.evals.scaling.charts import hues, trade
from whetstone.evals.scaling.points import FIELDS, Kind, Point, dollars, rounded
from whetstone.evals.scaling.reading import cheapest, front, halves, knees, read_points
from whetstone.evals.scaling.sentences import wanted
from whetstone.evals.scaling.wishes import Wish, parsed_budgets, parsed_wishes
from whetstone.evals.statistics import compare, holm
from whetstone.evals.statistics.clusters import Floats

N = 200
IDS = [f"problem {i}" for i in range(N)]
ALONE = [""] * N


def scores(share: float) -> Floats:
    """The first share of the problems is right: settings differ by whole problems, none by luck."""
    return (np.arange(N) < share * N).astype(np.float64)


def point(name: str, share: float | Floats, tokens: float, kind: Kind = "method", flops: float = 1.0) -> Point:
    spent_NF = np.zeros((N, len(FIELDS)))
    spent_NF[:, FIELDS.index("written_tokens")] = tokens
    spent_NF[:, FIELDS.index("flops")] = flops
    right_N = scores(share) if isinstance(share, float) else share
    return Point(name.split("-")[0], name, 1, kind, "run", right_N, spent_NF)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=8))
def test_the_front_is_what_nothing_beats(pairs: list[tuple[int, int]]) -> None:
    points = [point(f"m{i}", right / 10, float(cost)) for i, (cost, right) in enumerate(pairs)]
    points.append(point("oracle", 1.0, 0.5, "oracle"))
    found = front(points, "tokens")

    def beaten(mine: tuple[int, int], other: tuple[int, int]) -> bool:
        return other != mine and other[0] <= mine[0] and other[1] >= mine[1]

    unbeaten = {pair for pair in pairs if not any(beaten(pair, other) for other in pairs)}
    assert {pairs[place] for place in found} == unbeaten, "and an oracle beats nobody"
    assert len(found) == len(unbeaten), "of two that are the same, one is enough"


def test_differences_are_one_family_and_rivals_are_the_right_ones() -> None:
    points = [
        point("greedy", 0.4, 50.0),
        point("consistency-1", 0.3, 50.0),
        point("consistency-8", 0.6, 400.0),
        point("best-8:by=x", 0.62, 420.0),
        point("best-8:by=x, scores shuffled", 0.4, 420.0, "control"),
        point("think-64", 0.5, 90.0),
        point("pass@8", 0.9, 400.0, "oracle"),
    ]
    rows = {row["name"]: row for row in read_points(points, IDS, ALONE)}
    assert rows["greedy"]["versus_greedy"] is None and rows["pass@8"]["versus_greedy"] is None
    assert rows["consistency-8"]["versus_majority"] is None
    best = rows["best-8:by=x"]
    assert best["versus_majority"]["rival"] == "consistency-8"
    assert best["versus_majority"]["tokens_ratio"] == pytest.approx(420 / 400)
    assert best["versus_shuffled"]["mean"] == pytest.approx(0.22)
    assert rows["think-64"]["versus_majority"]["rival"] == "consistency-1", "nearest in ratio"
    family = [row[name] for row in rows.values() for name in row if name.startswith("versus") and row[name]]
    plain = [compare(points[0].right_N, points[2].right_N)["p"]]
    assert rows["consistency-8"]["versus_greedy"]["p"] == plain[0]
    assert [each["p_holm"] for each in family] == holm([each["p"] for each in family]) and len(family) == 7
    assert best["versus_majority"]["verdict"] == "not distinguishable", "2 points of 200 problems"
    assert best["versus_greedy"]["verdict"] == "gain"


def test_holm_takes_back_what_one_test_alone_would_call_a_gain() -> None:
    base = scores(0.5)
    luck = base.copy()
    luck[120:128], luck[0] = 1.0, 0.0  # 8 gained, 1 lost: p = 0.039 by itself
    points = [point("greedy", base, 10.0), *(point(f"m{i}", luck, 10.0) for i in range(4))]
    rows = read_points(points, IDS, ALONE)
    assert compare(base, luck)["verdict"] == "gain"
    assert {row["versus_greedy"]["verdict"] for row in rows[1:]} == {"not distinguishable"}


def test_a_knee_is_where_most_of_the_plateau_is_had() -> None:
    curve = [point(f"m-{k}", share, 10.0 * k) for k, share in ((1, 0.3), (2, 0.5), (4, 0.59), (8, 0.6))]
    (knee,) = knees(curve, None)
    assert (knee["name"], knee["tokens"], knee["plateau"], knee["rising"]) == ("m-4", 40.0, 0.6, False)
    (knee,) = knees(curve[:2], None)
    assert knee["name"] == "m-2" and knee["rising"]
    assert knees(curve[:1], None) == []


def test_the_cheapest_setting_is_chosen_on_other_problems_than_it_is_told_on() -> None:
    side_N = halves(IDS, ALONE)
    assert side_N.sum() == N / 2
    lucky = np.where(side_N == 0, 1.0, 0.2)  # good on the half on which one chooses, bad on the other
    points = [point("lucky", lucky, 10.0), point("steady", 0.9, 20.0), point("pass@9", 1.0, 1.0, "oracle")]
    found = cheapest(points, 0.8, IDS, ALONE)
    assert (found["name"], found["chosen_at"], found["verdict"]) == ("lucky", 1.0, "missed")
    assert found["accuracy"]["mean"] == pytest.approx(0.2) and found["accuracy"]["n"] == N / 2
    assert cheapest(points[1:], 0.8, IDS, ALONE)["verdict"] == "reached"
    nobody = cheapest(points[1:], 0.95, IDS, ALONE)
    assert nobody["name"] is None and nobody["best"]["name"] == "steady"


def test_halves_keep_clusters_whole_where_there_are_many() -> None:
    many = [f"document {i % 40}" for i in range(N)]
    side_N = halves(IDS, many)
    assert all(len({side_N[i] for i in range(N) if i % 40 == d}) == 1 for d in range(40))
    few = [f"wording {i % 3}" for i in range(N)]
    assert halves(IDS, few).tolist() == halves(IDS, ALONE).tolist()


def test_money_is_what_a_price_table_says() -> None:
    from datetime import date

    from whetstone.engine.prices import Hourly
    from whetstone.engine.remote.usage import Prices

    spent_NF = np.arange(2.0 * len(FIELDS)).reshape(2, -1)
    row = dict(zip(FIELDS, spent_NF[1], strict=True))
    hourly = dollars(spent_NF, Hourly(usd_per_hour=3.6, date=date(2026, 1, 2), source="s"))
    assert hourly is not None and hourly[1] == pytest.approx(row["seconds"] / 1000)
    tokens = dollars(spent_NF, Prices(input=1, output=2, cached=0.5, date=date(2026, 1, 2), source="s"))
    expected = row["prompt_tokens"] + row["verifier_tokens"] + 0.5 * row["cached_tokens"] + 2 * row["written_tokens"]
    assert tokens is not None and tokens[1] == pytest.approx(expected / 1e6)
    assert dollars(spent_NF, None) is None
    assert rounded(np.array([[1 / 3, 123456789.0]])).tolist() == [[0.333333, 123457000.0]]


def test_methods_and_budgets_are_read() -> None:
    assert parsed_wishes("greedy, consistency,best:by=x,t=0.7,consistency-8") == [
        Wish("greedy"),
        Wish("consistency"),
        Wish("best", "by=x,t=0.7"),
        Wish("consistency", "", 8),
    ]
    assert Wish("best", "by=x").settings((1, 4), 12) == [(1, "best-1:by=x"), (4, "best-4:by=x")]
    assert Wish("greedy").settings((1, 4), 12) == [(1, "greedy")]
    assert Wish("consistency", "", 8).settings((1, 4), 12) == [(8, "consistency-8")]
    assert parsed_budgets("16,1,4") == (1, 4, 16)
    assert parsed_wishes(None) is None


@pytest.mark.parametrize("text", ["", "1,,2", "0,1", "1,1", "many", "2000", "1.5"])
def test_budgets_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--budgets"):
        parsed_budgets(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("vote", "unknown method 'vote'"), ("greedy-3", "takes no number"), ("greedy,greedy", "twice"), ("", "unknown")],
)
def test_methods_that_are_none_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parsed_wishes(text)


def test_a_method_that_counts_tokens_gets_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    from whetstone.engine.strategies.names import METHODS, Method

    monkeypatch.setitem(METHODS, "ponder", Method(METHODS["greedy"].make, "", "tokens", 64, smallest=20))
    assert Wish("ponder").settings((1, 2, 8), 12) == [(2, "ponder-24"), (8, "ponder-96")]


def test_a_method_has_one_colour_in_all_figures() -> None:
    """By tokens one is on the front that by seconds is not: the others keep their colours."""
    points = [point("greedy", 0.4, 50.0), point("agree-4", 0.45, 60.0), point("beam-4", 0.6, 90.0)]
    for each, seconds in zip(points, (1.0, 9.0, 2.0), strict=True):
        each.spent_NF[:, FIELDS.index("seconds")] = seconds
    measured = {"points": read_points(points, IDS, ALONE), "guess": None}
    assert [row["front"].count("seconds") for row in measured["points"]] == [1, 0, 1]
    own = hues(measured)
    assert list(own) == ["greedy", "agree", "beam"] and len(set(own.values())) == 3
    drawn = [trade("f", measured, cost) or "" for cost in ("tokens", "seconds")]
    # of the page's inks these are the first three: base, sharp, twin
    inks = [{name for name in ("sharp", "twin") if f"stroke: var(--{name})" in figure} for figure in drawn]
    assert inks == [{"sharp", "twin"}, {"twin"}]


def test_no_setting_is_said_to_miss_what_it_is_said_to_reach() -> None:
    """What was chosen on one half is told by the other half's words."""
    side_N = halves(IDS, ALONE)
    lucky = (side_N == 0) * (np.arange(N) % 10 < 9) * 1.0  # 90 % on the half where settings are chosen, none elsewhere
    found = cheapest([point("think-12", lucky, 50.0)], 0.8, IDS, ALONE)
    said = wanted({"cheapest": found})
    assert found["verdict"] == "missed" and said.startswith("Nothing is shown to reach 80 %: the cheapest that seemed")
    steady = np.where(side_N == 0, 0.0, 1.0)
    steady[np.flatnonzero(side_N == 0)[:70]] = 1.0  # 70 % there, 85 % in all
    found = cheapest([point("think-12", steady, 50.0)], 0.8, IDS, ALONE)
    said = wanted({"cheapest": found})
    assert found["best"] == {"name": "think-12", "accuracy": pytest.approx(0.7)}
    assert "No measured setting reaches 80 % on the half" in said and "70.0 %" in said and "85" not in said
