"""The overlap benchmark on small work: both sides name the same items, and the planted ones are found."""

from __future__ import annotations

import argparse

import pytest

from bench import overlap
from whetstone.errors import WorkFailed

SMALL = argparse.Namespace(items=1500, documents=400, peer_items=1200)


def test_both_sides_find_the_same_items() -> None:
    row = overlap.beside_peer(SMALL)
    assert row["name"] == "overlap.items" and row["found"] >= 3 and row["ratio"] > 0
    cold = overlap.cold_start(SMALL)
    assert set(cold["phases"]) == {"keys_and_partition", "index", "scan"} and cold["peer"] is None


def test_sides_that_disagree_are_not_timed_against_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "ours", lambda items, documents: {0})
    with pytest.raises(WorkFailed, match="same items"):
        overlap.beside_peer(SMALL)
