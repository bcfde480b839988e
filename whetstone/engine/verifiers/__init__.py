"""Verifiers: what tells better candidates from worse ones without knowing the answer (`Verifier` in
`strategies/strategy.py`)."""
