"""Accuracy against what it costs: all ways to spend tokens at inference, on the same problems (`whet scale`)."""
