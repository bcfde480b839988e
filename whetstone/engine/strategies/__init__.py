"""Test-time strategies: how a question becomes an answer once the weights are given (read `strategy.py` first)."""
