"""The generators of reasoning-gym under our keys and our judges; their own scorers are never called."""
