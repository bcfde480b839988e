"""Endpoints that speak OpenAI's API, as a Sampler: requests, pace, retries, keys, what it cost."""
