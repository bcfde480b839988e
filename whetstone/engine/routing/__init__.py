"""Routing: which of several models and strategies answers a question (read `policy.py` first)."""
