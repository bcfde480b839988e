"""Loaded models behind OpenAI's HTTP API: chat, completions, embeddings, adapters, metrics."""
