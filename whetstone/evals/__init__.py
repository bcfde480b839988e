"""Evaluation: intervals and paired tests; what may be claimed from a score and what may not."""
