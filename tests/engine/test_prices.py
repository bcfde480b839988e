"""Price tables: arithmetic by hand, and mistakes in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from whetstone.engine.prices import PriceTable
from whetstone.engine.strategies.spending import Spent
from whetstone.errors import UsageError

TABLE = """
["mine"]
usd_per_hour = 0.36
date = 2026-01-15
source = "a bill"

["theirs"]
input = 1.0
output = 4.0
cached = 0.5
date = 2026-01-15
source = "https://example.com/pricing"

["*"]
input = 10
output = 20
date = 2026-01-15
source = "a guess"
"""


def table(tmp_path: Path, text: str = TABLE) -> PriceTable:
    (tmp_path / "prices.toml").write_text(text)
    return PriceTable.load(tmp_path / "prices.toml")


def test_tokens_and_hours_are_priced(tmp_path: Path) -> None:
    prices = table(tmp_path)
    spent = Spent(prompt_tokens=100, cached_tokens=50, written_tokens=10, verifier_tokens=20, seconds=50)
    assert prices.usd("mine", spent) == pytest.approx(0.36 * 50 / 3600)
    assert prices.usd("theirs", spent) == pytest.approx((120 * 1 + 50 * 0.5 + 10 * 4) / 1e6)
    assert prices.usd("another", spent) == pytest.approx((120 * 10 + 50 * 10 + 10 * 20) / 1e6)
    assert PriceTable().usd("mine", spent) is None
    lines = prices.sources(["mine", "another"])
    assert [line["model"] for line in lines] == ["mine", "another"]
    assert lines[0]["date"] == "2026-01-15" and lines[1]["source"] == "a guess"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = 1", "'x' is none"),
        ('["m"]\ninput = 1\noutput = 1\ndate = 2026-01-15', "'m' needs source"),
        ('["m"]\nusd_per_hour = 1\ninput = 1\ndate = 2026-01-15\nsource = "s"', "has no 'input'"),
        ('["m"]\nusd_per_hour = -1\ndate = 2026-01-15\nsource = "s"', "usd_per_hour of 'm'"),
        ("[", "cannot be read"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        table(tmp_path, text)
