"""Sealed rounds: commit first, answer, reveal; anyone can verify."""
