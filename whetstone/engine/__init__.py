"""Prompts in, completions out: key-value cache, sampling, the Sampler protocol and its local engine."""
