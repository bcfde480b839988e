"""Benchmarks that lie in a file: fixed items, which nothing keeps out of anybody's training."""
